// Haskell: linker names of GHC, `package_Module_name_info` with each part z-encoded (GHC.Utils.Encoding, "The Z-encoding";
// GHC.Types.Name.Ppr and GHC.Cmm.CLabel for the suffixes).
//
// Folklore: C programs have names such as `Foo_bar_info` too. So a name is only taken for Haskell's when an escape in its package or
// module says so, or when it is in the module Main. Test: test/runtimes/haskell.test.ts, "names of C".

import type { Runtime } from '../model/unikernel.ts';

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

/** Haskell. */
export const haskell: Runtime = {
  name: 'haskell',
  title: 'Haskell',
  recognise: { symbols: ['stg_ap_0_fast', 'hs_main', 'hs_init'], sections: [] },
  crashes: [],
  demangle,
  crashMachinery: [/^(?:barf|vbarf|rtsFatalInternalErrorFn|stg_raise(?:IO)?zh|stg_raisezh)$/],
};
