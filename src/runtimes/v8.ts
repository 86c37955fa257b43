// V8 and Node.js: an uncaught error (lib/internal/process/execution.js, src/node_errors.cc), process.abort() with its native
// and JavaScript stacks (src/debug_utils.cc), and V8's own fatal errors (src/base/logging.cc, src/api/api.cc).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

/** `    at NAME (FILE:LINE:COLUMN)`, `    at FILE:LINE:COLUMN`, also numbered as `2: NAME (…)` after an abort. */
function readScriptFrame(name: string | undefined, place: string, draft: CrashDraft): void {
  const match = /^(.{1,1000}):(\d{1,9}):(\d{1,9})$/.exec(place);
  const [file, line, column] = match === null ? [place, null, null] : [match[1] ?? place, Number(match[2]), Number(match[3])];
  draft.frames.push(reportedFrame({ function: name ?? null, file, line, column }));
}

const NATIVE: readonly CrashLine[] = [
  { pattern: /^----- Native stack trace -----$/, to: 'native' },
  { pattern: /^----- JavaScript stack trace -----$/, to: 'script' },
  {
    pattern: /^ {0,2}\d{1,3}: (0x[0-9a-f]{1,16}) {1,2}(?:(\S.{0,1000}) )?\[.{1,512}\]$/,
    in: 'native',
    read: (match, draft) => {
      draft.frames.push(
        reportedFrame({ address: BigInt(match[1] ?? '0'), addressIs: 'return', function: match[2]?.trim() ?? null }),
      );
    },
  },
  {
    pattern: /^ {0,2}\d{1,3}: (?:(\S.{0,500}) \((.{1,1000}:\d{1,9}:\d{1,9})\)|(\S.{0,1000}:\d{1,9}:\d{1,9}))$/,
    in: 'script',
    read: (match, draft) => {
      readScriptFrame(match[1], match[2] ?? match[3] ?? '', draft);
    },
  },
];

const uncaught: CrashGrammar = {
  name: 'uncaught-error',
  source: 'node src/node_errors.cc TriggerUncaughtException',
  kind: 'exception',
  start: /^((?:node:|file:\/\/|\/|\[eval\]).{0,1000}):(\d{1,9})$/,
  begin: (match, draft) => {
    draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  },
  lines: [
    { pattern: /^ {0,400}\^{1,400}$/, in: '', to: 'error', takesBetween: true },
    {
      pattern: /^ {4}at (?:async )?(?:(\S.{0,500}) \((.{1,1000})\)|(\S.{0,1000}?))(?: \{)?$/,
      in: 'error',
      takesBetween: true,
      read: (match, draft) => {
        if (draft.message === '') draft.message = draft.between.slice(0, 20).join('\n');
        if (draft.between.length === 0 || draft.frames.length === 0) readScriptFrame(match[1], match[2] ?? match[3] ?? '', draft);
      },
    },
    { pattern: /^(?: {4}at |\s*\[cause\]: | {2}\[?\w)/, in: 'error' },
    {
      pattern: /^Node\.js v\d/,
      in: 'error',
      takesBetween: true,
      to: 'over',
      read: (_match, draft) => {
        if (draft.message === '') draft.message = draft.between.slice(0, 20).join('\n');
      },
    },
  ],
  end: /^Node\.js v\d/,
  maxForeignLines: 24,
  confirmed: (draft) => draft.section === 'over',
};

const abort: CrashGrammar = {
  name: 'abort',
  source: 'node src/debug_utils.cc DumpNativeBacktrace, DumpJavaScriptBacktrace',
  kind: 'abort',
  start: /^----- Native stack trace -----$/,
  begin: (_match, draft) => {
    draft.message = 'aborted';
    draft.section = 'native';
  },
  lines: NATIVE,
};

const fatal: CrashGrammar = {
  name: 'fatal-error',
  source: 'node src/node_errors.cc OnFatalError, OOMErrorHandler',
  kind: 'panic',
  start: /^FATAL ERROR: (.{1,1000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/out of memory|Allocation failed/i.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: NATIVE,
  confirmed: (draft) => draft.section !== '',
};

const check: CrashGrammar = {
  name: 'check-failed',
  source: 'v8 src/base/logging.cc V8_Fatal',
  kind: 'panic',
  start: /^# Fatal error in (.{0,512}), line (\d{1,9})$/,
  begin: (match, draft) => {
    if (match[1] !== '') draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  },
  lines: [
    {
      pattern: /^# (.{1,1000})$/,
      read: (match, draft) => {
        if (draft.message === '') draft.message = match[1] ?? '';
        if (/^(?:Debug check|Check) failed/.test(match[1] ?? '')) draft.kind = 'assert';
      },
    },
    { pattern: /^#(?:FailureMessage Object: .{0,64})?$/ },
    ...NATIVE,
  ],
  confirmed: (draft) => draft.message !== '',
};

/** V8, with Node.js around it. */
export const v8: Runtime = {
  name: 'v8',
  title: 'V8 / Node.js',
  recognise: { symbols: ['v8dbg_SmiTag', '_ZN2v87Isolate10GetCurrentEv'], sections: [] },
  crashes: [uncaught, abort, fatal, check],
  demangle: () => null,
  crashMachinery: [/^(?:node::Abort|node::DumpNativeBacktrace|node::OnFatalError|V8_Fatal|v8::base::OS::Abort|abort|raise)/],
};
