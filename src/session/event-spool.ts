// A session's events kept for a bundle that may have to be written: in two files of bounded size, the older one dropped when the newer is
// full. What a reader needs first (whose events they are, which images) is said again at the beginning of each.

import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '../model/error.ts';
import type { GuestEvent } from '../model/event.ts';
import { encodeEvent } from './event-codec.ts';
import { encodeRecordingHeader } from './recording.ts';

/** A day of a quiet guest, a quarter of an hour of one with hundreds of threads. */
const SEGMENT_BYTES = 48 * 1024 * 1024;
const PENDING_CHARS = 256 * 1024;
const CHUNK_BYTES = 256 * 1024;

/** Events in the order in which they came. Owns a private folder; `close` it. */
export class EventSpool {
  /** When the oldest event that is still there was seen, ms since the epoch; null before the first. */
  since: number | null = null;
  /** Why events are missing at the end; null when none are. */
  failure: string | null = null;
  private readonly folder: string;
  private readonly header: string;
  private readonly segmentBytes: number;
  private readonly segments: { readonly path: string; readonly fd: number; size: number; since: number | null }[] = [];
  private readonly latest = new Map<GuestEvent['type'], GuestEvent>();
  private pending: string[] = [];
  private pendingChars = 0;
  private made = 0;

  constructor(header: { readonly unidbg: string; readonly target: string }, segmentBytes = SEGMENT_BYTES) {
    this.folder = mkdtempSync(join(tmpdir(), 'unidbg-events-'));
    this.header = encodeRecordingHeader(header);
    this.segmentBytes = segmentBytes;
    this.open();
  }

  write(event: GuestEvent): void {
    if (this.failure !== null) return;
    if (event.type === 'identity' || event.type === 'images') this.latest.set(event.type, event);
    this.since ??= event.at;
    const line = encodeEvent(event);
    this.pending.push(line);
    this.pendingChars += line.length;
    if (this.pendingChars > PENDING_CHARS) this.flush(event.at);
  }

  /** A recording of all that is still there (docs/recording.md), piece by piece. */
  *pieces(): Generator<Uint8Array> {
    this.flush(Date.now());
    yield Buffer.from(`${this.header}\n`);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (const { fd, size } of this.segments) {
      for (let at = 0; at < size; ) {
        const count = readSync(fd, chunk, 0, Math.min(CHUNK_BYTES, size - at), at);
        if (count === 0) break;
        at += count;
        yield Uint8Array.prototype.slice.call(chunk, 0, count);
      }
    }
  }

  close(): void {
    for (const { fd } of this.segments.splice(0)) closeSync(fd);
    rmSync(this.folder, { recursive: true, force: true });
  }

  private flush(at: number): void {
    const segment = this.segments.at(-1);
    if (segment === undefined || this.pending.length === 0) return;
    const bytes = Buffer.from(`${this.pending.join('\n')}\n`);
    this.pending = [];
    this.pendingChars = 0;
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(segment.fd, bytes, done, bytes.length - done, segment.size + done);
      segment.size += bytes.length;
      segment.since ??= this.since;
      if (segment.size > this.segmentBytes) this.rotate(at);
    } catch (error) {
      this.failure = `events after ${new Date(at).toISOString()} are missing: ${errorMessage(error)}`;
    }
  }

  private rotate(at: number): void {
    while (this.segments.length > 1) closeSync(this.drop());
    this.open();
    this.since = this.segments[0]?.since ?? at;
    for (const event of this.latest.values()) this.pending.push(encodeEvent({ ...event, at }));
    // Only the segment's own events say since when it holds any.
    const newest = this.segments.at(-1);
    if (newest !== undefined) newest.since = at;
  }

  private drop(): number {
    const oldest = this.segments.shift()!;
    rmSync(oldest.path, { force: true });
    return oldest.fd;
  }

  private open(): void {
    this.made += 1;
    const path = join(this.folder, `events-${this.made}.jsonl`);
    this.segments.push({ path, fd: openSync(path, 'wx+', 0o600), size: 0, since: null });
  }
}
