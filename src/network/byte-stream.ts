// The beginning of one direction of a TCP connection, in order: segments that overlap are cut, those ahead of their time wait.

import type { TcpSegment } from './decode-tcp.ts';
import { SYN } from './decode-tcp.ts';

/** Segments and bytes that wait for one before them; beyond that the missing one never came past us. */
const MAX_WAITING = 16;

/** Puts segments in order. `lost` once bytes are missing for good: nothing more comes out. */
export class ByteStream {
  private next: number | null = null;
  private waiting: { readonly sequence: number; readonly bytes: Uint8Array }[] = [];
  lost = false;

  /** Takes a segment, returns what of it (and of those that waited) comes next. Only whole captures can be followed. */
  push(segment: TcpSegment): readonly Uint8Array[] {
    if (this.lost) return [];
    const sequence = (segment.sequence + ((segment.flags & SYN) === 0 ? 0 : 1)) >>> 0;
    this.next ??= sequence;
    if (segment.payload.length < segment.length) this.lost = true;
    if (segment.length === 0 || this.lost) return [];
    this.waiting.push({ sequence, bytes: segment.payload });
    const ready = this.takeReady(this.next);
    if (this.waiting.length > MAX_WAITING) this.lost = true;
    if (this.lost) this.waiting = [];
    return ready;
  }

  private takeReady(from: number): Uint8Array[] {
    const ready: Uint8Array[] = [];
    let next = from;
    for (let found = true; found; ) {
      found = false;
      for (const entry of this.waiting) {
        const ahead = (entry.sequence - next) | 0;
        if (ahead > 0) continue;
        const fresh = entry.bytes.subarray(Math.min(-ahead, entry.bytes.length));
        this.waiting = this.waiting.filter((other) => other !== entry);
        if (fresh.length > 0) ready.push(fresh);
        next = (next + fresh.length) >>> 0;
        found = true;
        break;
      }
    }
    this.next = next;
    // What waits is kept beyond this call, and its bytes are the reader's buffer.
    this.waiting = this.waiting.map(({ sequence, bytes }) => ({ sequence, bytes: bytes.slice() }));
    return ready;
  }
}
