// Haskell: linker names of GHC, `package_Module_name_info` with each part z-encoded (GHC.Utils.Encoding, "The Z-encoding";
// GHC.Types.Name.Ppr and GHC.Cmm.CLabel for the suffixes).
//
// Folklore: C programs have names such as `Foo_bar_info` too. So a name is only taken for Haskell's when an escape in its package or
// module says so, or when it is in the module Main. Test: test/runtimes/haskell.test.ts, "names of C".

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

const MAX_NAME = 4096;
/** What a label is of: code, a static closure, a constructor's table. */
const LABEL =
  /^(?:([a-zA-Z0-9]+)_)?([A-Z][a-zA-Z0-9]*)_([a-zA-Z0-9]+)_(?:info|closure|entry|con_info|con_entry|static_info|slow|fast|ret|srt|bytes|str)$/;

/** Letters behind `z` and `Z`. */
const ESCAPES: Readonly<Record<string, string>> = {
  ...{ ZL: '(', ZR: ')', ZM: '[', ZN: ']', ZC: ':', ZZ: 'Z' },
  ...{ za: '&', zb: '|', zc: '^', zd: '$', ze: '=', zg: '>', zh: '#', zi: '.', zl: '<', zm: '-', zn: '!' },
  ...{ zp: '+', zq: "'", zr: '\\', zs: '/', zt: '*', zu: '_', zv: '%', zz: 'z' },
};

const ESCAPE = /[zZ](?:[a-zA-Z]|([0-9a-f]+)U|(\d+)([TH]))?/g;

/** A z-encoded word as the programmer wrote it; null when it is none. */
export function decodeZ(encoded: string): string | null {
  const escapes = [...encoded.matchAll(ESCAPE)].map(([escape, code, size, kind]) => ({
    escape,
    decoded: code !== undefined ? letter(escape, code) : kind !== undefined ? tuple(Number(size), kind) : ESCAPES[escape],
  }));
  if (escapes.some(({ decoded }) => decoded == null)) return null;
  let at = 0;
  return encoded.replace(ESCAPE, () => escapes[at++]?.decoded ?? '');
}

/** `z22bU`: a code point in hex, which begins with a digit. */
function letter(escape: string, code: string): string | null {
  const point = Number.parseInt(code, 16);
  const isLetter = escape.startsWith('z') && /^\d/.test(code) && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  return isLetter ? String.fromCodePoint(point) : null;
}

/** `Z0T` is `()`, `Z3T` is `(,,)`, `Z1H` is `(# #)`, `Z2H` is `(#,#)`. */
function tuple(size: number, kind: string): string | null {
  if (size > 64) return null;
  const commas = ','.repeat(Math.max(0, size - 1));
  if (kind === 'T') return `(${commas})`;
  return commas === '' ? '(# #)' : `(#${commas}#)`;
}

/** `base_GHCziBase_map_info` → `base:GHC.Base.map`. */
function demangle(linkerName: string): string | null {
  const match = linkerName.length > MAX_NAME ? null : LABEL.exec(linkerName);
  if (match === null) return null;
  const [, home, encodedModule = '', encodedName = ''] = match;
  const isMain = home === undefined && /^(?:ZC)?Main$/.test(encodedModule);
  if (!isMain && !/z[im]/.test(`${home ?? ''} ${encodedModule}`)) return null;
  const [owner, module, name] = [home === undefined ? '' : decodeZ(home), decodeZ(encodedModule), decodeZ(encodedName)];
  if (owner === null || module === null || name === null) return null;
  return `${owner === '' ? '' : `${owner}:`}${module}.${name}`;
}

/** `  error, called at Err.hs:4:24 in main:Main`, innermost first: called there in the next line's function, of the last only the module is said. */
const CALL = /^ {2}(\S{1,300}), called at (\S.{0,500}):(\d{1,9}):(\d{1,9}) in (\S{1,300})$/;

function readCall(match: RegExpExecArray, draft: CrashDraft): void {
  const [, callee, file, line, column, module] = match;
  const below = draft.frames.pop();
  if (below !== undefined) draft.frames.push({ ...below, function: callee ?? null });
  draft.frames.push(reportedFrame({ function: module ?? null, file: file ?? null, line: Number(line), column: Number(column) }));
}

const CALLS: readonly CrashLine[] = [
  { pattern: /^(?:CallStack \(from HasCallStack\)|HasCallStack backtrace):$/, takesBetween: true, to: 'calls' },
  { pattern: CALL, in: 'calls', read: readCall },
];

/** What the library throws itself; with the program's name before it, as the handler of last resort prints it. */
const OWN_WORDS = [
  String.raw`Prelude\.(?:\S{1,40}: .{1,200}|undefined)`,
  String.raw`<<loop>>`,
  String.raw`Maybe\.fromJust: Nothing`,
  String.raw`Assertion failed`,
  String.raw`thread blocked indefinitely in an (?:MVar operation|STM transaction)`,
  String.raw`\S{1,300}\.hs:(?:\d{1,9}:\d{1,9}(?:-\d{1,9})?|\(\d{1,9},\d{1,9}\)-\(\d{1,9},\d{1,9}\)): (?:Non-exhaustive (?:patterns|guards)|Missing field|No instance).{0,300}`,
].join('|');

const uncaught: CrashGrammar = {
  name: 'uncaught-exception',
  source: 'ghc libraries/base/GHC/TopHandler.hs, GHC/Conc/Sync.hs, rts/RtsMessages.c',
  kind: 'exception',
  start: new RegExp(`^[\\w.+-]{1,64}: ((?:${OWN_WORDS})|Uncaught exception \\S{1,300}:)$`),
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (draft.message === 'Assertion failed') draft.kind = 'assert';
    const place = /^(\S{1,300}\.hs):(?:\((\d{1,9}),|(\d{1,9}):)\S{0,60}: (.{1,400})$/.exec(draft.message);
    if (place !== null) {
      draft.location = { file: place[1] ?? '', line: Number(place[2] ?? place[3]), function: null };
      draft.message = place[4] ?? '';
    }
    if (draft.message.startsWith('Uncaught exception')) draft.section = 'since-9.12';
  },
  lines: [
    ...CALLS,
    {
      pattern: /^(\S.{0,1000})$/,
      in: 'since-9.12',
      to: 'told',
      read: (match, draft) => {
        draft.message = match[1] ?? '';
      },
    },
  ],
  maxForeignLines: 4,
};

/** error's words may be any: they stand on the line before, after the program's name. Without the name it may be a log of a caught one. */
const called: CrashGrammar = {
  name: 'error-call',
  source: 'ghc libraries/base/GHC/Exception.hs prettyCallStack',
  kind: 'exception',
  start: /^CallStack \(from HasCallStack\):$/,
  begin: (_match, draft) => {
    draft.message = /^[\w.+-]{1,64}: (\S.{0,2000})$/.exec(draft.before?.text ?? '')?.[1] ?? '';
    draft.section = 'calls';
  },
  lines: CALLS,
  maxForeignLines: 2,
  confirmed: (draft) => draft.message !== '' && draft.frames.length > 0 && !/^[\w.+-]{1,64}: warning|\bwarn/i.test(draft.message),
};

const exhausted: CrashGrammar = {
  name: 'exhausted',
  source: 'ghc rts/RtsMessages.c, rts/hooks/OutOfHeap.c, rts/hooks/StackOverflow.c',
  kind: 'out-of-memory',
  start:
    /^[\w.+-]{1,64}: (Heap exhausted;|Stack space overflow: current size \d{1,12} bytes\.|internal error: .{1,500}|stack overflow)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (!draft.message.startsWith('Heap')) draft.kind = 'panic';
  },
  lines: [
    { pattern: /^[\w.+-]{1,64}: (?:Current maximum heap size is|Use `\+RTS )/ },
    { pattern: /^ {4}(?:\(GHC version|Please report this as a GHC bug)/ },
  ],
  maxForeignLines: 2,
};

/** Haskell. */
export const haskell: Runtime = {
  name: 'haskell',
  title: 'Haskell',
  recognise: { symbols: ['stg_ap_0_fast', 'hs_main', 'hs_init'], sections: [] },
  crashes: [uncaught, called, exhausted],
  demangle,
  endsByExit: true,
  crashMachinery: [
    /^(?:errorWithoutStackTrace|undefined|fromJust)$/,
    /^(?:barf|vbarf|rtsFatalInternalErrorFn|stg_raise(?:IO)?zh|stg_raisezh)$/,
  ],
};
