// The fold of a guest's events up to a moment: all that a screen or a report may know.

import type { Crash } from './crash.ts';
import type { Diagnostic } from './diagnostic.ts';
import type { ConsoleLine, Listing, ListingPlace, MemoryWindow, TargetIdentity, VmStatus } from './event.ts';
import type { Finding } from './finding.ts';
import type { NetworkView } from './flow.ts';
import type { Frame, Stack } from './frame.ts';
import type { GuestExit } from './guest-exit.ts';
import type { OutOfMemory } from './heap.ts';
import type { Image } from './image.ts';
import type { Sample } from './metric.ts';
import type { Registers } from './registers.ts';
import type { GuestSocket } from './socket.ts';
import type { GuestThread } from './thread.ts';

/** One metric's recent past. `times` are ms since the Unix epoch, `values` beside them; null = absent at that time. */
export interface Series {
  readonly latest: Sample;
  readonly at: number;
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
}

/** The state of a guest as known from its events. Never mutated: each event makes a new one. */
export interface Snapshot {
  /** Time of the last event, ms since the Unix epoch; 0 before the first. */
  readonly at: number;
  readonly identity: TargetIdentity | null;
  readonly vm: { readonly status: VmStatus; readonly reason: string | null; readonly since: number };
  readonly images: readonly Image[];
  /** The newest console lines, oldest first (bounded; `consoleDropped` says how many older ones a screen cannot reach). */
  readonly console: readonly ConsoleLine[];
  readonly consoleDropped: number;
  readonly registers: readonly { readonly vcpu: number; readonly registers: Registers }[];
  readonly stacks: readonly Stack[];
  readonly stacksAt: number;
  readonly threads: readonly GuestThread[];
  /** When they were read, ms since the Unix epoch; 0 = not yet. */
  readonly threadsAt: number;
  /** By series key (model/metric.ts). */
  readonly metrics: ReadonlyMap<string, Series>;
  /** What the guest's own network stack has open; null while no probe knows its tables. */
  readonly sockets: readonly GuestSocket[] | null;
  /** What was seen on the wire; null while nothing is captured. */
  readonly network: NetworkView | null;
  /** What the built-in checks say now: active ones only, oldest first. */
  readonly findings: readonly (Finding & { readonly since: number })[];
  readonly crashes: readonly Crash[];
  /** Of a guest that ran out of memory. */
  readonly outOfMemory: OutOfMemory | null;
  /** How its program, or the guest, ended; null while it runs, and where nobody says. */
  readonly guestExit: GuestExit | null;
  /** Set while our debugger holds the guest. */
  readonly stop: { readonly vcpu: number; readonly reason: string; readonly frames: readonly Frame[] } | null;
  readonly memory: MemoryWindow | null;
  /** The last listing asked for, and what it is of. */
  readonly listing: { readonly place: ListingPlace; readonly listing: Listing } | null;
  readonly evaluations: readonly { readonly expression: string; readonly value: string | null; readonly error: string | null }[];
  readonly diagnostics: readonly Diagnostic[];
  readonly lost: number;
}
