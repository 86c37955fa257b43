// How Nanos dies, in words: a signal that ends the program, a fault of the kernel itself, an assertion. All three print a
// context block (dump_context): registers, frame trace, load offset, klibs, stack.

import { type ReportedFrame, reportedFrame } from '../model/console-text.ts';
import type { CrashKind } from '../model/crash.ts';
import type { CrashDraft, CrashGrammar, CrashLine, CrashOmen } from '../model/unikernel.ts';
import { hexWord, missingRegisters, X86_64_GENERAL } from './printed-registers.ts';

/** Linux' signal numbers, which are Nanos' too, as far as they end a program. */
export const SIGNALS: Readonly<Record<number, string>> = {
  ...{ 1: 'SIGHUP', 2: 'SIGINT', 3: 'SIGQUIT', 4: 'SIGILL', 5: 'SIGTRAP', 6: 'SIGABRT', 7: 'SIGBUS', 8: 'SIGFPE' },
  ...{ 9: 'SIGKILL', 10: 'SIGUSR1', 11: 'SIGSEGV', 12: 'SIGUSR2', 13: 'SIGPIPE', 14: 'SIGALRM', 15: 'SIGTERM' },
  ...{ 16: 'SIGSTKFLT', 24: 'SIGXCPU', 25: 'SIGXFSZ', 26: 'SIGVTALRM', 27: 'SIGPROF', 31: 'SIGSYS' },
};
const FAULT_SIGNALS: ReadonlySet<number> = new Set([4, 5, 7, 8, 11, 31]);

/** Printed label → gdb's name. The kernel's labels of ss and cs are swapped: its frame holds cs before ss (seen: `ss: 2b, cs: 23`). */
const REGISTERS: Readonly<Record<string, string>> = {
  rflags: 'eflags',
  ss: 'cs',
  cs: 'ss',
  fsbase: 'fs_base',
  gsbase: 'gs_base',
};

const SYMBOL = String.raw`(?:\t| {1,8})\((.{1,512}) \+ ([0-9a-f]{16})\/[0-9a-f]{16}\)`;

function readFrame(match: RegExpExecArray, draft: CrashDraft): void {
  const slot = hexWord(match[1]) ?? 0n;
  // Programs without frame pointers hold anything in rbp; a value pointing to itself gives the same line 32 times (Node).
  const climbs = draft.lastSlot === null || slot > draft.lastSlot;
  draft.lastSlot = slot;
  if (!climbs) return;
  draft.frames.push(frameOf(match, 'return'));
}

/** Address, and the symbol that the kernel found for it, from a match that ends in `SYMBOL`. */
function frameOf(match: RegExpExecArray, addressIs: 'exact' | 'return'): ReportedFrame {
  const offset = hexWord(match[4]);
  const functionOffset = offset === null ? null : Number(offset);
  return reportedFrame({ address: hexWord(match[2]), addressIs, function: match[3] ?? null, functionOffset });
}

const MAX_KLIBS = 64;

function readKlibs(match: RegExpExecArray, draft: CrashDraft): void {
  for (const klib of (match[1] ?? '').matchAll(/([\w.-]{1,64})@0x([0-9a-f]{16})\/0x([0-9a-f]{1,12})/g)) {
    if (draft.loadOffsets.length >= MAX_KLIBS) return;
    draft.loadOffsets.push({ module: klib[1] ?? null, base: hexWord(klib[2]) ?? 0n, size: Number(hexWord(klib[3])) });
  }
}

/** The frame trace and what follows it, alone in an assertion, else inside a context block. */
const TRACE: readonly CrashLine[] = [
  { pattern: /^frame trace: ?$/, to: 'trace' },
  { pattern: new RegExp(`^([0-9a-f]{16}): {1,3}([0-9a-f]{16})(?:${SYMBOL})?$`), in: 'trace', read: readFrame },
  {
    // 0.1.30 and before print no slot.
    pattern: new RegExp(`^()([0-9a-f]{16})(?:${SYMBOL})?$`),
    in: 'trace',
    read: (match, draft) => {
      draft.frames.push(frameOf(match, 'return'));
    },
  },
  {
    pattern: /^kernel load offset ([0-9a-f]{16})$/,
    to: 'modules',
    read: (match, draft) => {
      draft.loadOffsets.push({ module: null, base: hexWord(match[1]) ?? 0n, size: null });
    },
  },
  { pattern: /^loaded klibs: (.*)$/, read: readKlibs },
];

const CONTEXT: readonly CrashLine[] = [
  { pattern: /^\*\*\* Thread context:$/ },
  // A second block, of the system call the thread was in: its registers are not those of the crash.
  { pattern: /^\*\*\* Syscall context:$/, to: 'syscall' },
  { pattern: /^[ \w]{10}: [0-9a-f]{16}(?:\s.*)?$/, in: 'syscall' },
  { pattern: /^ {0,4}\w{2,6}: [0-9a-f]{16}(?:\s.*)?$/, in: 'syscall' },
  { pattern: /^(?:frame trace:|stack trace:|kernel load offset .*|loaded klibs: .*)$/, in: 'syscall' },
  { pattern: /^ {6}type: \w{1,16}$/ },
  { pattern: /^[0-9a-f]{16}: {3}[0-9a-f]{16}(?:\s.*)?$/, in: 'syscall' },
  {
    // ` interrupt: ` until 0.1.30, ` exception: ` on riscv64.
    pattern: /^(?:lastvector| interrupt| exception): [0-9a-f]{16}(?: \((.{1,64})\))?$/,
    read: (match, draft) => {
      if (match[1] !== undefined && !draft.message.includes(match[1])) draft.message += `: ${match[1]}`;
    },
  },
  {
    pattern: /^ {3}address: ([0-9a-f]{16})(?:\s.*)?$/,
    read: (match, draft) => {
      draft.faultAddress ??= hexWord(match[1]);
    },
  },
  { pattern: /^(?: {5}frame|active_cpu| stack top|error code): [0-9a-f]{16}(?:\s.*)?$/ },
  {
    pattern: new RegExp(`^ {0,4}(r[a-z0-9]{1,2}|rflags|[cdes]s|[fg]sbase): ([0-9a-f]{16})(?:${SYMBOL})?$`),
    read: (match, draft) => {
      const name = match[1] ?? '';
      draft.registers[REGISTERS[name] ?? name] = hexWord(match[2]) ?? 0n;
      if (name === 'rip' && match[3] !== undefined) draft.frames.unshift(frameOf(match, 'exact'));
    },
  },
  ...TRACE,
  { pattern: /^stack trace:$/, to: 'stack' },
  { pattern: /^[0-9a-f]{16}(?:: {3}[0-9a-f]{16})?(?:\s.*)?$/, in: 'stack' },
];

/** src/aarch64/interrupt.c: the exception's own words, then `x0` to `sp`, beside them what is in the vector registers. */
const ARM64: readonly CrashLine[] = [
  { pattern: /^ {6}spsr: [0-9a-f]{16}$/ },
  {
    pattern: /^ {7}esr: [0-9a-f]{16}(?: (.{1,100}))?$/,
    read: (match, draft) => {
      draft.machine = 'aarch64';
      if (match[1] !== undefined) draft.message += `: ${match[1]}`;
      if (/ abort in /.test(match[1] ?? '')) draft.section = 'abort';
    },
  },
  {
    pattern: /^ {7}far: ([0-9a-f]{16})(?:\s.*)?$/,
    in: 'abort',
    to: '',
    read: (match, draft) => {
      draft.faultAddress ??= hexWord(match[1]);
    },
  },
  { pattern: /^ {7}far: [0-9a-f]{16}(?:\s.*)?$/ },
  {
    pattern: new RegExp(`^ {7}(elr): ([0-9a-f]{16})(?:${SYMBOL})?$`),
    to: '',
    read: (match, draft) => {
      draft.registers.pc = hexWord(match[2]) ?? 0n;
      draft.frames.unshift(frameOf(match, 'exact'));
    },
  },
  {
    pattern: /^ {6} ?(x\d{1,2}|sp): ([0-9a-f]{16})(?:\s.*)?$/,
    read: (match, draft) => {
      draft.registers[match[1] ?? ''] = hexWord(match[2]) ?? 0n;
    },
  },
  { pattern: /^ {5}fp[sc]r: [0-9a-f]{16}$/ },
];

/** src/riscv64/interrupt.c; `fp` is `s0`. */
const RISCV64: readonly CrashLine[] = [
  { pattern: /^ {4}status: [0-9a-f]{16}(?:\s.*)?$/ },
  {
    pattern: /^ {5}stval: ([0-9a-f]{16})(?:\s.*)?$/,
    read: (match, draft) => {
      draft.machine = 'riscv64';
      draft.faultAddress ??= hexWord(match[1]);
    },
  },
  {
    pattern: new RegExp(`^ ?(pc|ra|sp|gp|tp|fp|t[0-6]|a[0-7]|s\\d{1,2}): ([0-9a-f]{16})(?:${SYMBOL})?$`),
    read: (match, draft) => {
      const name = match[1] ?? '';
      draft.registers[name === 'fp' ? 's0' : name] = hexWord(match[2]) ?? 0n;
      if (name === 'pc') draft.frames.unshift(frameOf(match, 'exact'));
    },
  },
];

const DUMP: readonly CrashLine[] = [...CONTEXT, ...ARM64, ...RISCV64];

function finishContext(draft: CrashDraft): void {
  const general = { x86_64: X86_64_GENERAL, i386: [], aarch64: ['pc', 'sp', 'x0', 'x30'], riscv64: ['pc', 'sp', 'ra'] };
  draft.corrupted = missingRegisters(draft, general[draft.machine]);
}

function kindOfSignal(signal: number): CrashKind {
  return FAULT_SIGNALS.has(signal) ? 'fault' : 'abort';
}

const signal: CrashGrammar = {
  name: 'signal',
  source: 'src/unix/signal.c default_signal_action, src/x86_64/interrupt.c dump_context',
  kind: 'fault',
  // Without the stars until 0.1.30.
  start: /^(?:\*\*\* )?signal (\d{1,2}) received by tid (\d{1,9}), errno (-?\d{1,9}), code (-?\d{1,9})$/,
  glued: '*** signal ',
  begin: (match, draft) => {
    const number = Number(match[1]);
    draft.kind = kindOfSignal(number);
    draft.message = `signal ${String(number)} (${SIGNALS[number] ?? '?'}) received by tid ${match[2] ?? ''}`;
  },
  lines: [
    {
      pattern: /^ {3,4}fault address (0x[0-9a-f]{1,16})$/,
      read: (match, draft) => {
        draft.faultAddress = hexWord(match[1]);
      },
    },
    ...DUMP,
  ],
  end: /^ {3}(?:core dump(?: \(unimplemented\))?|terminate|stop)$/,
  finish: finishContext,
};

/** A signal that no handler can take: SIGKILL is the kernel's answer to a program that goes on to want memory when there is none. */
const processAbort: CrashGrammar = {
  name: 'process-abort',
  source: 'src/unix/thread.c check_stop_conditions',
  kind: 'abort',
  start: /^Process abort: (Unhandled SIGSEGV|SIGKILL|SIGSTOP) received by thread (\d{1,9})$/,
  begin: (match, draft) => {
    if (match[1] === 'Unhandled SIGSEGV') draft.kind = 'fault';
    draft.message = `${match[1] ?? ''} received by thread ${match[2] ?? ''}`;
  },
  lines: DUMP,
  end: /^Terminating\.$/,
  finish: finishContext,
};

const kernelFault: CrashGrammar = {
  name: 'kernel-fault',
  source: 'src/unix/unix.c unix_fault_handler',
  kind: 'fault',
  start: /^cpu: (\d{1,3}), context type: (\d)$/,
  begin: (match, draft) => {
    const types = ['undefined', 'kernel', 'syscall', 'thread'];
    draft.vcpu = Number(match[1]);
    // The line before says what happened, and is empty for a page fault.
    draft.message = draft.before?.text.trim() || `fault in ${types[Number(match[2])] ?? 'unknown'} context`;
  },
  lines: DUMP,
  confirmed: (draft) => Object.keys(draft.registers).length > 0,
  finish: (draft) => {
    finishContext(draft);
    if (draft.section !== 'stack') draft.corrupted ??= 'the text breaks off before the stack';
  },
};

/** The line before, glued to it for a page fault, says what happened. */
const oldKernelFault: CrashGrammar = {
  name: 'kernel-fault-0.1.30',
  source: 'src/unix/unix.c default_fault_handler until 0.1.30',
  kind: 'fault',
  start: /^(Unhandled page fault in kernel mode: )?cpu: (\d{1,3})$/,
  glued: 'Unhandled page fault in kernel mode: cpu: ',
  begin: (match, draft) => {
    const said = draft.before?.text.trim() ?? '';
    draft.vcpu = Number(match[2]);
    draft.message = match[1]?.replace(/: $/, '') ?? (said.endsWith(' in kernel mode') ? said : 'fault of the kernel');
  },
  lines: DUMP,
  confirmed: (draft) => Object.keys(draft.registers).length > 0,
  finish: finishContext,
};

const noHandler: CrashGrammar = {
  name: 'no-handler',
  source: 'src/x86_64/interrupt.c common_handler',
  kind: 'fault',
  start:
    /^(no fault handler(?: for frame)?|exception during interrupt handling|exception for invalid interrupt vector|frame [0-9a-f]{16}(?:\s.*)? already full) ?$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
  },
  lines: [
    {
      pattern: /^cpu ([0-9a-f]{16}), state (\w{1,16}), vector [0-9a-f]{16}$/,
      read: (match, draft) => {
        draft.vcpu = Number(hexWord(match[1]));
        draft.message += ` (cpu state ${match[2] ?? ''})`;
      },
    },
    ...DUMP,
  ],
  // On arm64 no line tells the CPU.
  confirmed: (draft) => draft.vcpu !== null || Object.keys(draft.registers).length > 0,
  finish: finishContext,
};

const stackCheck: CrashGrammar = {
  name: 'stack-check',
  source: 'src/x86_64/interrupt.c __stack_chk_fail',
  kind: 'panic',
  start: /^(?:__stack_chk_fail error: )?(stack check failed on cpu (\d{1,3}))$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    draft.vcpu = Number(match[2]);
  },
  lines: DUMP,
  finish: finishContext,
};

const ASSERTION =
  /^(?:loaded klibs: )?assertion (.{1,1000}) failed at (\S{1,512}):(\d{1,9}) {1,2}(?:\(IP (0x[0-9a-f]{1,16})\) {1,2})?in (\w{1,256})\(\)/;

function readAssertion(match: RegExpExecArray, draft: CrashDraft): void {
  draft.message = `assertion ${match[1] ?? ''} failed`;
  draft.location = { file: match[2] ?? '', line: Number(match[3]), function: match[5] ?? null };
  const ip = hexWord(match[4]);
  if (ip !== null) draft.frames.unshift(reportedFrame({ address: ip, function: match[5] ?? null }));
}

/** The trace comes first, the words last. */
const tracedAssertion: CrashGrammar = {
  name: 'assert',
  source: 'src/runtime/runtime.h assert, src/kernel/kernel.c print_frame_trace_from_here',
  kind: 'assert',
  start: /^frame trace: ?$/,
  begin: (_match, draft) => {
    draft.section = 'trace';
  },
  lines: [{ pattern: ASSERTION, read: readAssertion }, ...TRACE],
  end: ASSERTION,
  confirmed: (draft) => draft.location !== null,
};

const plainAssertion: CrashGrammar = {
  name: 'plain-assert',
  source: 'src/runtime/runtime.h assert',
  kind: 'assert',
  start: ASSERTION,
  begin: readAssertion,
  lines: [],
};

/** 2019 and before: no trace. */
const oldAssertion: CrashGrammar = {
  name: 'old-assert',
  source: 'src/runtime/runtime.h assert until 2019',
  kind: 'assert',
  start: /^assertion (.{1,1000}) failed in (\S{1,512}): (\w{1,256})\(\) on line (\d{1,9}); halt$/,
  begin: (match, draft) => {
    draft.message = `assertion ${match[1] ?? ''} failed`;
    draft.location = { file: match[2] ?? '', line: Number(match[4]), function: match[3] ?? null };
  },
  lines: [],
};

/** halt() says only its words; these are those that nobody else says. */
const halt: CrashGrammar = {
  name: 'halt',
  source:
    'src/runtime/runtime.h halt: its callers in platform/pc/{service,boot/stage2}.c, src/unix/unix.c, src/aarch64/interrupt.c',
  kind: 'panic',
  start:
    /^(cannot get physical page for vaddr 0x[0-9a-f]{1,16}, ctx \S{1,32}; OOM|stage2 working heap out of memory|no (?:initial pages region|valid physical regions) found; halt|timer initialization failed; no timer source|kernel (?:elf parse failed|failed to execute)|halt: platform doesn't support no-exec page protection|frame (?:0x)?[0-9a-f]{1,16} already full|no handler for interrupt \d{1,5}|syscall_return: syscall returned)$/,
  begin: (match, draft) => {
    draft.message = match[1] ?? '';
    if (/; OOM$|out of memory$/.test(draft.message)) draft.kind = 'out-of-memory';
  },
  lines: [],
};

export const CRASHES: readonly CrashGrammar[] = [
  signal,
  processAbort,
  kernelFault,
  oldKernelFault,
  noHandler,
  stackCheck,
  tracedAssertion,
  plainAssertion,
  oldAssertion,
  halt,
];

/** Seen with a program that eats all memory: SIGBUS at the page that could not be filled; after ten of them SIGKILL. */
export const OMENS: readonly CrashOmen[] = [
  {
    pattern: /^page fill failed with \(result:out of memory\)$|^page fault: out of memory, program killed$/,
    kind: 'out-of-memory',
    explains: (draft) => draft.kind === 'fault' || draft.kind === 'abort' || draft.kind === 'panic',
  },
];
