// What a language runtime's own tables in an image say of its code, whether or not there is debug info: Go's pclntab. Addresses
// are link addresses. A runtime opens one over an image that it sees through a small reading interface.

import type { Machine } from './machine.ts';
import type { Registers } from './registers.ts';
import type { Memory } from './target.ts';

/** What is at an address of code: one entry per activation, innermost first. */
export interface CodeLocation {
  readonly function: string | null;
  /** Link address where the outer, real function begins; null where unknown. */
  readonly entry: bigint | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly inlined: boolean;
}

/** Bytes of an image that lie together at link addresses [address, address + size) and in its file. */
export interface ImageRange {
  readonly address: bigint;
  readonly size: number;
}

/** An image's loaded bytes. */
export interface CodeImage {
  readonly machine: Machine;
  readonly bits: 32 | 64;
  readonly littleEndian: boolean;
  /** What the file holds of its loaded segments. */
  readonly ranges: readonly (ImageRange & { readonly writable: boolean; readonly executable: boolean })[];
  /** A section that is loaded and takes space in the file; null without one, and in files without section headers. */
  findSection(name: string): ImageRange | null;
  /** `length` bytes at a link address as a loader that moves nothing would leave them (relative relocations applied); null unless the file holds all. */
  readVirtual(address: bigint, length: number): Uint8Array | null;
}

/** The caller of a frame whose code leaves the rules of calls; null: an ordinary frame. `no-rule`: not ordinary, and nobody knows. */
export type SpecialCaller = { readonly registers: Registers; readonly exactPc: boolean } | 'outermost' | 'no-rule' | null;

/** A runtime's tables over one image. Every method throws nothing but UnidbgError, on any bytes, and says less rather than guess. */
export interface CodeTable {
  /** Registers that all code of the runtime leaves as they are, calls or not. */
  readonly keptRegisters: readonly string[];
  /** What is at link address `address`, innermost inlined call first; empty where the tables know no code. */
  locate(address: bigint): readonly CodeLocation[];
  /** A function by its linker name, or a symbol that bounds a part of the image (`runtime.bss`, `runtime.ebss`); null when unknown. */
  findSymbol(name: string): { readonly address: bigint; readonly size: number } | null;
  /** Whether a function begins at `address`. */
  startsAt(address: bigint): boolean;
  /** Bytes from the stack pointer to the CFA while the pc is at `address`; null where unknown. */
  stackDelta(address: bigint): number | null;
  /**
   * The caller of a frame in the runtime's own stack switches, interruptions and ends of stacks. `pc` is the link address of the
   * code the frame is in; run-time addresses are those plus `loadBias`. Reads only through `memory`; bounded.
   */
  findSpecialCaller(
    frame: { readonly registers: Registers; readonly pc: bigint; readonly loadBias: bigint },
    memory: Memory,
  ): SpecialCaller;
  /** All functions, by address. */
  functions(): Iterable<{ readonly name: string; readonly address: bigint; readonly size: number }>;
}
