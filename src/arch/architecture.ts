// What unwinding must know of an instruction set: register numbers of its DWARF ABI supplement, who saves what, and
// just enough of the encoding to tell a return address from a number and a prologue from a body.

import type { Machine } from '../model/machine.ts';
import type { TrapExit } from './x86-trap-exit.ts';

/** A call instruction that ends right before a return address. */
export interface CallSite {
  /** Where it goes when the instruction itself says so. */
  readonly target: bigint | null;
  /** gdb's name of the register it goes through (`call *%rax`), null for other forms. */
  readonly register: string | null;
}

/** The caller of a frame that CFI does not describe. */
export interface CallerLocation {
  /** Where the return address lies in memory; null: it is still in the link register. */
  readonly returnAddressAt: bigint | null;
  /** Where the caller's frame pointer lies; null: its register still holds it. */
  readonly framePointerAt: bigint | null;
  /** The caller's stack pointer; null where nothing tells it. */
  readonly cfa: bigint | null;
}

/** A function's code, as far as it can be read, and where the pc stands in it. */
export interface CodeWindow {
  /** From the function's first byte on; null when the function is not known. */
  readonly function: Uint8Array | null;
  /** Offset of the pc from the function's first byte. */
  readonly offset: number;
  /** The bytes at the pc. */
  readonly at: Uint8Array;
}

/** Where things lie in a frame, as offsets from the register `from`: holds for every frame stopped at the same pc. */
export interface FrameShape {
  readonly from: string;
  /** Null: still in the link register. */
  readonly returnAddress: number | null;
  /** Null: the frame pointer register still holds the caller's. */
  readonly framePointer: number | null;
  /** Null: the code aligned its stack, so nobody knows how far up the caller's begins. */
  readonly cfa: number | null;
  /** No path of the code led to the pc: it is taken for a case of the function's switch. */
  readonly assumed?: true;
}

/** One instruction set. Register names are gdb's. */
export interface Architecture {
  readonly machine: Machine;
  /** 4 or 8. */
  readonly addressSize: number;
  /** By DWARF register number; undefined where the number means nothing to us. */
  readonly dwarfRegisters: readonly (string | undefined)[];
  readonly returnAddressColumn: number;
  readonly pc: string;
  readonly sp: string;
  readonly fp: string;
  /** Holds the return address after a call; null where calls push it. */
  readonly linkRegister: string | null;
  /** Registers a caller still owns after a call: the callee-saved ones, and system registers that calls leave alone. */
  readonly preserved: readonly string[];
  /** Alignment that a frame pointer has in any code, bytes. */
  readonly stackAlignment: number;
  /** Longest call instruction, bytes. */
  readonly maxCallLength: number;
  /** The call whose last byte is the last of `before`; null when none ends there. */
  readonly findCallBefore: (before: Uint8Array, returnAddress: bigint) => CallSite | null;
  /** The caller by the frame record that the frame pointer names. */
  readonly locateByFramePointer: (fp: bigint) => CallerLocation;
  /** What the code says of the frame at a pc: its shape, `framed` (by the frame pointer's record), or null when it does not tell. */
  readonly frameShape: (code: CodeWindow) => FrameShape | 'framed' | null;
  /** The ways out of interrupt code at a pc (x86-trap-exit.ts); left out where interrupts do not keep their frame on the stack. */
  readonly findTrapExits?: (
    pc: bigint,
    read: (address: bigint) => Uint8Array | null,
    isDescribed: (address: bigint) => boolean,
  ) => TrapExit[];
  /** An address without pointer-authentication or tag bits. */
  readonly stripPointer: (address: bigint) => bigint;
}
