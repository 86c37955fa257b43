// Frames and stacks, as every screen and report shows them.

import type { Address } from './address.ts';

/** How a frame was found, best first. `reported` = the guest printed it itself. */
export type FrameTrust = 'registers' | 'cfi' | 'frame-pointer' | 'scan' | 'reported';

/** What symbols said: a name, an image without a name for it, or no image there at all. */
export type FrameStatus = 'symbolicated' | 'no-symbol' | 'no-image';

/** What an address means. An address inside inlined calls has several: innermost first, `inlined` on all but the last. */
export interface SymbolizedLocation {
  readonly function: string | null;
  /** Bytes from the start of the (outer, real) function. */
  readonly functionOffset: number | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly inlined: boolean;
  /** File name of the image, without folders. */
  readonly module: string | null;
  readonly status: FrameStatus;
}

/** A parameter or local variable of a frame. */
export interface FrameVariable {
  readonly name: string;
  /** As gdb writes it (`const struct list *`); null when debug info does not say. */
  readonly type: string | null;
  /** Its value on a line: `7`, `0x10a0 "text"`, `{head=0x0, size=3}`; or why there is none: `<optimized out>`, `<unreadable at 0x0>`. */
  readonly value: string;
  /** False when `value` only says why there is none. */
  readonly known: boolean;
  /** Made by the compiler: C++'s `this`, a closure's environment. */
  readonly artificial: boolean;
}

/** One activation. An inlined one shares its `pc` and `trust` with the frame it was inlined into. */
export interface Frame extends SymbolizedLocation {
  readonly index: number;
  /** The pc itself in the innermost frame and in a trap frame; elsewhere the return address (look-ups use pc − 1). */
  readonly pc: Address;
  readonly trust: FrameTrust;
  /** Canonical frame address: the stack pointer before the call. Null where unknown or reported. */
  readonly cfa: Address | null;
  /** In the order of the declaration. Left out where nobody asked (stacks that are sampled), or where debug info does not know. */
  readonly arguments?: readonly FrameVariable[];
}

/** Why a walk ended: the outermost frame, unreadable memory, no rule for this pc, a loop, the frame limit. */
export type StackEnd = 'outermost' | 'unreadable' | 'no-rule' | 'loop' | 'limit';

/** A stack of a vCPU or of a guest thread. */
export interface Stack {
  /** `vcpu 0`, or the guest thread's own name. */
  readonly name: string;
  readonly kind: 'vcpu' | 'thread';
  /** The vCPU number or the guest's thread id, as text. */
  readonly id: string;
  /** `running`, `halted`, `runnable`, `sleeping`, `blocked`, `exited`, …: the scheduler's own word. */
  readonly state: string;
  readonly frames: readonly Frame[];
  readonly end: StackEnd;
  /** Registers changed while the stack was read: names are right, their order may mix two moments. */
  readonly torn: boolean;
}

/** `a=7, list=0x10a0 {head=0x0, size=3}`: what stands between the brackets behind a function's name. */
export function formatArguments(variables: readonly FrameVariable[]): string {
  return variables
    .filter(({ artificial, name }) => !artificial || name === 'this')
    .map(({ name, value }) => `${name}=${value}`)
    .join(', ');
}

/** One line for a place in code: `app_handle_request+0x1c (server.c:41)`; without a name the module, without that `??`. */
export function formatLocation(location: SymbolizedLocation): string {
  const { function: name, functionOffset: offset, file, line, inlined } = location;
  const place = file === null ? '' : ` (${file.slice(file.lastIndexOf('/') + 1)}${line === null ? '' : `:${line}`})`;
  if (name === null) return `${location.module ?? '??'}${place}`;
  return `${name}${offset === null || offset === 0 || inlined ? '' : `+0x${offset.toString(16)}`}${place}`;
}
