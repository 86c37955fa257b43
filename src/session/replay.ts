// A recording as a session: played in its own time or faster, paused, gone through forth and back. What it shows is the fold of all events
// up to the moment where it stands; what is asked for beyond that comes from a dump of the same guest, where there is one.

import type { Diagnostic } from '../model/diagnostic.ts';
import { errorCode, errorMessage } from '../model/error.ts';
import type { EventOf, GuestEvent, ListingPlace } from '../model/event.ts';
import type { Intent } from '../model/intent.ts';
import type { Moment } from '../model/moment.ts';
import type { Playback, PlaybackChange } from '../model/playback.ts';
import type { ReplayView, SessionView } from '../model/session.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { listSource } from './listing.ts';
import type { RecordingReader } from './recording.ts';
import { foldOn, type PlacedCrash, type TimedEvent, Timeline, type TimelinePoint } from './timeline.ts';

/** A dump of the recorded guest: answers what its memory and code are asked, with events. */
export interface DumpView {
  readonly session: SessionView;
  close(): void;
}

/** How to replay. */
export interface ReplayOptions {
  /** How much faster than it happened; above 0. */
  readonly speed: number;
  /** Where to stand, paused; null = play from the start. */
  readonly from: Moment | null;
  /** Folders in which source files are looked for. */
  readonly sourceRoots: readonly string[];
  /** Of a bundle: opens its dump, when somebody asks for memory or code; `at` is when it was made, ms since the Unix epoch. */
  readonly dump: { readonly at: number | null; readonly open: () => Promise<DumpView> } | null;
  /** What is wrong with the file itself. */
  readonly remarks: readonly Diagnostic[];
}

/** A pause in the recording is waited for at most so long: nobody wants to watch an idle night. */
const LONGEST_WAIT_MS = 5_000;
const TICK_MS = 100;
/** Keys are answered between two slices of work. */
const SLICE_MS = 20;
const FIRST_SLICE_MS = 150;
const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024];
const MAX_REMARKS = 50;

/** A replay; `reader` stays its owner's. */
export class Replay implements ReplayView {
  private readonly timeline: Timeline;
  private readonly options: ReplayOptions;
  private readonly listeners = new Set<(event: GuestEvent) => void>();
  private readonly watchers = new Set<() => void>();
  private readonly asked = new Asked();

  /** What has been folded, what has been played since, and what comes next: undefined = not looked yet, null = nothing. */
  private point: TimelinePoint;
  private played: TimedEvent[] = [];
  private rest: Generator<TimedEvent> | null = null;
  private next: TimedEvent | null | undefined = undefined;

  private position = 0;
  private playing = false;
  private speed: number;
  private jumps = 0;
  /** What cannot be done before more of the file has been read. */
  private wish: PlaybackChange | null = null;
  private timer: NodeJS.Timeout | null = null;
  private reading: NodeJS.Timeout | null = null;
  private tickedAt = 0;
  private eventAt = 0;
  private dump: Promise<DumpView> | null = null;
  private isClosed = false;

  constructor(reader: RecordingReader, options: ReplayOptions) {
    this.options = options;
    this.speed = options.speed;
    this.timeline = new Timeline(reader);
    this.point = this.timeline.start;
    for (const remark of options.remarks) this.asked.remark(remark);
    if (!this.timeline.readOn(FIRST_SLICE_MS)) this.readLater();
    this.jump(this.timeline.seek(0), 0);
    if (options.from === null) this.play();
    else this.dispatch({ type: 'playback', change: { type: 'go', to: options.from } });
  }

  snapshot(): Snapshot {
    this.fold();
    return this.asked.addTo(this.point.snapshot);
  }

  playback(): Playback {
    this.fold();
    const { clock } = this.point;
    const { length, marks, read } = this.timeline.extent();
    const { playing, speed, jumps } = this;
    const position = Math.max(this.position, clock.elapsed);
    const at = clock.at === 0 ? 0 : clock.at + (position - clock.elapsed);
    const dump = this.options.dump === null || !this.asked.hasMemory() ? null : { at: this.options.dump.at };
    return { position, length: Math.max(length, position), at, playing, speed, marks, read, jumps, dump };
  }

  /** Crashes found so far, wherever the replay stands. */
  crashes(): readonly PlacedCrash[] {
    return this.timeline.extent().crashes;
  }

  subscribe(listener: (event: GuestEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  onPlayback(listener: () => void): () => void {
    this.watchers.add(listener);
    return () => this.watchers.delete(listener);
  }

  dispatch(intent: Intent): void {
    switch (intent.type) {
      case 'playback':
        this.trying(() => {
          this.change(intent.change);
        });
        return;
      case 'show-listing':
        this.showListing(intent.place);
        return;
      case 'show-memory':
      case 'show-memory-of':
        if (this.options.dump === null) this.remark('not-live', 'a recording holds no memory: only what was looked at then');
        else this.askDump(intent);
        return;
      default:
        this.remark('not-live', `${intent.type}: not possible here, this is a recording and not a running guest`);
    }
  }

  close(): void {
    this.isClosed = true;
    this.pause();
    if (this.reading !== null) clearTimeout(this.reading);
    void this.dump?.then(
      (dump) => {
        dump.close();
      },
      () => undefined,
    );
  }

  // --- going through it

  private change(change: PlaybackChange): void {
    if (!this.isKnown(change)) {
      this.wish = change;
      return;
    }
    this.wish = null;
    switch (change.type) {
      case 'play-or-pause':
        if (this.playing) this.pause();
        else this.playOn();
        break;
      case 'speed':
        this.speed = nextSpeed(this.speed, change.by);
        break;
      case 'skip':
        this.goTo(this.playback().position + change.ms);
        break;
      case 'go':
        this.pause();
        this.go(change.to);
        break;
      case 'step':
        this.pause();
        this.step(change.by);
        break;
      case 'next-crash':
        this.pause();
        this.nextCrash();
        break;
    }
    this.changed();
  }

  /** Whether what has been read so far is enough to do it. */
  private isKnown(change: PlaybackChange): boolean {
    const { read, length, crashes } = this.timeline.extent();
    if (read === 1 || (change.type !== 'go' && change.type !== 'next-crash')) return true;
    if (change.type === 'next-crash') return crashes.some(({ count }) => count > this.point.count);
    return (change.to.from === 'start' && change.to.ms <= length) || (change.to.from === 'crash' && crashes.length > 0);
  }

  /** At its end it begins anew. */
  private playOn(): void {
    if (this.peek() === null) this.goTo(0);
    this.play();
  }

  private go(moment: Moment): void {
    const { point, position } = this.timeline.pointAt(moment);
    this.jump(point, position);
  }

  private step(by: 1 | -1): void {
    this.fold();
    const { point } = this;
    if (by < 0) {
      const isBehind = this.position > point.clock.elapsed;
      const { count } = this.timeline.stepBack(isBehind ? point.count : point.count - 1);
      // Before the first event there is nothing to see.
      if (count === 0) this.goTo(0);
      else this.goToCount(count);
      return;
    }
    const next = this.timeline.stepForward(point);
    if (next === null) this.goTo(this.timeline.extent().length);
    else this.jump(next, next.clock.elapsed);
  }

  private nextCrash(): void {
    this.fold();
    const { crashes } = this.timeline.extent();
    const next = crashes.find(({ count }) => count > this.point.count) ?? crashes[0];
    if (next === undefined) this.remark('no-crash', 'there is no crash in this recording');
    else this.goToCount(next.count);
  }

  private goTo(wanted: number): void {
    const position = Math.max(0, Math.min(wanted, this.timeline.extent().length));
    this.jump(this.timeline.seek(position), position);
  }

  private goToCount(count: number): void {
    const point = this.timeline.seekCount(count);
    this.jump(point, point.clock.elapsed);
  }

  private jump(point: TimelinePoint, position: number): void {
    this.point = point;
    this.played = [];
    this.rest = null;
    this.next = undefined;
    this.position = position;
    this.jumps += 1;
    this.eventAt = this.tickedAt = performance.now();
    if (this.playing) this.schedule(0);
  }

  // --- playing

  private play(): void {
    if (this.isClosed) return;
    this.playing = true;
    this.eventAt = this.tickedAt = performance.now();
    this.schedule(0);
  }

  private pause(): void {
    this.playing = false;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private schedule(waitMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.trying(() => {
        this.tick();
      });
    }, waitMs);
  }

  private tick(): void {
    const now = performance.now();
    const target = this.position + (now - this.tickedAt) * this.speed;
    this.tickedAt = now;
    this.position = this.playUntil(target, now);
    const next = this.peek();
    if (next === null) {
      this.pause();
      this.position = this.point.clock.elapsed;
    } else {
      this.schedule(Math.max(1, Math.min((next.clock.elapsed - this.position) / this.speed, TICK_MS)));
    }
    this.changed();
  }

  /** Plays what is due by `target`; returns how far that came, which is less where there is too much to play at once. */
  private playUntil(target: number, now: number): number {
    let reached = target;
    for (let next = this.peek(); next !== null; next = this.peek()) {
      const due = next.clock.elapsed;
      if (due > reached) {
        if (now - this.eventAt < LONGEST_WAIT_MS) break;
        reached = due;
      }
      this.next = undefined;
      this.played.push(next);
      this.eventAt = now;
      this.tell(next.event);
      if (performance.now() - now > SLICE_MS) return due;
    }
    this.fold();
    return reached;
  }

  private peek(): TimedEvent | null {
    if (this.next !== undefined) return this.next;
    if (this.rest === null) {
      this.fold();
      this.rest = this.timeline.eventsFrom(this.point);
    }
    const next = this.rest.next();
    this.next = next.done === true ? null : next.value;
    return this.next;
  }

  private fold(): void {
    if (this.played.length === 0) return;
    this.point = foldOn(this.point, this.played);
    this.played = [];
  }

  // --- reading the file

  private readLater(): void {
    this.reading = setTimeout(() => {
      this.trying(() => {
        if (!this.timeline.readOn(SLICE_MS)) this.readLater();
        if (this.wish !== null) this.change(this.wish);
        this.changed();
      });
    }, 2);
  }

  /** A file that cannot be read any further ends the playing, not the session. */
  private trying(body: () => void): void {
    try {
      body();
    } catch (error) {
      if (errorCode(error) === null) throw error;
      this.wish = null;
      this.pause();
      this.remark('replay-failed', errorMessage(error));
    }
  }

  // --- what is asked for

  private showListing(place: ListingPlace): void {
    const listing = listSource(place, this.options.sourceRoots);
    if (listing === null && this.options.dump !== null) {
      this.askDump({ type: 'show-listing', place });
      return;
    }
    const missing = { kind: 'source', title: 'not found here: --source DIR says where it is', lines: [] } as const;
    this.answer({ at: this.playback().at, type: 'listing', place, listing: listing ?? missing });
  }

  private askDump(intent: Intent): void {
    this.dump ??= this.openDump();
    this.dump.then(
      ({ session }) => {
        session.dispatch(intent);
      },
      (error: unknown) => {
        if (errorCode(error) === null) throw error;
        this.remark('dump-unreadable', `the dump in it cannot be read: ${errorMessage(error)}`);
      },
    );
  }

  private async openDump(): Promise<DumpView> {
    this.remark('dump-opened', 'opening the dump …');
    const dump = await this.options.dump!.open();
    dump.session.subscribe((event) => {
      if (event.type === 'memory') this.answer(event);
      if (event.type === 'listing') this.answer(ofDump(event));
      if (event.type === 'diagnostic') this.remark(event.diagnostic.code, event.diagnostic.message);
    });
    return dump;
  }

  private answer(event: EventOf<'memory'> | EventOf<'listing'>): void {
    this.asked.answer(event);
    this.tell(event);
  }

  private remark(code: string, message: string): void {
    this.asked.remark({ code, message });
    this.tell({ at: this.playback().at, type: 'diagnostic', diagnostic: { code, message } });
  }

  private tell(event: GuestEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private changed(): void {
    for (const watcher of this.watchers) watcher();
  }
}

/** What was asked for stands beside the recording, whatever moment is shown: answers, and remarks of the replay itself. */
class Asked {
  private memory: Snapshot['memory'] = null;
  private listing: Snapshot['listing'] = null;
  private remarks: readonly Diagnostic[] = [];
  private shown: { readonly of: Snapshot; readonly as: Snapshot } | null = null;

  answer(event: EventOf<'memory'> | EventOf<'listing'>): void {
    if (event.type === 'memory') this.memory = event.window;
    else this.listing = { place: event.place, listing: event.listing };
    this.shown = null;
  }

  /** The same one again is the newest one again. */
  remark(added: Diagnostic): void {
    const others = this.remarks.filter(({ code, message }) => code !== added.code || message !== added.message);
    this.remarks = [...others, added].slice(-MAX_REMARKS);
    this.shown = null;
  }

  hasMemory(): boolean {
    return this.memory !== null;
  }

  addTo(snapshot: Snapshot): Snapshot {
    if (this.shown?.of === snapshot) return this.shown.as;
    const as = {
      ...snapshot,
      memory: this.memory ?? snapshot.memory,
      listing: this.listing ?? snapshot.listing,
      diagnostics: [...snapshot.diagnostics, ...this.remarks],
    };
    this.shown = { of: snapshot, as };
    return as;
  }
}

/** A source file is what it is; instructions are read where the dump was made. */
function ofDump(event: EventOf<'listing'>): EventOf<'listing'> {
  const { listing } = event;
  return listing.kind === 'source' ? event : { ...event, listing: { ...listing, title: `of the dump, ${listing.title}` } };
}

function nextSpeed(speed: number, by: 1 | -1): number {
  const next = by > 0 ? SPEEDS.find((known) => known > speed) : SPEEDS.findLast((known) => known < speed);
  return next ?? speed;
}
