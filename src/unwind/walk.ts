// What the steps of a walk share: the frame they leave, the caller they find, and reads of single words.

import type { Architecture, FrameShape } from '../arch/architecture.ts';
import type { TrapExit } from '../arch/x86-trap-exit.ts';
import type { FrameTrust } from '../model/frame.ts';
import type { TypeSource } from '../model/layout.ts';
import type { Registers } from '../model/registers.ts';
import type { Symbolizer } from '../model/symbolizer.ts';
import type { Memory } from '../model/target.ts';
import type { UnwindRule } from '../model/unikernel.ts';
import type { UnwindModule } from './module.ts';

/** One activation as the walk found it. */
export interface RawFrame {
  /** The pc itself when `exactPc`, else the return address into this frame. */
  readonly pc: bigint;
  /** The stack pointer before this frame's call; null where it is not known. */
  readonly cfa: bigint | null;
  readonly trust: FrameTrust;
  /** True for the innermost frame and for frames that an exception or signal interrupted. */
  readonly exactPc: boolean;
  /** What is known of the registers in this frame: after a call, those that the callee had to keep. */
  readonly registers: Registers;
}

/** What every step of a walk needs. */
export interface WalkContext {
  readonly architecture: Architecture;
  readonly modules: readonly UnwindModule[];
  readonly rules: readonly UnwindRule[];
  readonly symbolizer: Symbolizer;
  readonly types: TypeSource;
  readonly memory: Memory;
  /** Frame shapes by pc, kept from walk to walk. */
  readonly shapes: Map<bigint, FrameShape | 'framed' | null>;
  /** Ways out of interrupt code by pc, likewise. */
  readonly exits: Map<bigint, readonly TrapExit[]>;
}

/** The caller of a frame. `cfa` is the frame's own (null when only a bound is known). */
export interface Caller {
  readonly pc: bigint;
  readonly cfa: bigint | null;
  readonly trust: FrameTrust;
  readonly exactPc: boolean;
  readonly registers: Registers;
}

/** The address whose code a frame is in: behind a call the pc may already belong to the next function. */
export function lookupAddress(frame: RawFrame): bigint {
  return frame.exactPc ? frame.pc : frame.pc - 1n;
}

/** An unsigned little-endian value of `size` bytes (1 to 8); null where memory cannot be read. */
export function readUnsigned(memory: Memory, address: bigint, size: number): bigint | null {
  const bytes = memory.read(BigInt.asUintN(64, address), size);
  return bytes === null ? null : decodeUnsigned(bytes, 0, size);
}

/** The same from bytes at hand. */
export function decodeUnsigned(bytes: Uint8Array, offset: number, size: number): bigint {
  let low = 0;
  let high = 0;
  for (let at = Math.min(size, 4) - 1; at >= 0; at -= 1) low = low * 256 + bytes[offset + at]!;
  for (let at = size - 1; at >= 4; at -= 1) high = high * 256 + bytes[offset + at]!;
  return high === 0 ? BigInt(low) : (BigInt(high) << 32n) | BigInt(low);
}

/** What a caller can still be sure of after a call; the caller's own pc and sp, and what is known to be saved, go on top. */
export function preservedRegisters(architecture: Architecture, values: Registers['values']): Record<string, bigint> {
  const kept: Record<string, bigint> = {};
  for (const name of architecture.preserved) {
    const value = values[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/** Registers that no call touches: where translation and per-CPU data are. */
const SYSTEM = ['fs_base', 'gs_base', 'k_gs_base', 'cr3'] as const;

/** What a caller can be sure of even where nothing is known of the callee-saved registers. */
export function systemRegisters(values: Registers['values']): Record<string, bigint> {
  const kept: Record<string, bigint> = {};
  for (const name of SYSTEM) {
    const value = values[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/** A caller from its register values, which it takes over; its stack pointer is the CFA unless they know better (a trap frame saved another). */
export function makeCaller(
  architecture: Architecture,
  values: Record<string, bigint>,
  found: { readonly pc: bigint; readonly cfa: bigint | null; readonly trust: FrameTrust; readonly exactPc: boolean },
): Caller {
  values[architecture.pc] = found.pc;
  if (found.cfa !== null) values[architecture.sp] ??= found.cfa;
  const { pc, cfa, trust, exactPc } = found;
  return { pc, cfa, trust, exactPc, registers: { machine: architecture.machine, values } };
}
