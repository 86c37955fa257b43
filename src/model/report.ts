// A report: what is told of one run of a guest, whatever it was read from. All forms (text, JSON, …) are views of it.

import type { Crash, CrashKind } from './crash.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { Stack } from './frame.ts';
import type { GuestExit } from './guest-exit.ts';
import type { Image } from './image.ts';
import type { Sample } from './metric.ts';

/** `ok`: no crash. `exit`: it ended by itself with a code that means failure. Else the kind of its first crash. */
export type Verdict = 'ok' | 'expectation-failed' | 'exit' | CrashKind;

/** One run. */
export interface Report {
  /** What was read: a file's name, or a VM's. */
  readonly source: string;
  /** When its crash was seen, by the log's own time stamps or the file's; ms since the epoch, null when nothing tells. */
  readonly seenAt: number | null;
  readonly verdict: Verdict;
  /** `name` of the unikernel and the runtime. */
  readonly unikernel: string | null;
  readonly runtime: string | null;
  /** The image that names were taken from: the guilty frame's where it is known. */
  readonly image: Image | null;
  /** The first one; what came after it may be its consequence. */
  readonly crash: Crash | null;
  readonly laterCrashes: readonly Crash[];
  readonly stacks: readonly Stack[];
  readonly metrics: readonly Sample[];
  readonly guestExit: GuestExit | null;
  readonly diagnostics: readonly Diagnostic[];
}

/** Crashes of many runs that are one bug. */
export interface CrashGroup {
  /** Of the crash that knows most. */
  readonly signature: string;
  readonly kind: CrashKind;
  readonly title: string;
  readonly count: number;
  readonly first: Sighting;
  readonly last: Sighting;
  /** Each run once, in the order of time. */
  readonly sources: readonly string[];
}

/** How many runs were looked at. */
export interface Runs {
  readonly total: number;
  readonly healthy: number;
  readonly unreadable: number;
}

/** Where and when a crash was seen. `at` in ms since the epoch; null when nothing tells. */
export interface Sighting {
  readonly source: string;
  readonly at: number | null;
}
