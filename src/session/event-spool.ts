// A session's events, kept on disk for a bundle that may have to be written: in two files of bounded size, the older one dropped when the
// newer is full. What a reader must know first (whose events they are, which images) is said again at the beginning of each.

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { encodeEvent } from './event-codec.ts';
import { encodeRecordingHeader, type RecordingHeader } from './recording.ts';

/** A day of a quiet guest, a quarter of an hour of one with hundreds of threads. */
const SEGMENT_BYTES = 48 * 1024 * 1024;
const PENDING_CHARS = 256 * 1024;
const CHUNK_BYTES = 256 * 1024;

interface Segment {
  readonly fd: number;
  /** Time of its first event. */
  readonly since: number;
  size: number;
}

/** Events in the order in which they came. Owns files without a name: `close` it. */
export class EventSpool {
  private readonly header: RecordingHeader;
  private readonly segmentBytes: number;
  private segments: Segment[] = [];
  private made = 0;
  private readonly latest = new Map<GuestEvent['type'], GuestEvent>();
  private pending: string[] = [];
  private pendingChars = 0;
  private stopped: string | null = null;

  constructor(header: RecordingHeader, segmentBytes = SEGMENT_BYTES) {
    this.header = header;
    this.segmentBytes = segmentBytes;
  }

  /** When the oldest event that is still there was seen, ms since the epoch; null when there is none. */
  get since(): number | null {
    return this.segments[0]?.since ?? null;
  }

  /** Why the last events are missing; null when none are. */
  get failure(): string | null {
    return this.stopped;
  }

  /** Keeps one more. Never throws: a full disk ends it, and is told by `failure`. */
  write(event: GuestEvent): void {
    if (this.stopped !== null) return;
    if (event.type === 'identity' || event.type === 'images') this.latest.set(event.type, event);
    try {
      if ((this.segments.at(-1)?.size ?? this.segmentBytes) >= this.segmentBytes) this.openSegment(event.at);
      this.push(event);
      if (this.pendingChars > PENDING_CHARS) this.flush();
    } catch (error) {
      this.stopped = `events from ${new Date(event.at).toISOString()} on are missing: ${errorMessage(error)}`;
    }
  }

  /** A recording of all that is still there (docs/recording.md), piece by piece. Throws the system's errors. */
  *pieces(): Generator<Uint8Array> {
    if (this.stopped === null) this.flush();
    yield Buffer.from(`${encodeRecordingHeader(this.header)}\n`);
    for (const { fd, size } of this.segments) {
      for (let at = 0; at < size; ) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - at));
        const count = readSync(fd, chunk, 0, chunk.length, at);
        if (count === 0) break;
        at += count;
        yield chunk.subarray(0, count);
      }
    }
  }

  close(): void {
    for (const { fd } of this.segments) closeSync(fd);
    this.segments = [];
  }

  private push(event: GuestEvent): void {
    const line = encodeEvent(event);
    this.pending.push(line);
    this.pendingChars += line.length;
  }

  private flush(): void {
    const segment = this.segments.at(-1);
    if (segment === undefined || this.pending.length === 0) return;
    const bytes = Buffer.from(`${this.pending.join('\n')}\n`);
    this.pending = [];
    this.pendingChars = 0;
    for (let done = 0; done < bytes.length; ) {
      const count = writeSync(segment.fd, bytes, done, bytes.length - done, segment.size);
      segment.size += count;
      done += count;
    }
  }

  private openSegment(at: number): void {
    this.flush();
    this.made += 1;
    this.segments.push({ fd: openNameless(), since: at, size: 0 });
    if (this.made > 1) for (const event of this.latest.values()) this.push({ ...event, at });
    while (this.segments.length > 2) {
      const [oldest] = this.segments.splice(0, 1);
      if (oldest === undefined) break;
      closeSync(oldest.fd);
    }
  }
}

/** A private file whose name is gone at once: however unidbg ends, the disk has its place back. */
function openNameless(): number {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-events-'));
  try {
    return openSync(join(folder, 'events.jsonl'), 'wx+', 0o600);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
