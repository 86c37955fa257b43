// What a screen, a plain printer or a recorder sees of a running session.

import type { GuestEvent } from './event.ts';
import type { Intent } from './intent.ts';
import type { Playback } from './playback.ts';
import type { Snapshot } from './snapshot.ts';

/** A live, replayed or post-mortem session as its audience sees it. */
export interface SessionView {
  /** The newest snapshot; the same object until the next event. */
  snapshot(): Snapshot;
  /** Called after each event, in order. Returns the unsubscriber. */
  subscribe(listener: (event: GuestEvent) => void): () => void;
  /** Carries out a wish; its effect arrives as events, a refusal as a diagnostic event. */
  dispatch(intent: Intent): void;
}

/** A session that is a replay. Its `subscribe` tells events as they are played; those that a jump passes by are not told. */
export interface ReplayView extends SessionView {
  playback(): Playback;
  /** Called whenever the replay stands elsewhere, or otherwise, than before. Returns the unsubscriber. */
  onPlayback(listener: () => void): () => void;
}
