// How stacks go on in Nanos where code has neither CFI nor a caller: the entries of interrupts and system calls and the return from
// them (src/x86_64/crt0.s), which save to the frame of a context (src/x86_64/frame.h), not to a stack. In the kernel gs points to
// the CPU's own data, of which the second word is the current context; a context begins with its frame.

import { TypedValue } from '../bytes/typed-value.ts';
import type { Registers } from '../model/registers.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { Memory } from '../model/target.ts';
import type { UnwindRule } from '../model/unikernel.ts';
import { findInterruptFrame, interrupted, readInterruptFrame } from './interrupt-frame.ts';
import { readWords } from './stack-words.ts';

/** Words of a context's frame, in their order; 28 is set while it holds a saved context. */
const FRAME = [
  ...[
    'rax',
    'rbx',
    'rcx',
    'rdx',
    'rsi',
    'rdi',
    'rbp',
    'rsp',
    'r8',
    'r9',
    'r10',
    'r11',
    'r12',
    'r13',
    'r14',
    'r15',
    'rip',
    'eflags',
  ],
] as const;
const FRAME_RIP = 16;
const FRAME_FULL = 28;
const FRAME_WORDS = 31;
/** At most so much is pushed before the entry takes the CPU's frame off the stack: rbx, the vector, an error code. */
const PUSHED_WORDS = 4;
/** The entry uses these before it has read the CPU's frame; the others are still the interrupted code's. */
const SCRATCH = ['rax', 'rbx', 'rcx', 'rdx', 'rdi'];
/** nasm names the labels inside its macros itself: `..@36.xs`. */
const NASM_LABEL = '\\.\\.@\\d+\\.\\w+';

/** Entered by a jump on a fresh stack: above it is the thread that made the system call. */
const systemCall: UnwindRule = {
  function: /^syscall_handler$/,
  source: 'src/x86_64/crt0.s syscall_enter jumps here; the caller is in the frame of sc->t',
  unwind: ({ registers, pc }, memory, symbols, types) => {
    // At its first instruction the thread is only in the register of the argument.
    const isEntered = symbols.findSymbol('syscall_handler')?.address === pc;
    if (isEntered) return callerFrom(readFrame(memory, registers.values.rdi ?? 0n), registers, false);
    const context = currentContext(registers, memory);
    const layout = types.findType('struct syscall_context');
    if (context === null || layout === null) return null;
    const thread = new TypedValue(memory, context, layout).member('t')?.dereference()?.member('context') ?? null;
    // The frame is where the thread is to go on: behind the system call instruction.
    return thread === null ? null : callerFrom(readContext(memory, thread.address), registers, false);
  },
};

/** `interrupt_entry`: the interrupted context's frame once it is saved, before that what the CPU pushed. */
const interrupt: UnwindRule = {
  function: new RegExp(`^(?:interrupt\\d+|interrupt_vectors|interrupt_entry(?:_with_ec)?|${NASM_LABEL})$`),
  source: 'src/x86_64/crt0.s interrupt_entry saves to the current context',
  unwind: ({ registers, pc }, memory, symbols) => {
    const [entry, end] = ['interrupt_entry_with_ec', 'x86_frame_return'].map((name) => symbols.findSymbol(name)?.address);
    const isEntry = entry !== undefined && end !== undefined && entry <= pc && pc < end;
    const isVector = /^interrupt(?:\d+|_vectors)$/.test(nameAt(symbols, pc) ?? '');
    if (!isEntry && !isVector) return null;
    const context = currentContext(registers, memory);
    const saved = context === null || isVector ? null : callerFrom(readContext(memory, context), registers, true);
    if (saved !== null) return saved;
    const sp = registers.values.rsp;
    const pushed = sp === undefined ? null : findInterruptFrame(memory, sp, PUSHED_WORDS);
    return pushed === null ? null : interrupted(registers, pushed, SCRATCH);
  },
};

/** The way back: the CPU's frame is on the stack, and rdi leads to the context's until the last register is loaded. */
const frameReturn: UnwindRule = {
  function: new RegExp(`^(?:x86_frame_return(?:\\.skip)?|${NASM_LABEL})$`),
  source: 'src/x86_64/crt0.s x86_frame_return loads a context and returns to it by iretq',
  unwind: ({ registers, pc }, memory, symbols) => {
    const [start, end] = ['x86_frame_return', 'n_interrupt_vectors'].map((name) => symbols.findSymbol(name)?.address);
    const sp = registers.values.rsp;
    if (start === undefined || end === undefined || pc < start || pc >= end || sp === undefined) return null;
    const pushed = readInterruptFrame(memory, sp);
    if (pushed === null) return null;
    const context = readFrame(memory, registers.values.rdi ?? 0n);
    return context?.rip === pushed.rip ? callerFrom(context, registers, true) : interrupted(registers, pushed, []);
  },
};

/** Nanos' rules. */
export const NANOS_UNWIND_RULES: readonly UnwindRule[] = [systemCall, interrupt, frameReturn];

function nameAt(symbols: Symbolizer, pc: bigint): string | null {
  return symbols.symbolize(pc).at(-1)?.function ?? null;
}

/** Null outside of the kernel: there gs is the program's. */
function currentContext({ values }: Registers, memory: Memory): bigint | null {
  const base = values.gs_base ?? 0n;
  const [self, context] = base === 0n ? [] : (readWords(memory, base, 2) ?? []);
  return self === base && context !== undefined && context !== 0n ? context : null;
}

type Frame = Readonly<Record<string, bigint>>;

/** What a context will go on with; null while nothing is saved in it. */
function readContext(memory: Memory, context: bigint): Frame | null {
  const words = readWords(memory, context, FRAME_WORDS);
  return words === null || (words[FRAME_FULL]! & 0xffn) !== 1n ? null : named(words);
}

function readFrame(memory: Memory, address: bigint): Frame | null {
  const words = readWords(memory, address, FRAME_RIP + 2);
  return words === null ? null : named(words);
}

function named(words: readonly bigint[]): Frame {
  return Object.fromEntries(FRAME.map((name, index) => [name, words[index]!]));
}

function callerFrom(frame: Frame | null, { machine, values }: Registers, exactPc: boolean): ReturnType<UnwindRule['unwind']> {
  return frame === null ? null : { registers: { machine, values: { ...values, ...frame } }, exactPc };
}
