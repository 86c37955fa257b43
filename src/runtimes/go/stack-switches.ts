// Where a Go stack does not go on by the rules of calls (runtime/traceback.go, runtime/asm_amd64.s): ends of stacks, switches from
// the scheduler's stack to a goroutine's, functions that a signal made the goroutine call, and the signal handler's return.
//
// A switch leaves the goroutine's stack pointer in its `g`. Where that field is, and how to come from the thread to its goroutine,
// only the code of runtime.systemstack tells in a stripped binary: it makes the same way back, by loads from fixed offsets.

import type { CodeImage, CodeTable, SpecialCaller } from '../../model/code-table.ts';
import { errorCode } from '../../model/error.ts';
import { findSp, type Registers } from '../../model/registers.ts';
import type { Memory } from '../../model/target.ts';
import { decodeWayBack, type WayBack } from './way-back.ts';

interface SpecialFrame {
  readonly registers: Registers;
  readonly pc: bigint;
  readonly loadBias: bigint;
}

type Rule = (switches: StackSwitches, frame: SpecialFrame, delta: () => number | null, memory: Memory) => SpecialCaller;

/** No goroutine's stack is larger: runtime.maxstacksize. */
const MAX_STACK = 1n << 32n;
const CODE_BYTES = 1024;
/** Offsets of registers in the kernel's ucontext (Linux, arch/x86/include/uapi/asm/sigcontext.h), which a handler returns to. */
const UCONTEXT = {
  ...{ r8: 40n, r9: 48n, r10: 56n, r11: 64n, r12: 72n, r13: 80n, r14: 88n, r15: 96n, rdi: 104n, rsi: 112n },
  ...{ rbp: 120n, rbx: 128n, rdx: 136n, rax: 144n, rcx: 152n, rsp: 160n, rip: 168n },
} as const;

const RULES: readonly (readonly [RegExp, Rule])[] = [
  [/^(?:goexit|mstart|rt0_go|_rt0_.{1,40})$/, () => 'outermost'],
  [/^systemstack$/, (switches, frame, delta, memory) => switches.returnToGoroutine(frame, delta, memory)],
  [/^(?:mcall|morestack(?:_noctxt)?)$/, (switches, frame, _delta, memory) => switches.resumeGoroutine(frame, memory)],
  [/^asmcgocall$/, (switches, frame, delta, memory) => switches.leaveC(frame, delta, memory)],
  [/^(?:asyncPreempt|sigpanic0?|debugCall\w*)$/, (_switches, frame, delta, memory) => interrupted(frame, delta(), memory)],
  [/^(?:sigreturn(?:__sigaction)?)$/, (_switches, frame, _delta, memory) => handledSignal(frame, memory)],
];

const PREFIX = 'runtime.';

/** The special frames of one image. */
export class StackSwitches {
  private readonly image: CodeImage;
  private readonly table: Pick<CodeTable, 'findSymbol'>;
  private wayBack: WayBack | null | undefined;
  private switchFunction: { readonly address: bigint; readonly size: number } | null | undefined;

  constructor(image: CodeImage, table: Pick<CodeTable, 'findSymbol'>) {
    this.image = image;
    this.table = table;
  }

  /** See CodeTable.findSpecialCaller; `name` is the frame's function, `delta` gives its stackDelta. */
  findCaller(name: string, frame: SpecialFrame, delta: () => number | null, memory: Memory): SpecialCaller {
    if (!name.startsWith(PREFIX) && !name.startsWith('_rt0_')) return null;
    const own = name.startsWith(PREFIX) ? name.slice(PREFIX.length).replace(/\.abi0$/, '') : name;
    const rule = RULES.find(([pattern]) => pattern.test(own));
    // The registers and the memory that these rules know are those of x86-64; an end is an end everywhere.
    if (rule === undefined || (this.image.machine !== 'x86_64' && rule !== RULES[0])) return null;
    return rule[1](this, frame, delta, memory);
  }

  /** systemstack: its frame goes on on the goroutine's stack, unless there was no need to switch. */
  returnToGoroutine(frame: SpecialFrame, delta: () => number | null, memory: Memory): SpecialCaller {
    const sp = findSp(frame.registers);
    const size = delta();
    const saved = this.savedState(frame, memory);
    if (sp === null || size === null) return 'no-rule';
    if (saved === null || this.isOnOwnStack(frame, memory)) return this.wentNowhere(frame, sp, size, memory);
    const cfa = saved.sp + BigInt(size);
    const pc = readWord(memory, cfa - 8n);
    if (pc === null || !this.isSwitch(saved.pc - frame.loadBias)) return 'no-rule';
    // Since 1.21 systemstack keeps its caller's frame pointer in its own frame.
    const rbp = size > 8 ? readWord(memory, cfa - 16n) : saved.bp;
    return caller(frame, { rip: pc, rsp: cfa, ...(rbp === null ? {} : { rbp }) }, false);
  }

  /** mcall, morestack: the goroutine was left where its `g` says. Once the scheduler has let go of it nothing lies above. */
  resumeGoroutine(frame: SpecialFrame, memory: Memory): SpecialCaller {
    const way = this.getWayBack();
    if (way === null) return 'no-rule';
    const saved = this.savedState(frame, memory);
    if (saved === null) return this.hasNoGoroutine(frame, memory) ? 'outermost' : 'no-rule';
    return caller(frame, { rip: saved.pc, rsp: saved.sp, ...(saved.bp === null ? {} : { rbp: saved.bp }) }, false);
  }

  /** asmcgocall: it notes its `g` and how deep in that stack it was (1.22 moved the notes down with the space kept for the callee). */
  leaveC(frame: SpecialFrame, delta: () => number | null, memory: Memory): SpecialCaller {
    const sp = findSp(frame.registers);
    const size = delta();
    if (sp === null || size === null) return 'no-rule';
    for (const noted of [0n, 40n]) {
      const [depth, g] = [readWord(memory, sp + noted), readWord(memory, sp + noted + 8n)];
      if (depth === null || g === null || depth === 0n) continue;
      // Without a switch it notes the stack pointer itself, and no g.
      const top = g === 0n ? depth : this.topOf(g, memory);
      const below = g === 0n ? 0n : depth;
      if (top === null || below >= MAX_STACK || (g === 0n && (depth < sp || depth - sp > 4096n))) continue;
      const cfa = top - below + BigInt(size);
      const pc = readWord(memory, cfa - 8n);
      if (pc === null) continue;
      const rbp = size > 8 ? readWord(memory, cfa - 16n) : null;
      return caller(frame, { rip: pc, rsp: cfa, ...(rbp === null ? {} : { rbp }) }, false);
    }
    return 'no-rule';
  }

  /** Upper end of the stack of what must be a `g`. */
  private topOf(g: bigint, memory: Memory): bigint | null {
    const [low, high] = [readWord(memory, g), readWord(memory, g + 8n)];
    if (low === null || high === null || low >= high || high - low > MAX_STACK) return null;
    const way = this.getWayBack();
    return way !== null && readWord(memory, g + BigInt(way.sp + 16)) !== g ? null : high;
  }

  /** What the thread's goroutine has saved of itself; null when there is none or what was found is none. */
  private savedState(
    frame: SpecialFrame,
    memory: Memory,
  ): { readonly sp: bigint; readonly pc: bigint; readonly bp: bigint | null } | null {
    const way = this.getWayBack();
    const current = way === null ? null : this.currentGoroutine(way, frame, memory);
    if (way === null || current === null || current === 0n) return null;
    const at = current + BigInt(way.sp);
    // gobuf: sp, pc, g. A goroutine's own gobuf names itself.
    const [sp, pc, self] = [readWord(memory, at), readWord(memory, at + 8n), readWord(memory, at + 16n)];
    if (sp === null || pc === null || self !== current || sp === 0n || pc === 0n) return null;
    return { sp, pc, bp: way.bp === null ? null : readWord(memory, current + BigInt(way.bp)) };
  }

  private hasNoGoroutine(frame: SpecialFrame, memory: Memory): boolean {
    const way = this.getWayBack();
    return way !== null && this.currentGoroutine(way, frame, memory) === 0n;
  }

  private isOnOwnStack(frame: SpecialFrame, memory: Memory): boolean {
    const way = this.getWayBack();
    const current = way === null ? null : this.currentGoroutine(way, frame, memory);
    const high = current === null || current === 0n ? null : this.topOf(current, memory);
    const low = high === null ? null : readWord(memory, current ?? 0n);
    const sp = findSp(frame.registers);
    return sp !== null && low !== null && high !== null && low < sp && sp < high;
  }

  /** `m.curg` of this thread; 0 when its scheduler runs none. */
  private currentGoroutine(way: WayBack, { registers }: SpecialFrame, memory: Memory): bigint | null {
    const base = registers.values.fs_base;
    const own = base === undefined ? null : readWord(memory, base + BigInt(way.tls ?? -8));
    // A thread that a scheduler has put away may have left no fs_base; code that the C compiler made may have changed r14.
    for (const g of [own, registers.values.r14 ?? null]) {
      const m = g === null || g === 0n ? null : readWord(memory, g + BigInt(way.m));
      // The first word of an m is its g0, which knows its m.
      const g0 = m === null || m === 0n ? null : readWord(memory, m);
      if (m === null || g0 === null || readWord(memory, g0 + BigInt(way.m)) !== m) continue;
      return readWord(memory, m + BigInt(way.current));
    }
    return null;
  }

  private isSwitch(pc: bigint): boolean {
    if (this.switchFunction === undefined) this.switchFunction = this.table.findSymbol('runtime.systemstack_switch');
    const found = this.switchFunction;
    return found !== null && pc >= found.address && pc <= found.address + BigInt(found.size);
  }

  /**
   * systemstack called on the system stack jumps: a frame of its own is then one that has not begun to switch. Nor has one that is
   * still on the goroutine's stack (seen: Go 1.19 on Nanos without memory, killed by a page of gosave_systemstack_switch that was gone).
   */
  private wentNowhere(frame: SpecialFrame, sp: bigint, size: number, memory: Memory): SpecialCaller {
    const pc = readWord(memory, sp + BigInt(size) - 8n);
    const entry = this.table.findSymbol('runtime.systemstack');
    const hasBegun = (entry === null || frame.pc - entry.address > 32n) && !this.isOnOwnStack(frame, memory);
    return pc === null || hasBegun ? 'no-rule' : caller(frame, { rip: pc, rsp: sp + BigInt(size) }, false);
  }

  private getWayBack(): WayBack | null {
    if (this.wayBack === undefined) this.wayBack = this.readWayBack();
    return this.wayBack;
  }

  private readWayBack(): WayBack | null {
    try {
      const found = this.table.findSymbol('runtime.systemstack');
      const code = found === null ? null : this.image.readVirtual(found.address, Math.min(found.size, CODE_BYTES));
      return code === null ? null : decodeWayBack(code);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      return null;
    }
  }
}

/** Called as if by the instruction that was interrupted: its return address is exact. */
function interrupted(frame: SpecialFrame, delta: number | null, memory: Memory): SpecialCaller {
  const sp = findSp(frame.registers);
  if (sp === null || delta === null) return 'no-rule';
  const cfa = sp + BigInt(delta);
  const pc = readWord(memory, cfa - 8n);
  if (pc === null) return 'no-rule';
  const fp = frame.registers.values.rbp;
  // A function that has set up its frame pointer has it right below its return address.
  const saved = fp === cfa - 16n ? readWord(memory, fp) : fp !== undefined && fp >= cfa ? fp : null;
  return caller(frame, { rip: pc, rsp: cfa, ...(saved === null ? {} : { rbp: saved }) }, true);
}

/** The handler has returned to the trampoline, or will: the kernel's record of the interrupted code lies at the stack pointer. */
function handledSignal(frame: SpecialFrame, memory: Memory): SpecialCaller {
  const sp = findSp(frame.registers);
  if (sp === null) return 'no-rule';
  const values: Record<string, bigint> = {};
  for (const [name, offset] of Object.entries(UCONTEXT)) {
    const value = readWord(memory, sp + offset);
    if (value === null) return 'no-rule';
    values[name] = value;
  }
  return values.rip === 0n ? 'no-rule' : caller(frame, values, true);
}

/** Registers that no switch changes go along. */
function caller({ registers }: SpecialFrame, values: Readonly<Record<string, bigint>>, exactPc: boolean): SpecialCaller {
  const kept: Record<string, bigint> = {};
  for (const name of ['fs_base', 'gs_base', 'k_gs_base', 'cr3']) {
    const value = registers.values[name];
    if (value !== undefined) kept[name] = value;
  }
  return { registers: { machine: registers.machine, values: { ...kept, ...values } }, exactPc };
}

function readWord(memory: Memory, address: bigint): bigint | null {
  const bytes = memory.read(BigInt.asUintN(64, address), 8);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
