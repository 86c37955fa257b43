// Snapshots of a recording at some of its moments, from which any other is a short way. Snapshots share what they have in common, but an hour
// of metrics and a talkative console share little: when all together weigh too much, every second one is let go.

import type { Snapshot } from '../model/snapshot.ts';
import type { RecordingPlace } from './recording.ts';
import type { TimelineClock } from './timeline-clock.ts';

/** The fold of a recording's first `count` events, and from where it goes on. */
export interface TimelinePoint {
  readonly count: number;
  readonly snapshot: Snapshot;
  readonly clock: TimelineClock;
  readonly end: RecordingPlace;
}

/** Bytes of recording between two checkpoints at first: a few milliseconds to decode. */
const SPACING = 256 * 1024;
/** Made on the way to a moment: the next wish is often for one near by. */
const NEAR = 12;

/** The checkpoints of one recording; what they weigh together stays below `mostBytes`, estimated. */
export class Checkpoints {
  private readonly mostBytes: number;
  private kept: { readonly point: TimelinePoint; readonly bytes: number }[];
  private near: TimelinePoint[] = [];
  private bytes = 0;
  private spacing = SPACING;

  constructor(start: TimelinePoint, mostBytes: number) {
    this.kept = [{ point: start, bytes: 0 }];
    this.mostBytes = mostBytes;
  }

  /** Keeps `point` when it is far enough behind the last one kept. Points come in order. */
  offer(point: TimelinePoint): void {
    const last = this.kept.at(-1)!.point;
    if (point.end.position - last.end.position < this.spacing) return;
    this.kept.push({ point, bytes: weigh(point.snapshot, last.snapshot) });
    this.bytes += this.kept.at(-1)!.bytes;
    while (this.bytes > this.mostBytes && this.kept.length > 2) this.thin();
  }

  /** Keeps `point` for a while; the oldest of its kind goes. */
  offerNear(point: TimelinePoint): void {
    const known = [...this.near, ...this.kept.map((kept) => kept.point)];
    if (known.some(({ end }) => Math.abs(end.position - point.end.position) < SPACING)) return;
    this.near = [...this.near.slice(1 - NEAR), point];
  }

  /** The last one of which `isBefore` holds; it holds of the start, and of none behind one of which it does not. */
  findLast(isBefore: (point: TimelinePoint) => boolean): TimelinePoint {
    const kept = this.kept.findLast(({ point }) => isBefore(point))!.point;
    return this.near.reduce((best, point) => (point.count > best.count && isBefore(point) ? point : best), kept);
  }

  private thin(): void {
    this.spacing *= 2;
    const left = this.kept.filter((_, index) => index % 2 === 0).map(({ point }) => point);
    this.kept = left.map((point, index) => ({
      point,
      bytes: index === 0 ? 0 : weigh(point.snapshot, left[index - 1]!.snapshot),
    }));
    this.bytes = this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

/** Bytes that `snapshot` takes beside `before`, roughly: what they share weighs nothing. */
function weigh(snapshot: Snapshot, before: Snapshot): number {
  const { console, metrics, stacks, threads, registers, network, sockets } = snapshot;
  const newest = before.console.at(-1)?.number ?? 0;
  let bytes = 2_000 + console.length * 8 + metrics.size * 64;
  for (let index = console.length - 1; index >= 0 && console[index]!.number > newest; index -= 1) {
    bytes += 160 + console[index]!.text.length;
  }
  for (const [key, series] of metrics) {
    if (before.metrics.get(key) !== series) bytes += 400 + series.times.length * 20;
  }
  if (stacks !== before.stacks) bytes += stacks.reduce((sum, { frames }) => sum + 200 + frames.length * 300, 0);
  if (threads !== before.threads) bytes += threads.length * 600;
  if (registers !== before.registers) bytes += registers.length * 1_500;
  if (network !== before.network) bytes += (network?.flows.length ?? 0) * 1_200;
  if (sockets !== before.sockets) bytes += (sockets?.length ?? 0) * 300;
  return bytes;
}
