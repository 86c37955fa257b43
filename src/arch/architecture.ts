// What unwinding must know of an instruction set: register numbers of its DWARF ABI supplement, who saves what, and
// just enough of the encoding to tell a return address from a number and a prologue from a body.

import type { Machine } from '../model/machine.ts';

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
  /** The caller's stack pointer; a lower bound where the frame record does not tell it (aarch64). */
  readonly cfa: bigint;
}

/** The instruction bytes around an exact pc. */
export interface CodeWindow {
  /** From the function's first byte on (a few dozen bytes, whatever the pc); null when the function is not known. */
  readonly head: Uint8Array | null;
  /** Offset of the pc from the function's first byte. */
  readonly offset: number;
  /** The bytes just before the pc, ending there. */
  readonly before: Uint8Array;
  /** The bytes at the pc. */
  readonly at: Uint8Array;
}

/** `framed`: the frame pointer is set up here; `frameless`: nothing says that this function keeps one. */
export type FrameState = CallerLocation | 'framed' | 'frameless';

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
  /** Alignment of the stack pointer that code may be expected to keep at any instruction, bytes. */
  readonly stackAlignment: number;
  /** Longest call instruction, bytes. */
  readonly maxCallLength: number;
  /** The call whose last byte is the last of `before`; null when none ends there. */
  readonly findCallBefore: (before: Uint8Array, returnAddress: bigint) => CallSite | null;
  /** The caller by the frame record that the frame pointer names. */
  readonly locateByFramePointer: (fp: bigint) => CallerLocation;
  /** What the instructions around an exact pc say about the frame. */
  readonly frameState: (code: CodeWindow, sp: bigint) => FrameState;
  /** An address without pointer-authentication or tag bits. */
  readonly stripPointer: (address: bigint) => bigint;
}
