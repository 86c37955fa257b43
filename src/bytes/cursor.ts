// The one thing that touches bytes of ELF, DWARF, notes and dumps: a bounds-checked reader over a Uint8Array.
// Running off the end throws BYTES_OUT_OF_RANGE with what was read and at which offset; parsers turn it into their own code.

import { UnidbgError } from '../model/error.ts';

/** A moving reader. `base` is added to offsets in messages, so that they are offsets into the file or section. */
export class Cursor {
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  readonly base: number;
  private readonly view: DataView;
  /** Offset of the next byte, from the start of `bytes`. */
  offset = 0;

  constructor(bytes: Uint8Array, options: { littleEndian?: boolean; offset?: number; base?: number } = {}) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.littleEndian = options.littleEndian ?? true;
    this.base = options.base ?? 0;
    this.seek(options.offset ?? 0);
  }

  get length(): number {
    return this.bytes.length;
  }

  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  get atEnd(): boolean {
    return this.offset >= this.bytes.length;
  }

  /** Moves to `offset` from the start; the end itself is allowed. */
  seek(offset: number): void {
    if (!(offset >= 0 && offset <= this.bytes.length)) throw this.outOfRange('seek', offset - this.offset);
    this.offset = offset;
  }

  skip(count: number): void {
    this.advance(count, 'skip');
  }

  u8(): number {
    const byte = this.bytes[this.offset];
    if (byte === undefined) throw this.outOfRange('u8', 1);
    this.offset += 1;
    return byte;
  }

  i8(): number {
    return this.view.getInt8(this.advance(1, 'i8'));
  }

  u16(): number {
    return this.view.getUint16(this.advance(2, 'u16'), this.littleEndian);
  }

  i16(): number {
    return this.view.getInt16(this.advance(2, 'i16'), this.littleEndian);
  }

  u32(): number {
    return this.view.getUint32(this.advance(4, 'u32'), this.littleEndian);
  }

  i32(): number {
    return this.view.getInt32(this.advance(4, 'i32'), this.littleEndian);
  }

  u64(): bigint {
    return this.view.getBigUint64(this.advance(8, 'u64'), this.littleEndian);
  }

  i64(): bigint {
    return this.view.getBigInt64(this.advance(8, 'i64'), this.littleEndian);
  }

  /** An unsigned 64-bit value as a number: exact up to 2^53, otherwise Infinity (an offset nobody can follow). */
  u64Number(): number {
    const at = this.advance(8, 'u64');
    const low = this.view.getUint32(at + (this.littleEndian ? 0 : 4), this.littleEndian);
    const high = this.view.getUint32(at + (this.littleEndian ? 4 : 0), this.littleEndian);
    return high >= 0x200000 ? Infinity : high * 0x1_0000_0000 + low;
  }

  /** Unsigned LEB128 as a number; Infinity beyond 2^53. At most 10 bytes are taken as significant, more is malformed. */
  uleb(): number {
    const first = this.bytes[this.offset];
    if (first !== undefined && first < 0x80) {
      this.offset += 1;
      return first;
    }
    let result = 0;
    let scale = 1;
    for (let count = 0; count < 10; count += 1) {
      const byte = this.u8();
      result += (byte & 0x7f) * scale;
      if ((byte & 0x80) === 0) return result > Number.MAX_SAFE_INTEGER ? Infinity : result;
      scale *= 128;
    }
    throw this.outOfRange('uleb', 1);
  }

  /** Moves past a LEB128 of either sign, however long its padding. */
  skipLeb(): void {
    while (this.u8() >= 0x80);
  }

  /** Signed LEB128 as a number; exact within ±2^53. */
  sleb(): number {
    const first = this.bytes[this.offset];
    const second = this.bytes[this.offset + 1];
    if (first === undefined || first < 0x80)
      return first === undefined ? Number(this.slebBig()) : this.shortSleb((first << 25) >> 25, 1);
    if (second !== undefined && second < 0x80) return this.shortSleb((((second << 7) | (first & 0x7f)) << 18) >> 18, 2);
    return Number(this.slebBig());
  }

  /** Unsigned LEB128, 64 bits. */
  ulebBig(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      result |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return BigInt.asUintN(64, result);
    }
    throw this.outOfRange('uleb', 1);
  }

  /** Signed LEB128, 64 bits. */
  slebBig(): bigint {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      result |= BigInt(byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return BigInt.asIntN(64, (byte & 0x40) === 0 ? result : result - (1n << (shift + 7n)));
    }
    throw this.outOfRange('sleb', 1);
  }

  /** The next `count` bytes, not copied. */
  take(count: number): Uint8Array {
    const at = this.advance(count, 'take');
    return this.bytes.subarray(at, at + count);
  }

  /** A cursor over the next `count` bytes; this one moves past them. */
  split(count: number): Cursor {
    const at = this.offset;
    return new Cursor(this.take(count), { littleEndian: this.littleEndian, base: this.base + at });
  }

  /** A NUL-terminated string, Latin-1 unless it is valid UTF-8; the NUL is consumed. */
  cString(): string {
    const end = this.bytes.indexOf(0, this.offset);
    if (end < 0) throw this.outOfRange('string', this.remaining + 1);
    const text = decodeText(this.bytes.subarray(this.offset, end));
    this.offset = end + 1;
    return text;
  }

  private shortSleb(value: number, length: number): number {
    this.offset += length;
    return value;
  }

  private advance(count: number, what: string): number {
    const at = this.offset;
    if (!(count >= 0 && at + count <= this.bytes.length)) throw this.outOfRange(what, count);
    this.offset = at + count;
    return at;
  }

  private outOfRange(what: string, count: number): UnidbgError {
    const at = this.base + this.offset;
    return new UnidbgError(
      'BYTES_OUT_OF_RANGE',
      `cannot read ${what} (${count} bytes) at offset 0x${at.toString(16)}: only ${this.remaining} bytes left`,
      {
        facts: { offset: at, wanted: count, left: this.remaining },
      },
    );
  }
}

const NOT_ASCII = /[^\x00-\x7f]/;
const utf8 = new TextDecoder('utf-8', { fatal: true });
const latin1 = new TextDecoder('latin1');

/** Bytes as text, a character each. */
export function decodeLatin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** Bytes as text: UTF-8 when valid, Latin-1 otherwise, so no byte is lost. */
export function decodeText(bytes: Uint8Array): string {
  // Names are ASCII but for a few, and this costs a third of a TextDecoder's call.
  const text = decodeLatin1(bytes);
  if (!NOT_ASCII.test(text)) return text;
  try {
    return utf8.decode(bytes);
  } catch {
    return latin1.decode(bytes);
  }
}
