// The session: where events of a guest come together. It numbers nothing, measures nothing and prints nothing; sources
// emit, the fold is computed when somebody looks, and intents go to whoever can carry them out.

import { errorMessage } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import type { Intent } from '../model/intent.ts';
import type { SessionView } from '../model/session.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { EMPTY_SNAPSHOT, reduceAll } from './reduce.ts';

/** An event before it has its time. */
export type NewEvent = GuestEvent extends infer E ? (E extends GuestEvent ? Omit<E, 'at'> : never) : never;

/** Carries out one intent; its effects are events, its refusal an error. */
export type IntentHandler = (intent: Intent) => Promise<void>;

/** Events waiting to be folded are folded at the latest when there are this many. */
const MAX_PENDING = 1_000;

/** The one mutable thing above the parsers: the current snapshot and who listens. */
export class Session implements SessionView {
  private folded: Snapshot = EMPTY_SNAPSHOT;
  private pending: GuestEvent[] = [];
  private readonly listeners = new Set<(event: GuestEvent) => void>();
  private handler: IntentHandler | null = null;
  private readonly clock: () => number;

  /** `clock` gives the time of events that do not bring their own, ms since the epoch: the present unless told. */
  constructor(clock: () => number = Date.now) {
    this.clock = clock;
  }

  /** Takes an event in, stamped with the present unless it brings its own time (a replay's does). */
  emit(event: NewEvent & { readonly at?: number }): void {
    const stamped = { ...event, at: event.at ?? this.clock() } as GuestEvent;
    this.pending.push(stamped);
    if (this.pending.length >= MAX_PENDING) this.snapshot();
    for (const listener of this.listeners) listener(stamped);
  }

  snapshot(): Snapshot {
    if (this.pending.length > 0) {
      const events = this.pending;
      this.pending = [];
      this.folded = reduceAll(this.folded, events);
    }
    return this.folded;
  }

  subscribe(listener: (event: GuestEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Who carries intents out; without one each is refused with a diagnostic. */
  handleIntents(handler: IntentHandler): void {
    this.handler = handler;
  }

  dispatch(intent: Intent): void {
    if (this.handler === null) {
      this.remark('not-live', `${intent.type}: not possible here, this is a recording and not a running guest`);
      return;
    }
    this.handler(intent).catch((error: unknown) => {
      this.remark(`${intent.type}-failed`, errorMessage(error));
    });
  }

  /** Adds a diagnostic. */
  remark(code: string, message: string): void {
    this.emit({ type: 'diagnostic', diagnostic: { code, message } });
  }
}
