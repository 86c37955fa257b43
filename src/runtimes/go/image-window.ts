// Random access to an image's bytes by position, for tables of tens of megabytes of which a look-up touches a few bytes: what was
// read is kept in blocks, the oldest go first.

import { decodeText } from '../../bytes/cursor.ts';
import type { CodeImage } from '../../model/code-table.ts';
import { UnidbgError } from '../../model/error.ts';

const BLOCK_BYTES = 64 * 1024;
/** 16 MiB. */
const MAX_BLOCKS = 256;

interface Block {
  readonly start: number;
  readonly end: number;
  readonly view: DataView;
  readonly bytes: Uint8Array;
}

/** An image's bytes by offset from `origin`. Every read throws BYTES_OUT_OF_RANGE where the file holds none. */
export class ImageWindow {
  readonly image: CodeImage;
  /** Link address of offset 0. */
  readonly origin: bigint;
  private readonly ranges: readonly { readonly start: number; readonly end: number }[];
  private readonly blocks = new Map<number, Block>();
  private block: Block = { start: 0, end: 0, view: new DataView(new ArrayBuffer(0)), bytes: new Uint8Array(0) };

  constructor(image: CodeImage, origin: bigint) {
    this.image = image;
    this.origin = origin;
    this.ranges = image.ranges.map(({ address, size }) => {
      const start = Number(address - origin);
      return { start, end: start + size };
    });
  }

  u8(offset: number): number {
    if (offset < this.block.start || offset >= this.block.end) this.enter(offset);
    return this.block.bytes[offset - this.block.start]!;
  }

  u16(offset: number): number {
    return this.isWithin(offset, 2)
      ? this.block.view.getUint16(offset - this.block.start, this.image.littleEndian)
      : this.assemble(offset, 2);
  }

  u32(offset: number): number {
    return this.isWithin(offset, 4)
      ? this.block.view.getUint32(offset - this.block.start, this.image.littleEndian)
      : this.assemble(offset, 4);
  }

  i32(offset: number): number {
    return this.u32(offset) | 0;
  }

  /** A word of the image's size; Infinity beyond 2^53. */
  word(offset: number): number {
    if (this.image.bits === 32) return this.u32(offset);
    const [low, high] = this.image.littleEndian ? [0, 4] : [4, 0];
    const upper = this.u32(offset + high);
    return upper >= 0x20_0000 ? Infinity : upper * 0x1_0000_0000 + this.u32(offset + low);
  }

  /** A word of the image's size that is an address. */
  address(offset: number): bigint {
    if (this.image.bits === 32) return BigInt(this.u32(offset));
    const [low, high] = this.image.littleEndian ? [0, 4] : [4, 0];
    return (BigInt(this.u32(offset + high)) << 32n) | BigInt(this.u32(offset + low));
  }

  /** A NUL-terminated string of at most `most` bytes. */
  cString(offset: number, most: number): string {
    let end = offset;
    while (this.u8(end) !== 0) if ((end += 1) - offset > most) throw this.outside(offset, most, 'a string without an end');
    return decodeText(this.bytes(offset, end - offset));
  }

  /** A copy of `length` bytes; they must lie in one range of the file. */
  bytes(offset: number, length: number): Uint8Array {
    if (offset >= this.block.start && offset + length <= this.block.end) {
      return this.block.bytes.slice(offset - this.block.start, offset - this.block.start + length);
    }
    const range = this.rangeOf(offset);
    const found =
      range === null || offset + length > range.end ? null : this.image.readVirtual(this.origin + BigInt(offset), length);
    if (found === null) throw this.outside(offset, length, 'a table');
    return found;
  }

  /** Bytes from `offset` to the end of the file's range around it; 0 where the file holds none. */
  remaining(offset: number): number {
    const range = this.rangeOf(offset);
    return range === null ? 0 : range.end - offset;
  }

  /** The offset of a link address. */
  offsetOf(address: bigint): number {
    return Number(address - this.origin);
  }

  private isWithin(offset: number, length: number): boolean {
    if (offset < this.block.start || offset >= this.block.end) this.enter(offset);
    return offset + length <= this.block.end;
  }

  private assemble(offset: number, length: number): number {
    let value = 0;
    for (let index = 0; index < length; index += 1) {
      const at = this.image.littleEndian ? length - 1 - index : index;
      value = value * 256 + this.u8(offset + at);
    }
    return value;
  }

  private enter(offset: number): void {
    const range = this.rangeOf(offset);
    if (range === null) throw this.outside(offset, 1, 'a byte');
    const start = range.start + Math.floor((offset - range.start) / BLOCK_BYTES) * BLOCK_BYTES;
    this.block = this.blocks.get(start) ?? this.load(start, Math.min(start + BLOCK_BYTES, range.end), offset);
  }

  private load(start: number, end: number, offset: number): Block {
    const bytes = this.image.readVirtual(this.origin + BigInt(start), end - start);
    if (bytes === null) throw this.outside(offset, 1, 'a byte');
    const block = { start, end, bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
    if (this.blocks.size >= MAX_BLOCKS) this.blocks.delete(this.blocks.keys().next().value!);
    this.blocks.set(start, block);
    return block;
  }

  private rangeOf(offset: number): { readonly start: number; readonly end: number } | null {
    for (const range of this.ranges) if (offset >= range.start && offset < range.end) return range;
    return null;
  }

  private outside(offset: number, length: number, what: string): UnidbgError {
    const address = this.origin + BigInt(Number.isFinite(offset) ? Math.trunc(offset) : 0);
    return new UnidbgError(
      'BYTES_OUT_OF_RANGE',
      `${what} of ${length} bytes at link address 0x${BigInt.asUintN(64, address).toString(16)} is not in the file`,
      {
        facts: { address, length },
      },
    );
  }
}
