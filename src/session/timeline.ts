// The time line of a recording: any moment of it as a snapshot, the fold of all events up to then. The file is read through once, in pieces,
// and stays on disk: what is kept are checkpoints, from which a moment is decoded again.

import type { CrashKind } from '../model/crash.ts';
import { UnidbgError } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { formatElapsed, type Moment } from '../model/moment.ts';
import type { PlaybackMark } from '../model/playback.ts';
import { Checkpoints, type TimelinePoint } from './checkpoints.ts';
import type { RecordedEvent, RecordingReader } from './recording.ts';
import { EMPTY_SNAPSHOT, reduceAll } from './reduce.ts';
import { advance, type ClockStretch, findClockTime, findTimeOfDay, NO_CLOCK, type TimelineClock } from './timeline-clock.ts';

export type { TimelinePoint } from './checkpoints.ts';

/** An event, the clock and the place behind it. */
export interface TimedEvent extends RecordedEvent {
  readonly clock: TimelineClock;
}

/** A crash and where it is: `count` events up to and with it, `elapsed` ms from the start. */
export interface PlacedCrash {
  readonly kind: CrashKind;
  readonly count: number;
  readonly elapsed: number;
}

/** What is known of a recording so far. */
export interface TimelineExtent {
  /** ms. */
  readonly length: number;
  readonly count: number;
  readonly marks: readonly PlaybackMark[];
  readonly crashes: readonly PlacedCrash[];
  /** How much of the file has been read, 0 to 1. */
  readonly read: number;
}

/** What all checkpoints together may weigh. */
const CHECKPOINT_BYTES = 96 * 1024 * 1024;
/** Folded at once: runs of console lines then cost one copy. */
const BATCH = 256;
const BATCH_BYTES = 64 * 1024;
const MAX_MARKS = 1_000;
const MAX_CRASHES = 100;
const MAX_STRETCHES = 1_000;

const NOTABLE: ReadonlySet<GuestEvent['type']> = new Set([
  ...(['vm', 'console', 'metrics', 'finding', 'crash', 'out-of-memory', 'guest-exit', 'stopped'] as const),
]);

/** Whether a step stops at it. A line that is still being printed is not a line yet. */
export function isNotable(event: GuestEvent): boolean {
  return NOTABLE.has(event.type) && !(event.type === 'console' && event.line.partial);
}

/** A recording's time line; `reader` stays its owner's. */
export class Timeline {
  readonly start: TimelinePoint;
  private readonly reader: RecordingReader;
  private readonly checkpoints: Checkpoints;
  /** How far the file has been read, and the events from there on; null when all is read. */
  private last: TimelinePoint;
  private rest: Generator<TimedEvent> | null;
  private readonly marks: PlaybackMark[] = [];
  private readonly crashes: PlacedCrash[] = [];
  private readonly stretches: ClockStretch[] = [];

  constructor(reader: RecordingReader, checkpointBytes = CHECKPOINT_BYTES) {
    this.reader = reader;
    this.start = { count: 0, snapshot: EMPTY_SNAPSHOT, clock: NO_CLOCK, end: reader.start };
    this.checkpoints = new Checkpoints(this.start, checkpointBytes);
    this.last = this.start;
    this.rest = this.eventsFrom(this.start);
  }

  /** Reads on for about `budgetMs`; whether all has been read. Throws FILE_UNREADABLE. */
  readOn(budgetMs: number): boolean {
    const until = performance.now() + budgetMs;
    while (this.rest !== null && performance.now() < until) {
      const { batch, ended } = takeBatch(this.rest, this.last, Infinity);
      for (const [index, { event, clock }] of batch.entries()) this.note(event, clock, this.last.count + index + 1);
      this.last = foldOn(this.last, batch);
      this.checkpoints.offer(this.last);
      if (ended) this.rest = null;
    }
    return this.rest === null;
  }

  readAll(): void {
    while (!this.readOn(1_000));
  }

  extent(): TimelineExtent {
    const { marks, crashes, last, rest, reader } = this;
    const read = rest === null ? 1 : Math.min(0.999, last.end.position / Math.max(1, reader.size));
    return { length: last.clock.elapsed, count: last.count, marks, crashes, read };
  }

  /** The moment `elapsed` ms from the start, with all that happened then. */
  seek(elapsed: number): TimelinePoint {
    const base = this.checkpoints.findLast(({ clock }) => clock.elapsed <= elapsed);
    return this.fold(base, Infinity, ({ clock }) => clock.elapsed <= elapsed);
  }

  /** The moment right behind the first `count` events. */
  seekCount(count: number): TimelinePoint {
    const base = this.checkpoints.findLast((point) => point.count <= count);
    return this.fold(base, count - base.count);
  }

  /** The moment of the next event of note behind `point`; null when there is none. */
  stepForward(point: TimelinePoint): TimelinePoint | null {
    let count = point.count;
    for (const { event } of this.eventsFrom(point)) {
      count += 1;
      if (isNotable(event)) return this.fold(point, count - point.count);
    }
    return null;
  }

  /** The moment of the last event of note among the first `count`; the start when there is none. */
  stepBack(count: number): TimelinePoint {
    for (let before = count; before > 0; ) {
      const base = this.checkpoints.findLast((point) => point.count < before);
      let index = base.count;
      let found = 0;
      for (const { event } of this.eventsFrom(base)) {
        index += 1;
        if (index > before) break;
        if (isNotable(event)) found = index;
      }
      if (found > 0) return this.seekCount(found);
      before = base.count;
    }
    return this.start;
  }

  /** Events behind `point`, each told as a replay's. */
  *eventsFrom(point: TimelinePoint): Generator<TimedEvent> {
    let { clock } = point;
    for (const { event, end } of this.reader.read(point.end)) {
      clock = advance(clock, event.at);
      yield { event: asReplay(event), end, clock };
    }
  }

  /** The fold at a moment, and where that is, ms from the start. Throws USAGE as `find` does. */
  pointAt(moment: Moment): { readonly point: TimelinePoint; readonly position: number } {
    const [crash] = this.crashes;
    // The crash itself, and not what is told of it in the same millisecond.
    if (moment.from === 'crash' && moment.ms === 0 && crash !== undefined)
      return { point: this.seekCount(crash.count), position: crash.elapsed };
    const position = this.find(moment);
    return { point: this.seek(position), position };
  }

  /** Where a moment is, ms from the start. Throws USAGE when the recording does not have it. */
  find(moment: Moment): number {
    const { length } = this.extent();
    switch (moment.from) {
      case 'start':
        return Math.min(moment.ms, length);
      case 'end':
        return length;
      case 'crash':
        return Math.max(0, Math.min(length, (this.crashes[0]?.elapsed ?? length) + moment.ms));
      case 'date':
        return findClockTime(this.stretches, length, moment.at) ?? this.refuse(moment.at);
      case 'clock':
        return findTimeOfDay(this.stretches, length, moment.ms) ?? this.refuse(moment.ms);
    }
  }

  private refuse(at: number): never {
    const { first, at: end, elapsed } = this.last.clock;
    const asked = new Date(at).toISOString().slice(at < 86_400_000 ? 11 : 0, 23);
    const span =
      first === 0
        ? 'it has no times'
        : `it begins at ${isoOf(first)} and ends at ${isoOf(end)} (UTC), ${formatElapsed(elapsed)} later`;
    throw new UnidbgError('USAGE', `the recording has no moment ${asked.replace('T', ' ')}: ${span}`);
  }

  private note(event: GuestEvent, clock: TimelineClock, count: number): void {
    const { elapsed, setBack, first } = clock;
    if (first !== 0 && this.stretches.at(-1)?.setBack !== setBack && this.stretches.length < MAX_STRETCHES) {
      this.stretches.push({ elapsed, setBack, first });
    }
    if (event.type === 'crash') {
      if (this.crashes.length < MAX_CRASHES) this.crashes.push({ kind: event.crash.kind, count, elapsed });
      this.mark({ kind: 'crash', elapsed });
    }
    if (event.type === 'finding' && event.finding.active) this.mark({ kind: 'finding', elapsed });
  }

  /** A finding that is told again and again is one mark a second. */
  private mark(mark: PlaybackMark): void {
    const last = this.marks.findLast(({ kind }) => kind === mark.kind);
    if (last !== undefined && mark.elapsed - last.elapsed < 1_000) return;
    if (this.marks.length < MAX_MARKS) this.marks.push(mark);
  }

  /** Folds on from `base`, at most `most` events and while `isWanted` holds; leaves checkpoints on a long way. */
  private fold(base: TimelinePoint, most: number, isWanted: (next: TimedEvent) => boolean = () => true): TimelinePoint {
    const events = this.eventsFrom(base);
    for (let point = base; ; ) {
      const { batch, ended } = takeBatch(events, point, base.count + most - point.count, isWanted);
      point = foldOn(point, batch);
      if (ended || point.count >= base.count + most) return point;
      this.checkpoints.offerNear(point);
    }
  }
}

/** The moment behind `batch`, the events that follow `point`. */
export function foldOn(point: TimelinePoint, batch: readonly TimedEvent[]): TimelinePoint {
  const last = batch.at(-1);
  if (last === undefined) return point;
  return {
    count: point.count + batch.length,
    snapshot: reduceAll(
      point.snapshot,
      batch.map(({ event }) => event),
    ),
    clock: last.clock,
    end: last.end,
  };
}

/** The next events behind `point`, at most `most`, as many as are folded at once; `ended`: there are no more, or the next one is not wanted. */
function takeBatch(
  events: Generator<TimedEvent>,
  point: TimelinePoint,
  most: number,
  isWanted: (next: TimedEvent) => boolean = () => true,
): { readonly batch: readonly TimedEvent[]; readonly ended: boolean } {
  const batch: TimedEvent[] = [];
  const until = point.end.position + BATCH_BYTES;
  while (batch.length < Math.min(BATCH, most) && (batch.at(-1)?.end.position ?? 0) < until) {
    const next = events.next();
    if (next.done === true || !isWanted(next.value)) return { batch, ended: true };
    batch.push(next.value);
  }
  return { batch, ended: false };
}

/** The event as a replay tells it: nothing of it runs. */
export function asReplay(event: GuestEvent): GuestEvent {
  return event.type === 'identity' ? { ...event, identity: { ...event.identity, kind: 'replay' } } : event;
}

function isoOf(at: number): string {
  return new Date(at).toISOString().slice(0, 23).replace('T', ' ');
}
