// Python: an exception that nobody caught (Lib/traceback.py, Python/traceback.c, Python/pythonrun.c), a thread's
// (Lib/threading.py excepthook), and the interpreter's own ends (Python/pylifecycle.c fatal_error, Modules/faulthandler.c).
//
// Programs print tracebacks of exceptions they caught, in the same words. What tells an uncaught one: its outermost frame is the
// module's (a handler's begins at its `try`, mostly in a function), no log line stands before it (`ERROR:root:…`, `Exception ignored
// in:`), and the program does not go on talking. Test: test/panics/python.md, "handled".

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

const MAX_CHAINED = 8;
/** A program that prints so many more lines has not died. A message's own further lines are fewer. */
const GOES_ON = 8;

/** What others print just before a traceback of an exception that they handled. */
const HANDLED =
  /\b(?:ERROR|CRITICAL|WARN(?:ING)?|INFO|DEBUG|FATAL|SEVERE|Exception ignored|Unraisable|was never retrieved|Exception occurred during processing|Unhandled exception in event loop|error (?:in|while|during))\b|^(?:future|task|handle|context): /i;

/** `TypeError: message`, `app.errors.Bad`, also a bare name. */
const ERROR = /^([A-Za-z_][\w.]{0,500})(?:: (.{0,4000}))?$/;

/** Frames stand outermost first. */
function readFrame(match: RegExpExecArray, draft: CrashDraft): void {
  const [, file, line, name] = match;
  draft.frames.unshift(reportedFrame({ function: name ?? null, file: file ?? null, line: Number(line) }));
}

/** One exception of a chain is read whole. */
function readError(match: RegExpExecArray, draft: CrashDraft): void {
  draft.message = draft.message === '' ? match[0] : `${match[0]}\n(after) ${draft.message}`;
}

const FRAME = /^ {2}File "(.{1,1024})", line (\d{1,9}), in (.{1,300})$/;

const LINES: readonly CrashLine[] = [
  { pattern: FRAME, in: 'trace', to: 'trace', takesBetween: true, read: readFrame },
  { pattern: /^ {2}\[Previous line repeated \d{1,9} more times?\]$/, in: 'trace', takesBetween: true },
  // The source line, and under it the marks.
  { pattern: /^ {4}(?:\S.{0,4000}|[~^ ]{1,4400})$/, in: 'trace' },
  {
    // A SyntaxError's own place.
    pattern: /^ {2}File "(.{1,1024})", line (\d{1,9})$/,
    in: 'trace',
    takesBetween: true,
    read: (match, draft) => {
      draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
    },
  },
  { pattern: ERROR, in: 'trace', to: 'told', read: readError },
  {
    pattern:
      /^(?:The above exception was the direct cause of the following exception|During handling of the above exception, another exception occurred):$/,
    in: 'told',
    to: 'chained',
    takesBetween: true,
  },
  {
    pattern: /^Traceback \(most recent call last\):$/,
    in: 'chained',
    to: 'trace',
    read: (_match, draft) => {
      draft.frames = [];
      if (draft.message.split('\n(after) ').length > MAX_CHAINED) draft.message = draft.message.split('\n(after) ')[0] ?? '';
    },
  },
];

function isModule(draft: CrashDraft): boolean {
  const outermost = draft.frames.at(-1);
  return outermost !== undefined && /^(?:<module>|_run_module_as_main|_run_code)$/.test(outermost.function ?? '');
}

function isUncaught(draft: CrashDraft): boolean {
  return (
    draft.section === 'told' &&
    isModule(draft) &&
    !HANDLED.test(draft.before?.text ?? '') &&
    draft.between.filter((line) => line.trim() !== '').length < GOES_ON
  );
}

function readKind(draft: CrashDraft): void {
  if (/^MemoryError\b/.test(draft.message)) draft.kind = 'out-of-memory';
}

const uncaught: CrashGrammar = {
  name: 'uncaught-exception',
  source: 'cpython Python/pythonrun.c print_exception, Lib/traceback.py',
  kind: 'exception',
  start: /^Traceback \(most recent call last\):$/,
  begin: (_match, draft) => {
    draft.section = 'trace';
  },
  lines: LINES,
  maxForeignLines: GOES_ON,
  maxLines: 4000,
  confirmed: isUncaught,
  finish: readKind,
};

/** The program itself cannot be compiled: there is no stack. */
const syntax: CrashGrammar = {
  name: 'syntax-error',
  source: 'cpython Python/pythonrun.c print_exception, Lib/traceback.py _format_syntax_error',
  kind: 'exception',
  start: /^ {2}File "(.{1,1024})", line (\d{1,9})$/,
  begin: (match, draft) => {
    draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  },
  lines: [
    { pattern: /^ {4}(?:\S.{0,4000}|[~^ ]{1,4400})$/, in: '' },
    {
      pattern: /^((?:Syntax|Indentation|Tab)Error: .{1,1000})$/,
      in: '',
      to: 'told',
      read: (match, draft) => {
        draft.message = match[1] ?? '';
      },
    },
  ],
  maxForeignLines: 2,
  confirmed: (draft) => draft.section === 'told',
};

/** threading.excepthook: the thread is dead, of which the rest may or may not die. */
const inThread: CrashGrammar = {
  name: 'uncaught-in-thread',
  source: 'cpython Lib/threading.py ExceptHookArgs, Modules/_threadmodule.c thread_excepthook_file',
  kind: 'exception',
  start: /^Exception in thread ([^"\s].{0,200}):$/,
  begin: (_match, draft) => {
    draft.section = 'chained';
  },
  lines: LINES,
  maxForeignLines: 2,
  maxLines: 4000,
  confirmed: (draft) => draft.section === 'told' && /^(?:_bootstrap|run)/.test(draft.frames.at(-1)?.function ?? ''),
  finish: readKind,
};

/** 3.11's groups: the group's own stack is the crash's, those of its members are known and left; their words are kept. */
const group: CrashGrammar = {
  name: 'exception-group',
  source: 'cpython Lib/traceback.py _ExceptionPrintContext',
  kind: 'exception',
  start: /^ {2}\+ Exception Group Traceback \(most recent call last\):$/,
  begin: (_match, draft) => {
    draft.section = 'trace';
  },
  lines: [
    { pattern: /^ {2}\| {3}File "(.{1,1024})", line (\d{1,9}), in (.{1,300})$/, in: 'trace', read: readFrame },
    { pattern: /^ {2}\| {5}/, in: 'trace' },
    {
      pattern: /^ {2}\| ([A-Za-z_][\w.]{0,500}: .{1,4000})$/,
      in: 'trace',
      to: 'told',
      read: (match, draft) => {
        draft.message = match[1] ?? '';
      },
    },
    { pattern: /^ {2}\| /, in: 'told' },
    { pattern: /^ {2,40}\+-/, to: 'told' },
    {
      pattern: /^ {4}\| ([A-Za-z_][\w.]{0,500}: .{1,4000})$/,
      in: 'told',
      read: (match, draft) => {
        if (draft.message.split('\n').length <= MAX_CHAINED) draft.message += `\n${match[1] ?? ''}`;
      },
    },
    { pattern: /^ {4,40}\|/, in: 'told' },
  ],
  maxForeignLines: GOES_ON,
  maxLines: 4000,
  confirmed: isUncaught,
};

/** `Fatal Python error: Segmentation fault`, with faulthandler's stack, which stands innermost first. */
const fatal: CrashGrammar = {
  name: 'fatal-error',
  source: 'cpython Python/pylifecycle.c fatal_error, Modules/faulthandler.c',
  kind: 'panic',
  start: /^Fatal Python error: (.{1,1000})$/,
  glued: 'Fatal Python error: ',
  begin: (match, draft) => {
    draft.message = `Fatal Python error: ${match[1] ?? ''}`;
    if (/^(?:Segmentation fault|Bus error|Floating point exception|Illegal instruction)$/.test(match[1] ?? ''))
      draft.kind = 'fault';
    if (/memory/i.test(match[1] ?? '') && /alloc|out of/i.test(match[1] ?? '')) draft.kind = 'out-of-memory';
  },
  lines: [
    { pattern: /^Current thread 0x[0-9a-f]{1,16} .{0,100}\(most recent call first\):$/, to: 'current', takesBetween: true },
    { pattern: /^Thread 0x[0-9a-f]{1,16} .{0,100}\(most recent call first\):$/, to: 'other' },
    {
      pattern: /^ {2}File "(.{1,1024})", line (\d{1,9}|\?\?\?) in (.{1,300})$/,
      in: 'current',
      read: (match, draft) => {
        const line = match[2] === '???' ? null : Number(match[2]);
        draft.frames.push(reportedFrame({ function: match[3] ?? null, file: match[1] ?? null, line }));
      },
    },
    { pattern: /^ {2}(?:File "|<no Python frame>|\.\.\.)/ },
    { pattern: /^(?:Python runtime state: |Extension modules: )/ },
    {
      pattern: ERROR,
      in: '',
      read: (match, draft) => {
        draft.message += `\n${match[0]}`;
      },
    },
  ],
};

/** Python. */
export const python: Runtime = {
  name: 'python',
  title: 'Python',
  recognise: { symbols: ['Py_BytesMain', 'Py_Initialize', '_PyEval_EvalFrameDefault'], sections: [] },
  crashes: [uncaught, syntax, inThread, group, fatal],
  demangle: () => null,
  libraryFiles: [/\/lib\/python3(?:\.\d+)?\//, /^<frozen /],
  endsByExit: true,
  crashMachinery: [/^(?:_run_module_as_main|_?Py_FatalError\w*|faulthandler_\w+)$/],
};
