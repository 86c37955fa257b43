// A guest scheduler's thread, fibre or goroutine, as a probe reads it from memory.

import type { Address } from './address.ts';
import type { Registers } from './registers.ts';

/** What a thread does, in words common to all schedulers. */
export type ThreadState = 'running' | 'runnable' | 'sleeping' | 'waiting' | 'blocked' | 'exited' | 'unknown';

/**
 * One guest thread. `registers` are those saved at its last switch; null while it runs on a vCPU, unless its runtime runs for it on
 * another stack: then where it left its own.
 */
export interface GuestThread {
  readonly id: string;
  readonly name: string;
  readonly state: ThreadState;
  /** The scheduler's own words for what it waits for: `mutex lock_a`, `futex`, `packet`. */
  readonly waitingFor: string | null;
  /** The thread that holds what this one is blocked on: a cycle of these is a deadlock. */
  readonly blockedBy: string | null;
  readonly registers: Registers | null;
  readonly stack: { readonly base: Address; readonly size: number } | null;
  /** Nanoseconds on a CPU, where the scheduler counts them. */
  readonly cpuTimeNs: number | null;
}
