// Go: panics, fatal errors and the goroutine dumps behind them (runtime/panic.go, runtime/traceback.go,
// runtime/signal_unix.go, runtime/mprof.go), and Go's linker names (cmd/internal/objabi/path.go).

import { reportedFrame } from '../model/console-text.ts';
import type { CrashDraft, CrashGrammar, CrashLine, Runtime } from '../model/unikernel.ts';
import { openGoCodeTable } from './go/code-table.ts';

const MAX_NESTED_WORDS = 8;

function addWords(words: string, draft: CrashDraft): void {
  if (draft.message.split('\n').length <= MAX_NESTED_WORDS) draft.message += `\n${words}`;
}

/** A message of several lines: what stands before the trace belongs to it. Since 1.24 a tab is put before each. */
function takeRest(draft: CrashDraft): void {
  for (const line of draft.between) addWords(line.replace(/^ {8}/, ''), draft);
}

/** What `fatal error: WORDS` means. */
function readFatal(words: string, draft: CrashDraft): void {
  if (words.startsWith('all goroutines are asleep')) draft.kind = 'hang';
  else if (words.startsWith('no goroutines (main called runtime.Goexit)')) {
    // There is no stack to follow.
    draft.kind = 'hang';
    draft.section = 'told';
  } else if (/out of memory|cannot allocate memory/.test(words)) draft.kind = 'out-of-memory';
  else if (words === 'stack overflow') draft.kind = 'fault';
}

/** `\t/path/file.go:17 +0x25 fp=0x… sp=0x… pc=0x…`: with GOTRACEBACK=system or inside the run time also fp, sp and pc. */
function readPlace(match: RegExpExecArray, draft: CrashDraft): void {
  const above = draft.frames.at(-2);
  const frame = draft.frames.pop();
  if (frame === undefined) return;
  const [, file, line, offset, pc] = match;
  // A traceback's pc is where the call returns to, but for the first frame and the one that a signal interrupted.
  const exact = above === undefined || above.function === 'runtime.sigpanic';
  draft.frames.push({
    ...frame,
    file: file ?? null,
    line: Number(line),
    functionOffset: offset === undefined ? null : Number.parseInt(offset, 16),
    address: pc === undefined ? null : BigInt(pc),
    addressIs: exact ? 'exact' : 'return',
  });
}

const PLACE =
  /^\s{1,16}(\S.{0,1024}\.\w{1,8}):(\d{1,9})(?: \+0x([0-9a-f]{1,16}))?(?: fp=0x[0-9a-f]{1,16} sp=0x[0-9a-f]{1,16} pc=(0x[0-9a-f]{1,16}))?$/;

/** `main.(*T).handle(0x1f?, {0xc000…, 0x2})`, arguments left out; the end first, or a long line without one costs. */
const CALL = /^(?=.{0,4600}\)$)([\w./%·*()[\]{},$~-]{1,512})\(.{0,4000}\)$/;

function readCall(match: RegExpExecArray, draft: CrashDraft): void {
  draft.frames.push(reportedFrame({ function: match[1] ?? null }));
}

/** Only the first goroutine's frames are the crash's; the other goroutines' lines are known and left. */
const TRACE: readonly CrashLine[] = [
  {
    pattern:
      /^\[signal (SIG[A-Z]{2,8}).{0,64}?(?: code=(0x[0-9a-f]{1,8}))?(?: addr=(0x[0-9a-f]{1,16}))?(?: pc=(0x[0-9a-f]{1,16}))?\]$/,
    read: (match, draft) => {
      if (/^SIG(?:SEGV|BUS|FPE|ILL)$/.test(match[1] ?? '')) draft.kind = 'fault';
      // SI_KERNEL: a general protection fault has no address, and 0 is printed.
      if (match[3] !== undefined && match[2] !== '0x80') draft.faultAddress = BigInt(match[3]);
      if (match[4] !== undefined) draft.registers.rip = BigInt(match[4]);
      draft.section ||= 'told';
    },
  },
  {
    pattern: /^fatal error: (.{1,1000})$/,
    read: (match, draft) => {
      readFatal(match[1] ?? '', draft);
      addWords(match[0], draft);
    },
  },
  {
    pattern: /^\s{0,8}(panic: .{1,1000})$/,
    read: (match, draft) => {
      addWords(match[1] ?? '', draft);
    },
  },
  // The run time's own stack, which goroutine 0 is too, comes first; what the goroutine did is worth more.
  {
    pattern: /^(?:runtime stack|goroutine 0 .{0,200}):$/,
    in: '',
    to: 'runtime',
    takesBetween: true,
    read: (_match, draft) => {
      takeRest(draft);
    },
  },
  { pattern: /^(?:runtime stack|goroutine 0 .{0,200}):$/, in: 'told', to: 'runtime', takesBetween: true },
  {
    pattern: /^goroutine \d{1,12} .{0,200}:$/,
    in: '',
    to: 'first',
    takesBetween: true,
    read: (_match, draft) => {
      takeRest(draft);
    },
  },
  { pattern: /^goroutine \d{1,12} .{0,200}:$/, in: 'told', to: 'first', takesBetween: true },
  {
    pattern: /^goroutine \d{1,12} .{0,200}:$/,
    in: 'runtime',
    to: 'first',
    read: (_match, draft) => {
      draft.frames = [];
    },
  },
  { pattern: CALL, in: 'runtime', read: readCall },
  { pattern: PLACE, in: 'runtime', read: readPlace },
  { pattern: /^(?:runtime stack:|goroutine .{0,200}:)$/, in: 'first', to: 'others' },
  { pattern: /^(?:runtime stack:|goroutine .{0,200}:)$/, in: 'others' },
  { pattern: /^created by /, in: 'first', to: 'first-created' },
  { pattern: PLACE, in: 'first-created', to: 'others' },
  { pattern: CALL, in: 'first', read: readCall },
  { pattern: PLACE, in: 'first', read: readPlace },
  { pattern: /^(?:created by |[\w./%·*()[\]{},$~-]{1,512}\()/, in: 'others' },
  { pattern: PLACE, in: 'others' },
  { pattern: /^\.\.\.(?:additional|\d+) .{0,64}(?:elided|omitted)\.\.\.$/ },
  {
    pattern: /^(r[a-z0-9]{1,2}|rip|rflags|[cfg]s) +(0x[0-9a-f]{1,16})$/,
    read: (match, draft) => {
      const name = match[1] === 'rflags' ? 'eflags' : (match[1] ?? '');
      draft.registers[name] = BigInt(match[2] ?? '0');
    },
  },
  { pattern: /^(?:exit status \d+|runtime: .{1,400}|\s?(?:stack|sp)=\[?0x.{1,200}|\[recovered.{0,16}\])$/ },
];

/** A message that is no crash without a trace behind it: other programs print `panic: …` too. */
function isTold(draft: CrashDraft): boolean {
  return draft.section !== '';
}

/** Go's dump of all goroutines of a server. */
const MAX_LINES = 20_000;

const panic: CrashGrammar = {
  name: 'panic',
  source: 'runtime/panic.go printpanics',
  kind: 'panic',
  start: /^panic: (.{1,4000})$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: TRACE,
  maxLines: MAX_LINES,
  confirmed: isTold,
};

const fatal: CrashGrammar = {
  name: 'fatal-error',
  source: 'runtime/panic.go throw, fatalthrow; runtime/signal_unix.go sigpanic',
  kind: 'panic',
  start:
    /^(fatal error: (.{1,1000})|unexpected fault address 0x[0-9a-f]{1,16}|runtime: (?:goroutine stack exceeds \d{1,12}-byte limit|out of memory: .{1,400}))$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    readFatal(match[2] ?? '', draft);
    if (draft.message.startsWith('runtime: out of memory')) draft.kind = 'out-of-memory';
  },
  lines: TRACE,
  maxLines: MAX_LINES,
  confirmed: isTold,
};

/** A signal that Go does not make a panic of: another process's SIGQUIT or SIGABRT, a fault in C or in the run time itself. */
const signal: CrashGrammar = {
  name: 'signal',
  source: 'runtime/signal_unix.go fatalsignal, dieFromSignal',
  kind: 'abort',
  start:
    /^(SIGQUIT: quit|SIGABRT: abort|SIGSEGV: segmentation violation|SIGBUS: bus error|SIGFPE: floating-point exception|SIGILL: illegal instruction|SIGTRAP: trace trap|SIGSYS: bad system call|SIGSTKFLT: stack fault)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/^SIG(?:SEGV|BUS|FPE|ILL):/.test(draft.message)) draft.kind = 'fault';
  },
  lines: [
    {
      pattern: /^PC=(0x[0-9a-f]{1,16}) m=-?\d{1,9} sigcode=-?\d{1,9}(?: addr=(0x[0-9a-f]{1,16}))?$/,
      in: '',
      to: 'told',
      read: (match, draft) => {
        draft.registers.rip = BigInt(match[1] ?? '0');
        if (match[2] !== undefined) draft.faultAddress = BigInt(match[2]);
      },
    },
    { pattern: /^signal arrived during (?:cgo|external code) execution$|^instruction bytes: [0-9a-fx ]{1,200}$/ },
    ...TRACE,
  ],
  maxLines: MAX_LINES,
  confirmed: isTold,
  // Where the thread was that got the signal is nowhere near what the goroutine did.
  finish: (draft) => {
    if (draft.kind === 'abort') draft.registers = {};
  },
};

/** A linker name's `%2e` and generic shapes are undone; anything else is the programmer's name already. */
function demangle(linkerName: string): string | null {
  if (!/%[0-9a-f]{2}|\bgo\.shape\./.test(linkerName)) return null;
  return linkerName
    .replace(/%([0-9a-f]{2})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    .replace(/\bgo\.shape\./g, '');
}

/** Go. */
export const go: Runtime = {
  name: 'go',
  title: 'Go',
  recognise: { symbols: ['runtime.gopanic', 'runtime.buildVersion'], sections: ['.gopclntab', '.note.go.buildid'] },
  crashes: [panic, fatal, signal],
  demangle,
  openCodeTable: openGoCodeTable,
  // GOROOT's packages have no dot in their first part; what GOPATH has below its src begins with a host's name.
  libraryFiles: [/\/(?:go|go-?1\.\d+(?:\.\d+)?|golang)\/src\/(?![^/]*\.)/],
  crashMachinery: [
    // The run time does what the program asks of it; where it alone is in the stack, its innermost frame is still named.
    /^(?:runtime|internal\/runtime\/\w+|runtime\/internal\/\w+)\./,
    /^(?:internal\/)?sync\.(?:fatal|throw|runtime_\w+|\(\*(?:RW)?Mutex\)\.\w+|\(\*WaitGroup\)\.\w+)$/,
    /^panic$/,
  ],
};
