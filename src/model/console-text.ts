// What console text alone says of a crash: the raw finding, before symbols. Grammars (unikernels, runtimes) build it,
// the session turns it into a Crash.

import type { Address } from './address.ts';
import type { CrashKind } from './crash.ts';
import type { Machine } from './machine.ts';

/** A frame as the guest printed it. Any part may be missing. */
export interface ReportedFrame {
  readonly address: Address | null;
  /** `return`: the address behind a call (look up address − 1). `exact`: the pc itself, or already adjusted. */
  readonly addressIs: 'exact' | 'return';
  readonly function: string | null;
  readonly functionOffset: number | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly inlined: boolean;
}

/** One crash as the console told it. */
export interface ReportedCrash {
  /** Name of the unikernel or runtime whose grammar read it, and the grammar's own name. */
  readonly unikernel: string | null;
  readonly runtime: string | null;
  readonly grammar: string;
  readonly kind: CrashKind;
  readonly message: string;
  /** Where the guest itself says it happened (an assert's `file:line`). */
  readonly location: { readonly file: string; readonly line: number | null; readonly function: string | null } | null;
  readonly vcpu: number | null;
  readonly faultAddress: Address | null;
  /** Registers by gdb's names; null when none was printed. */
  readonly registers: { readonly machine: Machine; readonly values: Readonly<Record<string, bigint>> } | null;
  readonly frames: readonly ReportedFrame[];
  /** Load bias facts printed by the guest: Nanos' `kernel load offset`, klibs `name@base/size`. */
  readonly loadOffsets: readonly { readonly module: string | null; readonly base: Address; readonly size: number | null }[];
  readonly corrupted: string | null;
  readonly firstLine: number;
  readonly lastLine: number;
}
