// Erlang and Elixir: how the system ends (erts/preloaded/src/init.erl, erts/emulator/beam/break.c erl_crash_dump_v,
// erts/emulator/beam/erl_alloc.c, lib/kernel/src/kernel.erl). A process that dies is not the system's death: `=CRASH REPORT====` and
// `=ERROR REPORT====` are its supervisor's business and are not told. Test: test/panics/erlang.md, "a process dies".

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';

const MAX_FRAMES = 64;
/** `{crash,bad,1,[{file,"crash.erl"},{line,4}]}`, its quotes escaped when it stands in a string; arguments instead of the arity. */
const FRAME =
  /\{([a-z]\w{0,200}|'[^']{1,200}'),([a-z]\w{0,200}|'[^']{1,200}'),(\d{1,3}|\[[^\]]{0,500}\]),\[(?:\{file,\\{0,2}"([^"\\]{1,500})\\{0,2}"\},\{line,(\d{1,9})\})?/g;

/** The stack in a term, innermost first. */
function readTerm(term: string, draft: CrashDraft): void {
  for (const [, module, name, arity, file, line] of [...term.matchAll(FRAME)].slice(0, MAX_FRAMES)) {
    draft.frames.push(
      reportedFrame({
        function: `${module ?? ''}:${name ?? ''}${/^\d/.test(arity ?? '') ? `/${arity ?? ''}` : ''}`,
        file: file ?? null,
        line: line === undefined ? null : Number(line),
      }),
    );
  }
}

/** The reason without the stack: `{badarg,[{erlang,hd,…` is `badarg`, `{failed,app,{lost,[{…` is `failed,app,lost`. */
function reasonOf(term: string): string {
  const reason = (/^.{1,1000}?(?=,\[\{)/.exec(term)?.[0] ?? term).slice(0, 400);
  // The tuples that the stack was in are not closed any more: their braces go.
  return openBraces(reason).reduceRight((text, at) => text.slice(0, at) + text.slice(at + 1), reason);
}

/** Where the braces stand that nothing closes, from left to right. */
function openBraces(text: string): number[] {
  const open: number[] = [];
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '{') open.push(at);
    else if (text[at] === '}') open.pop();
  }
  return open;
}

const DUMP: readonly CrashLine[] = [
  { pattern: /^(?:init terminating in (?:do_boot|start_it) \(|Kernel pid terminated \()/ },
  { pattern: /^Crash dump (?:is being|was) written to: /, takesBetween: true },
];

/** To OTP 25 a tuple, and again in words; since then in words alone. */
const boot: CrashGrammar = {
  name: 'init-terminating',
  source: 'erts/preloaded/src/init.erl crash',
  kind: 'exception',
  start: /^(?:\{"(init terminating in (?:do_boot|start_it))",(.{1,8000})\}|(Runtime terminating during boot) \((.{1,8000})\))$/,
  begin: (match, draft) => {
    const term = match[2] ?? match[4] ?? '';
    draft.message = `${match[1] ?? match[3] ?? ''}: ${reasonOf(term)}`;
    readTerm(term, draft);
  },
  lines: DUMP,
  maxForeignLines: 2,
};

const kernelPid: CrashGrammar = {
  name: 'kernel-pid-terminated',
  source: 'erts/preloaded/src/init.erl terminate',
  kind: 'exception',
  start:
    /^(?:\{"Kernel pid terminated",(\w{1,100}),"?(.{1,8000}?)"?\}|Kernel pid terminated \((\w{1,100})\) \("?(.{1,8000}?)"?\))$/,
  begin: (match, draft) => {
    const term = match[2] ?? match[4] ?? '';
    draft.message = `Kernel pid terminated (${match[1] ?? match[3] ?? ''}): ${reasonOf(term)}`;
    readTerm(term, draft);
  },
  lines: DUMP,
  maxForeignLines: 2,
};

const outOfMemory: CrashGrammar = {
  name: 'cannot-allocate',
  source: 'erts/emulator/beam/erl_alloc.c erts_alloc_enomem',
  kind: 'out-of-memory',
  start: /^(\w{1,32}: Cannot (?:re)?allocate \d{1,20} bytes of memory \(of type ".{1,100}"(?:, thread \d{1,9})?\)\.)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: DUMP,
  maxForeignLines: 2,
};

/** The line alone proves that the emulator ended; why, the one before says. */
const dump: CrashGrammar = {
  name: 'crash-dump',
  source: 'erts/emulator/beam/break.c erl_crash_dump_v',
  kind: 'panic',
  start: /^Crash dump (?:is being|was) written to: .{1,500}$/,
  begin: (_match, draft) => {
    draft.message = 'the Erlang emulator ended with a crash dump';
  },
  lines: [],
  maxForeignLines: 2,
};

const limit: CrashGrammar = {
  name: 'limit-reached',
  source: 'erts/emulator/beam/index.c index_put_entry',
  kind: 'panic',
  start: /^(no more index entries in \w{1,40} \(max=\d{1,12}\))$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: DUMP,
  maxForeignLines: 2,
};

/** Erlang. */
export const erlang: Runtime = {
  name: 'erlang',
  title: 'Erlang',
  recognise: { symbols: ['erl_start', 'erts_alloc_enomem', 'process_main'], sections: [] },
  crashes: [boot, kernelPid, outOfMemory, limit, dump],
  demangle: () => null,
  endsByExit: true,
  crashMachinery: [
    /^(?:init:(?:start_em|start_it|do_boot)|proc_lib:(?:init_p\w*|wake_up)|gen_(?:server|statem|event):|application_master:|supervisor:)/,
    /^erlang:(?:error|exit|raise|hd|tl|element)\b/,
    /^(?:erts_(?:exit|alloc_enomem|emergency_close_ports)|erl_crash_dump_v|erts_exit_vv)$/,
  ],
};
