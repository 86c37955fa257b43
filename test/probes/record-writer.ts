// Records and frames of the in-guest probe, written here: whatever a guest could say, in as many words as a test needs.

import { crc32 } from 'node:zlib';

const KINDS = ['gauge', 'counter', 'span'] as const;

/** Writes records one after the other, numbered from 0. `frames` gives, and forgets, what was written since. */
export class RecordWriter {
  private sequence = 0;
  private written: Buffer[] = [];

  /** A record of any type; the sequence and a time of 0 are added. */
  raw(type: number, id: number, body: Uint8Array): this {
    const head = Buffer.alloc(16);
    head.writeUInt8(type, 0);
    head.writeUInt16LE(id, 2);
    head.writeUInt32LE(this.sequence++ >>> 0, 4);
    this.written.push(encodeFrame(Buffer.concat([head, body])));
    return this;
  }

  hello(version: number, program: string): this {
    return this.raw(1, 0, Buffer.concat([Buffer.from([version, 0, 0, 0, 0, 0, 0, 0]), encodeString(program)]));
  }

  declare(id: number, kind: (typeof KINDS)[number], name: string, unit: string, attributes = ''): this {
    const texts = attributes === '' ? [name, unit] : [name, unit, attributes];
    return this.raw(2, id, Buffer.concat([Buffer.from([KINDS.indexOf(kind)]), ...texts.map(encodeString)]));
  }

  integer(id: number, value: number): this {
    const body = Buffer.alloc(8);
    body.writeBigInt64LE(BigInt(value));
    return this.raw(3, id, body);
  }

  float(id: number, value: number): this {
    const body = Buffer.alloc(8);
    body.writeDoubleLE(value);
    return this.raw(4, id, body);
  }

  span(id: number, duration: number): this {
    const body = Buffer.alloc(8);
    body.writeBigUInt64LE(BigInt(duration));
    return this.raw(5, id, body);
  }

  frames(): Buffer {
    const frames = Buffer.concat(this.written);
    this.written = [];
    return frames;
  }
}

function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** CRC and COBS. */
function encodeFrame(record: Buffer): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(crc32(record));
  const frame: number[] = [];
  let block: number[] = [];
  for (const byte of [...record, ...sum]) {
    if (byte !== 0) block.push(byte);
    else {
      frame.push(block.length + 1, ...block);
      block = [];
    }
  }
  return Buffer.from([...frame, block.length + 1, ...block, 0]);
}
