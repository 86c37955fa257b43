// Registers and memory to frames. Per frame, in this order: a language runtime's own knowledge of its stack switches; a signal's
// frame; CFI; the runtime's frame sizes; the system's own rule for code that has none; the way out of interrupt code; the frame
// pointer or the state of the prologue; a scan. Each frame says by which it was found. Synchronous and pure: a memory that must
// first fetch a page throws through, and the walk is run again.

import { getArchitecture } from '../arch/machines.ts';
import type { StackEnd } from '../model/frame.ts';
import type { TypeSource } from '../model/layout.ts';
import { findFp, findPc, findSp, type Registers } from '../model/registers.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { Memory } from '../model/target.ts';
import type { UnwindRule } from '../model/unikernel.ts';
import { findCfa, stepByCfi } from './cfi-step.ts';
import { findCallBefore } from './code.ts';
import { stepByCode, stepByConvention } from './convention-step.ts';
import { findModule, type UnwindModule } from './module.ts';
import { scanForCaller } from './scan-step.ts';
import { stepBySignal } from './signal-step.ts';
import { findTableCfa, stepByFrameSize, stepBySpecialFrame } from './table-step.ts';
import { stepByTrapExit } from './trap-step.ts';
import type { Caller, RawFrame, WalkContext } from './walk.ts';

/** A walk's result. */
export interface RawStack {
  readonly frames: readonly RawFrame[];
  readonly end: StackEnd;
}

/** How to walk. */
export interface UnwindOptions {
  /** At most this many frames; 256 unless told. */
  readonly limit?: number;
  /** False when the pc is a return address, as in registers saved by a context switch. True unless told. */
  readonly exactPc?: boolean;
}

/** Walks stacks of one guest. */
export interface Unwinder {
  /** Frames, innermost first. Throws only what `memory.read` throws. */
  unwind(registers: Registers, memory: Memory, options?: UnwindOptions): RawStack;
}

const NO_TYPES: TypeSource = { findVariable: () => null, findType: () => null };
const DEFAULT_LIMIT = 256;
/** Scans in a row that find a caller before we stop believing them. */
const MAX_SCANS = 4;
/** How often a stack may continue at a lower or equal address: trap stacks, fibres, coroutines. */
const MAX_STACK_SWITCHES = 32;

/** An unwinder over these images, with the rules of the recognised system. */
export function createUnwinder(input: {
  readonly modules: readonly UnwindModule[];
  readonly rules: readonly UnwindRule[];
  readonly symbolizer: Symbolizer;
  /** For rules that read what the system keeps of its own; without it they find no types. */
  readonly types?: TypeSource;
}): Unwinder {
  const shapes: WalkContext['shapes'] = new Map();
  const exits: WalkContext['exits'] = new Map();
  const types = input.types ?? NO_TYPES;
  return {
    unwind: (registers, memory, options = {}) => {
      const context: WalkContext = { ...input, types, architecture: getArchitecture(registers.machine), memory, shapes, exits };
      return walk(context, registers, options);
    },
  };
}

function walk(context: WalkContext, registers: Registers, options: UnwindOptions): RawStack {
  const limit = options.limit ?? DEFAULT_LIMIT;
  const frames: RawFrame[] = [];
  let scans = 0;
  let switches = 0;
  const pc = findPc(registers);
  if (pc === null || limit < 1) return { frames, end: pc === null ? 'no-rule' : 'limit' };
  let frame: RawFrame = { pc, cfa: null, trust: 'registers', exactPc: options.exactPc ?? true, registers };
  for (;;) {
    const caller = findCaller(context, frame, scans < MAX_SCANS);
    if (typeof caller === 'string') {
      frames.push({ ...frame, cfa: findCfa(context, frame) ?? findTableCfa(context, frame) });
      return { frames, end: caller };
    }
    frames.push({ ...frame, cfa: caller.cfa });
    if (frames.length >= limit) return { frames, end: 'limit' };
    const next = frameOf(context, caller, frame);
    if (!isAbove(next, frame)) {
      // A walk that only ever goes up cannot come back to where it was.
      if (frames.some((earlier) => isSame(earlier, next))) return { frames, end: 'loop' };
      if ((switches += 1) > MAX_STACK_SWITCHES) return { frames, end: 'loop' };
    }
    scans = caller.trust === 'scan' ? scans + 1 : 0;
    frame = next;
  }
}

/** How far up the stack a frame is: where its stack pointer is not known, its frame pointer stands for it. */
function positionOf({ registers }: RawFrame): bigint | null {
  return findSp(registers) ?? findFp(registers);
}

function isAbove(caller: RawFrame, callee: RawFrame): boolean {
  const [above, below] = [positionOf(caller), positionOf(callee)];
  return above !== null && below !== null && above > below;
}

function isSame(one: RawFrame, other: RawFrame): boolean {
  return one.pc === other.pc && positionOf(one) === positionOf(other);
}

/** A caller of a frame that was only guessed is no better than the guess. */
function frameOf(context: WalkContext, caller: Caller, callee: RawFrame): RawFrame {
  const guessed = callee.trust === 'scan';
  const { pc } = caller;
  const exactPc = caller.exactPc || isPlanted(context, pc);
  return { pc, cfa: null, trust: guessed ? 'scan' : caller.trust, exactPc, registers: caller.registers };
}

/**
 * A return address that no call made: a scheduler put the start of a function there (a new thread's entry or exit). Looked up
 * as pc − 1 it would be named after whatever function happens to lie before.
 */
function isPlanted(context: WalkContext, pc: bigint): boolean {
  const module = findModule(context.modules, pc);
  if (module === null) return false;
  const link = pc - module.loadBias;
  if (module.cfi?.startsAt(link) !== true && module.codeTable?.startsAt(link) !== true) return false;
  return findCallBefore(context, pc) === null;
}

function findCaller(context: WalkContext, frame: RawFrame, mayScan: boolean): Caller | StackEnd {
  const special = stepBySpecialFrame(context, frame);
  if (special !== null) return special;
  const bySignal = stepBySignal(context, frame);
  if (bySignal !== null) return bySignal;
  const byCfi = stepByCfi(context, frame);
  if (byCfi !== null) return isUnbelieved(byCfi) ? (stepByCode(context, frame) ?? byCfi) : byCfi;
  const bySize = stepByFrameSize(context, frame);
  if (bySize !== null) return bySize;
  const byRule = stepByRule(context, frame);
  if (byRule !== null) return byRule;
  const byTrapExit = stepByTrapExit(context, frame);
  if (byTrapExit !== null) return byTrapExit;
  const byConvention = stepByConvention(context, frame);
  if (byConvention !== null) return byConvention;
  return (mayScan ? scanForCaller(context, frame) : null) ?? 'no-rule';
}

/** CFI itself marks what it found as a guess when that cannot be a return address. */
function isUnbelieved(caller: Caller | StackEnd): boolean {
  return typeof caller === 'object' && caller.trust === 'scan';
}

/** The system's rule for the function of this frame: registers that its own code saved, hence the trust. */
function stepByRule(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  if (context.rules.length === 0) return null;
  const name = context.symbolizer.symbolize(frame.pc, { isReturnAddress: !frame.exactPc }).at(-1)?.function ?? null;
  if (name === null) return null;
  for (const rule of context.rules) {
    if (!rule.function.test(name)) continue;
    const found = rule.unwind({ registers: frame.registers, pc: frame.pc }, context.memory, context.symbolizer, context.types);
    const pc = found === null ? null : findPc(found.registers);
    if (found === null || pc === null) continue;
    // A saved pc of 0 ends the stack, except where the guest faulted there.
    if (pc === 0n && !found.exactPc) return 'outermost';
    return { pc, cfa: findSp(found.registers), trust: 'registers', exactPc: found.exactPc, registers: found.registers };
  }
  return null;
}
