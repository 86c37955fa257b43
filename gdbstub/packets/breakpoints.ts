// `Z` inserts and `z` removes a breakpoint or watchpoint. GDB manual, E.2 "Packets".

import { encodeNumber } from '../framing/bytes.ts';

/** The protocol's five types, in its own numbering 0–4. `write`, `read` and `access` are watchpoints. */
export const BREAKPOINT_KINDS = ['software', 'hardware', 'write', 'read', 'access'] as const;

/** What makes the guest stop at an address. */
export type BreakpointKind = (typeof BREAKPOINT_KINDS)[number];

/** A breakpoint (`size` = the instruction's kind, 1 on x86) or a watchpoint over `size` bytes. */
export interface Breakpoint {
  readonly kind: BreakpointKind;
  readonly address: bigint;
  readonly size: number;
}

export function encodeInsertBreakpoint(breakpoint: Breakpoint): string {
  return `Z${encodePlace(breakpoint)}`;
}

export function encodeRemoveBreakpoint(breakpoint: Breakpoint): string {
  return `z${encodePlace(breakpoint)}`;
}

function encodePlace({ kind, address, size }: Breakpoint): string {
  return `${BREAKPOINT_KINDS.indexOf(kind)},${encodeNumber(address)},${encodeNumber(size)}`;
}
