// OCaml 4 and 5: how an uncaught exception and a fatal error of the run time are printed (runtime/printexc.c, runtime/misc.c,
// stdlib/printexc.ml), and how ocamlopt makes linker names (asmcomp, middle_end/compilenv.ml).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

/** Lines of an exception's own printer that are taken into the message. */
const MAX_PAYLOAD_LINES = 20;

/** A message of several lines: what stands between the first line and the backtrace belongs to it. */
function takePayload(draft: CrashDraft): void {
  if (draft.between.length > 0) draft.message = [draft.message, ...draft.between.slice(0, MAX_PAYLOAD_LINES)].join('\n');
}

function readSlot(match: RegExpExecArray, draft: CrashDraft): void {
  if (draft.frames.length === 0) takePayload(draft);
  const [, name, file, inlined, line, column] = match;
  draft.frames.push(
    reportedFrame({
      function: name ?? null,
      file: file ?? null,
      line: Number(line),
      column: Number(column) + 1, // characters are counted from 0
      inlined: inlined !== undefined,
    }),
  );
}

const BACKTRACE: readonly CrashLine[] = [
  {
    // Since 4.11 with the function's name, before without.
    pattern:
      /^(?:Raised at|Re-raised at|Raised by primitive operation at|Called from)(?: (\S{1,512}) in)? file "([^"]{1,1024})"( \(inlined\))?, lines? (\d{1,9})(?:-\d{1,9})?, characters (\d{1,9})-\d{1,9}$/,
    takesBetween: true,
    read: readSlot,
  },
  { pattern: /^(?:Raised at|Re-raised at|Raised by primitive operation at|Called from) unknown location$/ },
  { pattern: /^\((?:Program not linked with -g, cannot print stack backtrace|Cannot print stack backtrace: .{1,200})\)$/ },
];

/** As stdlib's printer says it, and as the run time does in a program without one. */
const ASSERTED =
  /^(?:File "([^"]{1,1024})", line (\d{1,9}), characters \d{1,9}-\d{1,9}: Assertion failed|Assert_failure\("([^"]{1,1024})", (\d{1,9}), \d{1,9}\))$/;

const uncaught: CrashGrammar = {
  name: 'uncaught-exception',
  source: 'runtime/printexc.c default_fatal_uncaught_exception, stdlib/printexc.ml',
  kind: 'exception',
  start: /^Fatal error(?: in uncaught exception handler)?: exception (.{1,4000})$/,
  glued: 'Fatal error: exception ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/^(?:Stdlib\.)?Out[_ ]of[_ ]memory$/i.test(draft.message)) draft.kind = 'out-of-memory';
    const asserted = ASSERTED.exec(draft.message);
    if (asserted === null) return;
    draft.kind = 'assert';
    if (asserted[3] !== undefined) draft.message = 'Assertion failed';
    draft.location = { file: asserted[1] ?? asserted[3] ?? '', line: Number(asserted[2] ?? asserted[4]), function: null };
  },
  lines: BACKTRACE,
  maxForeignLines: MAX_PAYLOAD_LINES,
  maxLines: 1100, // the run time keeps 1024 slots
};

/** A thread's end; the program may go on without it. */
const inThread: CrashGrammar = {
  name: 'uncaught-in-thread',
  source: 'otherlibs/systhreads/thread.ml default_uncaught_exception_handler',
  kind: 'exception',
  start: /^Thread \d{1,9} killed on uncaught exception (.{1,4000})$/,
  glued: 'Thread 1 killed on uncaught exception ',
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/^(?:Stdlib\.)?Out[_ ]of[_ ]memory$/i.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: BACKTRACE,
  maxForeignLines: 2,
  maxLines: 1100,
};

/** The run time's own end: `Fatal error: WORDS`, then abort(), which says `Aborted` on Solo5. */
const fatalError: CrashGrammar = {
  name: 'fatal-error',
  source: 'runtime/misc.c caml_fatal_error',
  kind: 'panic',
  start: /^Fatal error: (?!exception )(?:Fatal error: )?(.{1,1000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/\bmemory\b/i.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [{ pattern: /^(?:Aborted|Solo5: solo5_abort\(\) called)$/, to: 'aborted' }],
  maxForeignLines: 2,
  // PHP and others begin so too; only the run time aborts at once.
  confirmed: (draft) => draft.section === 'aborted',
};

/** `camlApp__deep_608` (to 5.0), `camlApp.deep_517` (since 5.1), `camlStdlib__List.init_319` → `Stdlib.List.init`, `camlStdlib__$5e_140` → `Stdlib.^`. */
function demangle(linkerName: string): string | null {
  const match = /^caml([A-Z][\w$]*)(?:\.([\w$.]+))?$/.exec(linkerName);
  if (match === null) return null;
  const modules = (match[1] ?? '').split('__').filter((part) => part !== '');
  const name = match[2] ?? modules.pop() ?? '';
  const path = modules.map((part) => part.replace(/_\d+$/, ''));
  return [...path, decodeOperator(name.replace(/_\d+(?:_code)?$/, ''))].join('.');
}

/** `$2b$2b` is `++`: characters that assemblers refuse. */
function decodeOperator(name: string): string {
  return name.replace(/\$([0-9a-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
}

/** OCaml. */
export const ocaml: Runtime = {
  name: 'ocaml',
  title: 'OCaml',
  recognise: { symbols: ['caml_startup', 'caml_main', 'caml_start_program'], sections: [] },
  crashes: [uncaught, inThread, fatalError],
  demangle,
  endsByExit: true,
  crashMachinery: [
    /^caml_(?:raise|fatal_|start_program|startup|main|callback|program|c_call|call_gc|alloc|garbage_collection|ml_array_bound)/,
    // The standard library raises what its callers ask for: `Not_found` of `Hashtbl.find` is the caller's.
    /^(?:Stdlib(?:__\w{1,100})?|Camlinternal\w{1,40})(?:\.|$)|^(?:failwith|invalid_arg|Std_exit|Thread\.create\.\(fun\))$/,
  ],
};
