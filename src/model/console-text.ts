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
  /** `scan`: the guest itself only took it from the stack as a word that may be a return address. */
  readonly trust: 'reported' | 'scan';
}

/** A frame of which only some parts are known: an exact address unless told, everything else null. */
export function reportedFrame(known: Partial<ReportedFrame>): ReportedFrame {
  return {
    address: null,
    addressIs: 'exact',
    function: null,
    functionOffset: null,
    file: null,
    line: null,
    column: null,
    inlined: false,
    trust: 'reported',
    ...known,
  };
}

/** One crash as the console told it. */
export interface ReportedCrash {
  /** Whose text it is. Both when a language's text and the kernel's around it are one crash; the kernel also when only recognised by its banner. */
  readonly unikernel: string | null;
  readonly runtime: string | null;
  /** Which crash of this boot it is, from 1: later ones may be consequences of the first. */
  readonly ordinal: number;
  /** The grammar that read its first line: `nanos/signal`. */
  readonly grammar: string;
  readonly kind: CrashKind;
  readonly message: string;
  /** Where the guest itself says it happened (an assert's `file:line`). */
  readonly location: { readonly file: string; readonly line: number | null; readonly function: string | null } | null;
  readonly vcpu: number | null;
  readonly faultAddress: Address | null;
  /** Registers by gdb's names; null when none was printed. */
  readonly registers: { readonly machine: Machine; readonly values: Readonly<Record<string, bigint>> } | null;
  /** Innermost first; the pc itself leads (`exact`) where the text gives it. */
  readonly frames: readonly ReportedFrame[];
  /** Load bias facts printed by the guest: Nanos' `kernel load offset`, klibs `name@base/size`. */
  readonly loadOffsets: readonly { readonly module: string | null; readonly base: Address; readonly size: number | null }[];
  /** Why the text cannot be fully trusted (interleaved, cut off, a crash in the crash printer); null when whole. */
  readonly corrupted: string | null;
  /** Numbers of the console lines that tell it, inclusive; 0 where another witness does (a V8 inspector). */
  readonly firstLine: number;
  readonly lastLine: number;
}
