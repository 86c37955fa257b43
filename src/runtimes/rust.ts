// Rust: panics and the other ends of its standard library (library/std/src/panicking.rs, std/src/alloc.rs, std/src/rt.rs,
// std/src/sys/backtrace.rs), of core alone as unikernels print them (library/core/src/panic/panic_info.rs), and linker names, legacy
// (`…17h<hash>E`) and v0 (RFC 2603).
//
// A panic that catch_unwind catches, or that ends only its thread, is printed by the same hook in the same words: it is told too.

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';
import { demangleCompiled } from './compiled-names.ts';

/** Lines of a message that are taken. */
const MAX_MESSAGE_LINES = 20;
const PLACE = /^(\S.{0,1023}):(\d{1,9}):(\d{1,9})$/;

function readLocation(place: string, draft: CrashDraft): boolean {
  const match = PLACE.exec(place);
  if (match === null) return false;
  draft.location = { file: match[1] ?? '', line: Number(match[2]), function: null };
  return true;
}

function readMessage(words: string, draft: CrashDraft): void {
  draft.message = words;
  if (/^assertion (?:failed: |`)/.test(words)) draft.kind = 'assert';
}

/** Lines that no pattern knew are the rest of the message. */
function takeRest(draft: CrashDraft): void {
  const rest = draft.between.slice(0, MAX_MESSAGE_LINES);
  if (rest.length > 0) readMessage([...(draft.message === '' ? [] : [draft.message]), ...rest].join('\n'), draft);
}

/** `src/main.rs:2:5:` (the message follows, since 1.73), or `'message', src/main.rs:2:5`, whose message may have lines. */
function beginPanic(rest: string, draft: CrashDraft): void {
  const quoted = /^'(.{0,4000})', (\S.{1,1040}?)$/.exec(rest);
  if (rest.endsWith(':') && readLocation(rest.slice(0, -1), draft)) draft.section = 'message';
  else if (quoted !== null && readLocation(quoted[2] ?? '', draft)) {
    readMessage(quoted[1] ?? '', draft);
    draft.section = 'told';
  } else if (rest.startsWith("'")) {
    draft.message = rest.slice(1);
    draft.section = 'quoted';
  } else if (readLocation(rest, draft)) draft.section = 'told';
}

/** Names of the v0 scheme carry each crate's hash, legacy ones their own. */
function readableName(name: string): string {
  return name.replace(/\[[0-9a-f]{15,16}\]/g, '').replace(/::h[0-9a-f]{16}$/, '');
}

const BACKTRACE: readonly CrashLine[] = [
  {
    pattern: /^ {0,4}\d{1,4}: {1,20}(?:(0x[0-9a-f]{1,16}) - )?(\S.{0,2000})$/,
    in: 'backtrace',
    read: (match, draft) => {
      if (match[1] === '0x0') return;
      const name = readableName(match[2] ?? '');
      draft.frames.push(
        reportedFrame({
          address: match[1] === undefined ? null : BigInt(match[1]),
          addressIs: 'return',
          function: name === '<unknown>' ? null : name,
        }),
      );
    },
  },
  {
    pattern: /^ {6,40}at (\S.{0,1023}?):(\d{1,9})(?::(\d{1,9}))?$/,
    in: 'backtrace',
    read: (match, draft) => {
      const frame = draft.frames.pop();
      if (frame === undefined) return;
      const column = match[3] === undefined ? null : Number(match[3]);
      draft.frames.push({ ...frame, file: match[1] ?? null, line: Number(match[2]), column });
    },
  },
  { pattern: /^ {0,4}\d{1,4}: {1,20}\S|^ {6,40}at \S/, in: 'again' },
];

const AFTERWARDS: readonly CrashLine[] = [
  {
    pattern: /^note: (?:run with `RUST_BACKTRACE|Some details are omitted)/,
    takesBetween: true,
    to: 'told',
    read: (_match, draft) => {
      if (draft.section === 'message' || draft.section === 'more') takeRest(draft);
    },
  },
  {
    pattern:
      /^(?:thread (?:'.{0,200}' )?(?:panicked while (?:panicking|processing panic)|caused non-unwinding panic)\. aborting\.|fatal runtime error: .{1,200})$/,
    takesBetween: true,
  },
];

const LINES: readonly CrashLine[] = [
  {
    pattern: /^stack backtrace:$/,
    in: 'more',
    to: 'backtrace',
    takesBetween: true,
    read: (_match, draft) => {
      takeRest(draft);
    },
  },
  { pattern: /^stack backtrace:$/, in: 'message', to: 'backtrace', takesBetween: true },
  { pattern: /^stack backtrace:$/, in: 'told', to: 'backtrace' },
  ...BACKTRACE,
  ...AFTERWARDS,
  {
    pattern: /^(.{0,4000})', (\S.{0,1023}:\d{1,9}:\d{1,9})$/,
    in: 'quoted',
    to: 'told',
    takesBetween: true,
    read: (match, draft) => {
      readMessage([draft.message, ...draft.between.slice(0, MAX_MESSAGE_LINES), match[1] ?? ''].join('\n'), draft);
      readLocation(match[2] ?? '', draft);
    },
  },
  {
    pattern: /^(.{1,4000})$/,
    in: 'message',
    to: 'more',
    read: (match, draft) => {
      readMessage(match[1] ?? '', draft);
    },
  },
];

/** A second panic of the main thread, in a destructor or in a function that cannot unwind, aborts: it is the same crash. */
const AGAIN: readonly CrashLine[] = ['told', 'backtrace', 'again'].map((section) => ({
  pattern: /^thread 'main' (?:\(\d{1,10}\) )?panicked at (?:'(.{0,1000})', )?\S/,
  in: section,
  to: 'again',
  read: (match, draft) => {
    if (match[1] !== undefined && !draft.message.includes('\nthen: ')) draft.message += `\nthen: ${match[1]}`;
  },
}));

const AGAIN_SAID: readonly CrashLine[] = [
  { pattern: /^stack backtrace:$/, in: 'again' },
  {
    pattern: /^(?! {0,4}\d{1,4}: | {6,}at |note: |thread )(\S.{0,1000})$/,
    in: 'again',
    read: (match, draft) => {
      if (!draft.message.includes('\nthen: ')) draft.message += `\nthen: ${match[1] ?? ''}`;
    },
  },
];

/** What stands behind `panicked at`: a place and a colon, or a message in quotes and a place. */
const AT = String.raw`panicked at (\S.{0,1023}:\d{1,9}:\d{1,9}:|'.{0,4000}', \S.{0,1023}:\d{1,9}:\d{1,9})$`;

function nameEmpty(draft: CrashDraft): void {
  if (draft.message === '') draft.message = 'panic';
}

const panic: CrashGrammar = {
  name: 'panic',
  source: 'rust library/std/src/panicking.rs default_hook, library/core/src/panic/panic_info.rs',
  kind: 'panic',
  start: new RegExp(
    String.raw`^(?:thread 'main' (?:\(\d{1,10}\) )?|(?:(?:KERNEL |kernel )?(?:PANIC|Panic|panic)(?:: |!|! | ))?)${AT}`,
  ),
  glued: "thread 'main' panicked at ",
  begin: (match, draft) => {
    beginPanic(match[1] ?? '', draft);
  },
  lines: [...AGAIN, ...AGAIN_SAID, ...LINES],
  maxForeignLines: MAX_MESSAGE_LINES,
  maxLines: 4000,
  finish: nameEmpty,
};

/** Another thread's panic ends that thread. What joins it may panic next, which is a crash of its own. */
const inThread: CrashGrammar = {
  name: 'panic-in-thread',
  source: 'rust library/std/src/panicking.rs default_hook',
  kind: 'panic',
  start: new RegExp(String.raw`^thread '(?!main')(?:.{0,200})' (?:\(\d{1,10}\) )?${AT}`),
  begin: (match, draft) => {
    beginPanic(match[1] ?? '', draft);
  },
  lines: LINES,
  maxForeignLines: MAX_MESSAGE_LINES,
  maxLines: 4000,
  finish: nameEmpty,
};

/** Before 1.73 a message of several lines: the place stands behind the last. */
const panicOfLines: CrashGrammar = {
  name: 'panic-of-lines',
  source: 'rust library/std/src/panicking.rs default_hook (1.72)',
  kind: 'panic',
  start: /^thread '.{0,200}' panicked at ('.{0,4000})$/,
  begin: (match, draft) => {
    beginPanic(match[1] ?? '', draft);
  },
  lines: LINES,
  maxForeignLines: MAX_MESSAGE_LINES,
  maxLines: 4000,
  confirmed: (draft) => draft.location !== null,
};

const allocation: CrashGrammar = {
  name: 'allocation-error',
  source: 'rust library/std/src/alloc.rs default_alloc_error_hook',
  kind: 'out-of-memory',
  start: /^memory allocation of (\d{1,20}) bytes failed$/,
  glued: 'memory allocation of ',
  begin: (match, draft) => {
    draft.message = match[0];
    draft.section = 'told';
  },
  lines: [{ pattern: /^stack backtrace:$/, in: 'told', to: 'backtrace' }, ...BACKTRACE, ...AFTERWARDS],
  maxForeignLines: 2,
};

const stackOverflow: CrashGrammar = {
  name: 'stack-overflow',
  source: 'rust library/std/src/sys/pal/unix/stack_overflow.rs signal_handler',
  kind: 'fault',
  start: /^thread '(.{0,200})' (?:\(\d{1,10}\) )?has overflowed its stack$/,
  glued: "thread 'main' has overflowed its stack",
  begin: (match, draft) => {
    draft.message = `thread '${match[1] ?? ''}' has overflowed its stack`;
  },
  lines: [
    {
      pattern: /^(fatal runtime error: stack overflow)(?:, aborting)?$/,
      read: (match, draft) => {
        draft.message += `\n${match[1] ?? ''}`;
      },
    },
  ],
  maxForeignLines: 2,
};

const fatal: CrashGrammar = {
  name: 'fatal-runtime-error',
  source: 'rust library/std/src/rt.rs rtabort!',
  kind: 'panic',
  start: /^(fatal runtime error: .{1,200}), aborting$/,
  glued: 'fatal runtime error: ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [],
  maxForeignLines: 2,
};

/** Legacy names are names of the Itanium ABI with a hash as their last part; LLVM may append another. */
const LINKER_NAME = /^_(?:R[0-9A-Za-z]|ZN.{1,16000}17h[0-9a-f]{16}E(?:\.|$))/;

/** Rust. */
export const rust: Runtime = {
  name: 'rust',
  title: 'Rust',
  recognise: { symbols: ['rust_eh_personality', 'rust_begin_unwind', '__rust_alloc'], sections: [] },
  crashes: [panic, inThread, panicOfLines, allocation, stackOverflow, fatal],
  demangle: (linkerName) => (LINKER_NAME.test(linkerName) ? demangleCompiled(linkerName) : null),
  libraryFiles: [/^\/rustc\/[0-9a-f]+\//, /\/library\/(?:std|core|alloc)\/src\//],
  crashMachinery: [
    /^(?:core|std)::(?:panicking|panic)::/,
    /^<?std::(?:sys::backtrace|sys_common::backtrace|backtrace_rs)(?:::|>)/,
    /^(?:<+std::(?:sys::backtrace|sys_common::backtrace|sys::stdio)|<*std::io::|<*core::fmt::|<+std::sys)/,
    /^(?:std::rt::|std::thread::|core::ops::function::(?:FnOnce|impls)|<.{1,200} as core::ops::function::FnOnce)/,
    /^core::(?:option|result)::(?:unwrap_failed|expect_failed|expect_none_failed|(?:Option|Result)<.{1,100}>::(?:unwrap|expect)\w*)$/,
    /^(?:core::(?:slice::index|str)::(?:\w*_fail\w*|slice_error_fail\w*)|core::cell::panic_already_\w+|alloc::raw_vec::\w*(?:handle_error|capacity_overflow))(?:::|$)/,
    /^(?:alloc::alloc::handle_alloc_error|std::alloc::(?:rust_oom|default_alloc_error_hook|_::__rg_oom))/,
    /^(?:__rustc::)?(?:rust_panic|rust_begin_unwind|__rust_start_panic|__rust_alloc_error_handler|__rust_try|__rust_begin_short_backtrace)$/,
  ],
};
