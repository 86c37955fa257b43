// Several VMs watched together, as a screen sees them.

import type { SessionView } from './session.ts';

/** One VM among several. It stays when its guest crashes or its QEMU ends. */
export interface FleetMember {
  /** Unique among all that ever belonged to the fleet. */
  readonly id: string;
  readonly name: string;
  /** Null while it is being attached, and when that failed. */
  readonly session: SessionView | null;
  /** Why it could not be attached. */
  readonly failure: string | null;
}

/** VMs that come and go. */
export interface FleetView {
  /** In the order they came; the same array until that changes. */
  members(): readonly FleetMember[];
  /** Called when a VM came, was attached or could not be, and after each event of any of them. Returns the unsubscriber. */
  subscribe(listener: () => void): () => void;
  /** Which VM is on the screen in full, null for all of them in rows: the stacks of the others are read less often. */
  show(id: string | null): void;
}
