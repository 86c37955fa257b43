// A crash: any abnormal end of a guest, from its console, its VM state, or its memory.

import type { Address } from './address.ts';
import type { Frame } from './frame.ts';
import type { Registers } from './registers.ts';

/** `fault`: CPU exception or the signal made of one. `panic`: a kernel's or run time's own fatal stop. `abort`: asked for. */
export type CrashKind = 'fault' | 'panic' | 'assert' | 'abort' | 'exception' | 'out-of-memory' | 'hang';

/** How we know: text on the console, what QEMU says of the VM, guest memory and registers, or the V8 inspector. */
export type CrashWitness = 'console' | 'vm' | 'memory' | 'inspector';

/** One crash, console text and symbols already joined. */
export interface Crash {
  readonly kind: CrashKind;
  /** What a person would write: `null dereference in handle_request (server.c:41)`. */
  readonly title: string;
  /** The guest's own words, or ours for a silent death. */
  readonly message: string;
  /** Stable over addresses, load bias, line numbers, inlining and vCPU numbers: the same bug has the same one. */
  readonly signature: string;
  /** Signatures that the same bug has where less is known of it: in a build without inlining, in a text without the fault's address. */
  readonly alternatives: readonly string[];
  readonly witness: CrashWitness;
  readonly unikernel: string | null;
  readonly runtime: string | null;
  readonly vcpu: number | null;
  readonly faultAddress: Address | null;
  readonly registers: Registers | null;
  readonly frames: readonly Frame[];
  /** Index of the frame to blame: the first that is not crash machinery. Null without a named frame. */
  readonly guiltyFrame: number | null;
  /** Why the text cannot be fully trusted (interleaved, cut off, a crash in the crash printer); null when whole. */
  readonly corrupted: string | null;
  /** Numbers of the console lines that told it: first and last, inclusive. Null where none did. */
  readonly consoleLines: { readonly first: number; readonly last: number } | null;
}
