// The probe's byte stream (virtio-serial, second UART, socket, file) → records: docs/probe-protocol.md, "Over a byte stream".
// Cannot mind where a chunk ends; after a loss it goes on at the next zero byte and counts what it could not read. A frame is
// unstuffed as its bytes come, into one buffer that is used for all: nothing is allocated for a record.

import { MAX_RECORD, MIN_RECORD } from './records.ts';

const CRC_SIZE = 4;
const MAX_PLAIN = MAX_RECORD + CRC_SIZE;

/** Takes a whole record's bytes, [start, start + length) of `view`, which are another record's when it returns. */
export type TakeRecord = (view: DataView, start: number, length: number) => void;

/** Push bytes; every whole record is handed to `take`. Never throws. */
export class ProbeDecoder {
  /** Frames that were no record: damaged, too short, too long. */
  damaged = 0;
  private readonly take: TakeRecord;
  private readonly plain = new Uint8Array(MAX_PLAIN);
  private readonly view = new DataView(this.plain.buffer);
  private length = 0;
  /** Bytes until the next code byte of Consistent Overhead Byte Stuffing (Cheshire & Baker 1999); 0 = it is due. */
  private left = 0;
  /** The last code byte; 0 = none in this frame yet. */
  private code = 0;
  private overlong = false;

  constructor(take: TakeRecord) {
    this.take = take;
  }

  push(chunk: Uint8Array): void {
    for (const byte of chunk) {
      if (byte === 0) this.endFrame();
      else if (this.left === 0) this.startBlock(byte);
      else {
        this.append(byte);
        this.left -= 1;
      }
    }
  }

  private startBlock(code: number): void {
    if (this.code !== 0 && this.code !== 255) this.append(0);
    this.code = code;
    this.left = code - 1;
  }

  private append(byte: number): void {
    if (this.length < MAX_PLAIN) this.plain[this.length++] = byte;
    else this.overlong = true;
  }

  private endFrame(): void {
    const length = this.length - CRC_SIZE;
    // Two zeros in a row are an empty frame: harmless, a guest may send one to say "here I begin".
    const empty = this.code === 0;
    const whole = !this.overlong && this.left === 0 && length >= MIN_RECORD;
    if (whole && crc32(this.plain, length) === this.view.getUint32(length, true)) this.take(this.view, 0, length);
    else if (!empty) this.damaged += 1;
    this.length = 0;
    this.left = 0;
    this.code = 0;
    this.overlong = false;
  }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0xedb88320;
  return crc;
});

/** CRC-32 (IEEE 802.3) of the first bytes. For two dozen bytes a call of zlib's costs three times as much. */
function crc32(bytes: Uint8Array, length: number): number {
  let crc = -1;
  for (let at = 0; at < length; at += 1) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
