// One growing file of filter-dump, followed: what is new is read, what the janitor threw away before we came to it is counted.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { CaptureClock } from './capture-clock.ts';
import { findDiscard } from './discards.ts';
import { DUMP_HEADER_BYTES, type DumpRecord, readByteOrder, readRecords } from './dump-reader.ts';

/** One read; longer than any record. */
const READ_BYTES = 1024 * 1024;

/** What one read brought. */
export interface CaptureRead {
  readonly records: readonly DumpRecord[];
  /** Packets that were thrown away unread. */
  readonly lost: number;
  /** There is more to read now. */
  readonly more: boolean;
}

/** Follows a file; owns its descriptor. */
export class CaptureFile {
  readonly index: number;
  private readonly folder: string;
  private readonly clock: CaptureClock;
  private readonly descriptor: number;
  private readonly buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  private order: 'little' | 'big' | null = null;
  /** Where the next record begins, and how many are before it. */
  offset = 0;
  packets = 0;
  /** Something is in the file that is no packet: nothing behind it can be read. */
  broken = false;

  constructor(path: string, options: { readonly folder: string; readonly index: number; readonly clock: CaptureClock }) {
    this.folder = options.folder;
    this.index = options.index;
    this.clock = options.clock;
    this.descriptor = openSync(path, 'r');
  }

  /** Whether its header is there and is filter-dump's. */
  isDump(): boolean {
    if (this.order !== null) return true;
    const count = readSync(this.descriptor, this.buffer, 0, DUMP_HEADER_BYTES, 0);
    this.order = readByteOrder(this.buffer.subarray(0, count));
    if (this.order !== null) this.offset = DUMP_HEADER_BYTES;
    return this.order !== null;
  }

  /** Reads on; the records' bytes are valid until the next read. */
  read(): CaptureRead {
    if (!this.isDump() || this.broken) return NOTHING;
    const count = readSync(this.descriptor, this.buffer, 0, READ_BYTES, this.offset);
    // After the read, before its bytes are believed: a discard is noted before the bytes turn to zeros.
    const discard = findDiscard(this.folder, this.index);
    if (discard !== null && discard.end > this.offset) {
      const lost = discard.packets - this.packets;
      this.offset = discard.end;
      this.packets = discard.packets;
      return { records: [], lost, more: true };
    }
    const { records, used, broken } = readRecords(this.buffer.subarray(0, count), this.order!);
    this.offset += used;
    this.packets += records.length;
    this.broken = broken;
    this.calibrate(records.at(-1), count === used);
    return { records, lost: 0, more: count === READ_BYTES };
  }

  close(): void {
    closeSync(this.descriptor);
  }

  // The file's time is its last record's, if that is the one just read.
  private calibrate(last: DumpRecord | undefined, atEnd: boolean): void {
    if (last === undefined) return;
    const { size, mtimeMs } = fstatSync(this.descriptor);
    if (atEnd && size === this.offset) this.clock.calibrate(last.stamp, mtimeMs);
    else if (!this.clock.calibrated) this.clock.calibrate(last.stamp, Date.now());
  }
}

const NOTHING: CaptureRead = { records: [], lost: 0, more: false };
