// What `ps`, `free`, `gc`, `net` and `top` are: pure views of a guest's snapshot, as lines and as a document.

import type { Snapshot } from '../../model/snapshot.ts';
import type { CpuShares } from '../../vitals/cpu-shares.ts';

/** What a view is made from. */
export interface Seen {
  readonly snapshot: Snapshot;
  /** Parts of a CPU that threads had between the last two looks. */
  readonly shares: CpuShares;
}

/** A view. To add one: its file, its line in index.ts, its verb. */
export interface View {
  readonly name: string;
  readonly doc: string;
  /** What `--help` says more. */
  readonly notes: string;
  /** Rates need two readings: how long is looked before the first answer, ms. */
  readonly settleMs: number;
  /** Whether packets are captured for it. */
  readonly captures: boolean;
  /** For a person; lines may be longer than a terminal is wide. */
  readonly lines: (seen: Seen) => readonly string[];
  /** The same as JSON: docs/views.md. Never undefined; null where something is not known. */
  readonly document: (seen: Seen) => Readonly<Record<string, unknown>>;
}
