// The probe's byte stream (virtio-serial, second UART) → records: docs/probe-protocol.md, "Over a byte stream".
// Cannot mind where a chunk ends; after a loss it goes on at the next zero byte and counts what it could not read.

import { crc32 } from 'node:zlib';
import { decodeRecord, MAX_RECORD, MIN_RECORD, type ProbeRecord } from './records.ts';

const CRC_SIZE = 4;
/** One COBS overhead byte; records are far below 254 bytes. */
const MAX_ENCODED = MAX_RECORD + CRC_SIZE + 1;

/** Push bytes, get records. */
export class ProbeDecoder {
  /** Frames that were no record: damaged, too long, of an unknown type. */
  damaged = 0;
  private readonly frame = new Uint8Array(MAX_ENCODED);
  private length = 0;
  private overlong = false;

  push(chunk: Uint8Array): ProbeRecord[] {
    const records: ProbeRecord[] = [];
    for (const byte of chunk) {
      if (byte !== 0) this.append(byte);
      else this.endFrame(records);
    }
    return records;
  }

  private append(byte: number): void {
    if (this.length < MAX_ENCODED) this.frame[this.length++] = byte;
    else this.overlong = true;
  }

  private endFrame(records: ProbeRecord[]): void {
    // Two zeros in a row are an empty frame: harmless, a guest may send one to say "here I begin".
    if (this.length > 0) {
      const record = this.overlong ? null : decodeFrame(this.frame.subarray(0, this.length));
      if (record === null) this.damaged += 1;
      else records.push(record);
    }
    this.length = 0;
    this.overlong = false;
  }
}

/** One frame without its zero byte → its record; null when it is damaged. */
function decodeFrame(frame: Uint8Array): ProbeRecord | null {
  const plain = decodeCobs(frame);
  if (plain === null || plain.length < MIN_RECORD + CRC_SIZE) return null;
  const body = plain.subarray(0, plain.length - CRC_SIZE);
  const expected = new DataView(plain.buffer, plain.byteOffset + body.length, CRC_SIZE).getUint32(0, true);
  return crc32(body) === expected ? decodeRecord(body) : null;
}

/** Consistent Overhead Byte Stuffing (Cheshire & Baker 1999), decoding; null when a code points past the end. */
function decodeCobs(frame: Uint8Array): Uint8Array | null {
  const plain = new Uint8Array(frame.length);
  let length = 0;
  for (let at = 0; at < frame.length; ) {
    const code = frame[at]!;
    if (at + code > frame.length) return null;
    plain.set(frame.subarray(at + 1, at + code), length);
    length += code - 1;
    at += code;
    if (code < 255 && at < frame.length) plain[length++] = 0;
  }
  return plain.subarray(0, length);
}
