// V8 and Node.js: an uncaught error (lib/internal/process/execution.js, src/node_errors.cc), process.abort() with its native
// and JavaScript stacks (src/debug_utils.cc), and V8's own fatal errors (src/base/logging.cc, src/api/api.cc).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

/** Lines of a message that are taken. */
const MAX_MESSAGE_LINES = 20;
/** Causes, and members of an AggregateError, whose words are taken. */
const MAX_CAUSES = 8;

/** `    at NAME (FILE:LINE:COLUMN)`, `    at FILE:LINE:COLUMN`, also numbered as `2: NAME (…)` after an abort. */
function readScriptFrame(name: string | undefined, place: string, draft: CrashDraft): void {
  const match = /^(.{1,1000}):(\d{1,9}):(\d{1,9})$/.exec(place);
  // `native`, `<anonymous>`, `index 0` of Promise.all
  const [file, line, column] = match === null ? [null, null, null] : [match[1] ?? place, Number(match[2]), Number(match[3])];
  if (file !== null || name !== undefined) draft.frames.push(reportedFrame({ function: name ?? null, file, line, column }));
}

const NATIVE: readonly CrashLine[] = [
  { pattern: /^----- Native stack trace -----$/, to: 'native' },
  { pattern: /^----- JavaScript stack trace -----$/, to: 'script' },
  {
    // Node 12 has no heading over it; code made at run time has no module.
    pattern: /^ {0,2}\d{1,3}: (0x[0-9a-f]{1,16}) {1,2}(?:(\S.{0,1000}) )?(?:\[.{1,512}\])?$/,
    read: (match, draft) => {
      draft.section ||= 'native';
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

function takeMessage(draft: CrashDraft): void {
  if (draft.message === '') draft.message = draft.between.slice(0, MAX_MESSAGE_LINES).join('\n');
}

/** `{`: properties of the error follow. */
const FRAME = /^ {4}at (?:async )?(?:(\S.{0,500}) \((.{1,1000})\)|(\S.{0,1000}?))( \{)?$/;

const ERROR: readonly CrashLine[] = [
  // Of a minified script all is on one line, and the caret far to the right.
  { pattern: /^ {0,16384}\^{1,400}$/, in: '', to: 'error', takesBetween: true },
  ...['error', 'stack'].map(
    (section): CrashLine => ({
      pattern: FRAME,
      in: section,
      to: 'stack',
      takesBetween: true,
      read: (match, draft) => {
        takeMessage(draft);
        readScriptFrame(match[1], match[2] ?? match[3] ?? '', draft);
      },
    }),
  ),
  { pattern: /^ {4}\.\.\. \d{1,6} lines matching /, in: 'stack' },
  {
    // An error without a stack of its own.
    pattern: /^\[(\w.{0,1000})\] \{$/,
    in: 'error',
    to: 'stack',
    read: (match, draft) => {
      draft.message = match[1] ?? '';
    },
  },
  {
    pattern: /^ {2,16}(\[cause\]: |)((?:\w{1,64}Error|Error)(?: \[\w{1,64}\])?: .{1,1000})$/,
    in: 'stack',
    read: (match, draft) => {
      if (draft.message.split('\n').length < MAX_CAUSES) draft.message += `\n${match[1] ?? ''}${match[2] ?? ''}`;
    },
  },
  { pattern: /^(?: {2}|\}$)/, in: 'stack' },
  {
    pattern: /^\(Use `.{1,200}` to show where the (?:exception was thrown|error was created|.{1,60})\)$/,
    in: 'error',
    to: 'thrown',
    takesBetween: true,
    read: (_match, draft) => {
      takeMessage(draft);
    },
  },
  {
    pattern: /^Thrown at:$/,
    in: 'error',
    takesBetween: true,
    read: (_match, draft) => {
      takeMessage(draft);
    },
  },
  {
    pattern: /^Node\.js v\d/,
    in: 'error',
    to: 'over',
    takesBetween: true,
    ends: true,
    read: (_match, draft) => {
      takeMessage(draft);
    },
  },
  { pattern: /^Node\.js v\d/, in: 'stack', to: 'over', takesBetween: true, ends: true },
  { pattern: /^Node\.js v\d/, in: 'thrown', to: 'over', takesBetween: true, ends: true },
];

const uncaught: CrashGrammar = {
  name: 'uncaught-error',
  source: 'node src/node_errors.cc TriggerUncaughtException',
  kind: 'exception',
  start: /^((?:node:|file:\/\/|\/|\[eval\]|internal\/|[a-z_]{2,20}\.js).{0,1000}):(\d{1,9})$/,
  begin: (match, draft) => {
    draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  },
  lines: ERROR,
  maxForeignLines: 24,
  // Node 17 and later say their version last. Of a SyntaxError a program that caught it prints the place too.
  confirmed: ({ section, frames, message }) =>
    section === 'over' ||
    section === 'thrown' ||
    (section === 'stack' && frames.length > 0 && !message.startsWith('SyntaxError')),
};

/** `--abort-on-uncaught-exception`: V8 says it before Node can. */
const uncaughtAbort: CrashGrammar = {
  name: 'uncaught-abort',
  source: 'v8 src/execution/isolate.cc Isolate::CreateMessageOrAbort, PrintCurrentStackTrace',
  kind: 'exception',
  start: /^Uncaught (\S.{0,1000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [
    { pattern: /^FROM$/, in: '', to: 'from', takesBetween: true },
    {
      pattern: /^(?:(\S.{0,500}) \((.{1,1000}:\d{1,9}:\d{1,9})\)|(\S.{0,1000}:\d{1,9}:\d{1,9}))$/,
      in: 'from',
      read: (match, draft) => {
        readScriptFrame(match[1], match[2] ?? match[3] ?? '', draft);
      },
    },
  ],
  maxForeignLines: 2,
  confirmed: (draft) => draft.section === 'from' && draft.frames.length > 0,
};

const abort: CrashGrammar = {
  name: 'abort',
  source: 'node src/debug_utils.cc DumpNativeBacktrace, DumpJavaScriptBacktrace',
  kind: 'abort',
  // To Node 18 without a heading.
  start: /^(?:----- Native stack trace -----| {0,2}1: (0x[0-9a-f]{1,16}) (node::Abort\(\)) \[.{1,512}\])$/,
  begin: (match, draft) => {
    draft.message = 'aborted';
    draft.section = 'native';
    const [, address, name] = match;
    if (address !== undefined)
      draft.frames.push(reportedFrame({ address: BigInt(address), addressIs: 'return', function: name ?? null }));
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
  crashes: [uncaught, uncaughtAbort, abort, fatal, check],
  demangle: () => null,
  libraryFiles: [/^node:/],
  endsByExit: true,
  crashMachinery: [
    // Of the language itself, written in no file. `Object.get` may be the program's own.
    /^(?:Array|ArrayBuffer|Atomics|BigInt|DataView|Date|JSON|Map|Math|Number|Promise|Reflect|RegExp|Set|String)\.[a-z]\w*$|^new Promise$/,
    /^(?:node|v8)::|^V8_Fatal$|^uv_fatal_error$/,
    // Node's own that throw for others; of the rest only the files tell (`node:internal/…`).
    /^(?:wrapSafe|triggerUncaughtException|throwUnhandledRejectionsMode|processPromiseRejections|new AssertionError|innerOk)$/,
  ],
};
