// Reads a long file from front to back in windows, where most of it is skipped: a migration stream has a header before each page.

import type { ByteSource } from '../../bytes/byte-source.ts';
import { decodeLatin1 } from '../../bytes/cursor.ts';
import { UnidbgError } from '../../model/error.ts';

const WINDOW_BYTES = 65_536;

/** A big-endian reader over a source. Reading past its end throws BYTES_OUT_OF_RANGE. */
export class BigEndianReader {
  /** Of the next byte. */
  position = 0;
  private readonly source: ByteSource;
  private readonly window = Buffer.alloc(WINDOW_BYTES);
  private windowStart = 0;
  private windowLength = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  u8(): number {
    return this.window[this.advance(1)]!;
  }

  u16(): number {
    return this.window.readUInt16BE(this.advance(2));
  }

  u32(): number {
    return this.window.readUInt32BE(this.advance(4));
  }

  /** As a number; beyond 2^53 not exact, which no position or size is. */
  u64(): number {
    const high = this.u32();
    return high * 2 ** 32 + this.u32();
  }

  /** Latin-1; at most a window's length. */
  text(length: number): string {
    const at = this.advance(length);
    return decodeLatin1(this.window.subarray(at, at + length));
  }

  /** Moves on; that there is something is seen when it is read. */
  skip(count: number): void {
    this.seek(this.position + count);
  }

  seek(position: number): void {
    if (!(position >= 0 && position <= this.source.size)) throw this.ended(position - this.position);
    this.position = position;
  }

  /** Where in the window the next `count` bytes are. */
  private advance(count: number): number {
    const { position } = this;
    let at = position - this.windowStart;
    if (at < 0 || at + count > this.windowLength) {
      this.windowLength = this.source.read(position, this.window);
      this.windowStart = position;
      at = 0;
      if (count > this.windowLength) throw this.ended(count);
    }
    this.position = position + count;
    return at;
  }

  private ended(count: number): UnidbgError {
    return new UnidbgError(
      'BYTES_OUT_OF_RANGE',
      `${this.source.name} ends at ${this.source.size}: ${count} bytes at ${this.position} are not in it`,
    );
  }
}
