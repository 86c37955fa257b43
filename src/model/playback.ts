// Where a replay stands, and what one may ask of it.

import type { Moment } from './moment.ts';

/** Something on the time line that is worth a mark: when, ms from the start. */
export interface PlaybackMark {
  readonly kind: 'crash' | 'finding';
  readonly elapsed: number;
}

/** Where a replay stands. Spans are ms from the recording's start: they only grow, whatever the guest's clock did. */
export interface Playback {
  readonly position: number;
  /** Of all that has been read so far. */
  readonly length: number;
  /** The clock at this position, ms since the Unix epoch; 0 = not known. */
  readonly at: number;
  readonly playing: boolean;
  /** How much faster than it happened. */
  readonly speed: number;
  /** In order of time; bounded. */
  readonly marks: readonly PlaybackMark[];
  /** How much of the file has been read, 0 to 1: what comes after it is not known yet. */
  readonly read: number;
  /** Counts jumps: what is shown after one does not go on from what was shown before. */
  readonly jumps: number;
  /** The memory that is shown is that of a dump, made at `at`, whatever moment is shown; null: it is of the recording. */
  readonly dump: { readonly at: number | null } | null;
}

/** What one may ask of a replay. */
export type PlaybackChange =
  | { readonly type: 'play-or-pause' }
  | { readonly type: 'speed'; readonly by: 1 | -1 }
  | { readonly type: 'go'; readonly to: Moment }
  | { readonly type: 'skip'; readonly ms: number }
  /** To the event of note after (before) this moment: a crash, a console line, a finding, a sample of metrics, a change of the VM's state. */
  | { readonly type: 'step'; readonly by: 1 | -1 }
  /** To the crash after this moment; behind the last one, to the first. */
  | { readonly type: 'next-crash' };
