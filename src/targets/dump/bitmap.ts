// A bitmap in a file with a count of ones before each block: whether a bit is set, and how many are set before it, cost one block of reading.
// A bitmap of 16 TiB of pages has 512 MiB; what is kept of it is one double for each 4 KiB.

import type { ByteSource } from '../../bytes/byte-source.ts';
import { BlockCache } from './block-cache.ts';

const BLOCK = 4096;
const STEP = 1024 * 1024;

/** Bits as kdump numbers them: the lowest of a byte first. */
export class Bitmap {
  readonly bits: number;
  /** Ones before each block; the last entry: all. */
  private readonly before: Float64Array;
  private readonly blocks: BlockCache;
  private readonly offset: number;

  /** Looks through the bitmap once. What the source does not hold counts as zeros. */
  constructor(source: ByteSource, offset: number, bits: number) {
    this.bits = bits;
    this.offset = offset;
    this.blocks = new BlockCache(source, BLOCK, 16);
    const bytes = Math.ceil(bits / 8);
    this.before = new Float64Array(Math.ceil(bytes / BLOCK) + 1);
    const step = new Uint8Array(Math.min(STEP, Math.ceil(bytes / BLOCK) * BLOCK));
    for (let done = 0, index = 0, ones = 0; done < bytes; done += step.length) {
      step.fill(0);
      source.read(offset + done, step.subarray(0, Math.min(step.length, bytes - done)));
      // Bits of the last byte beyond the last page mean nothing.
      if (done + step.length >= bytes && bits % 8 !== 0) step[bytes - 1 - done]! &= (1 << (bits % 8)) - 1;
      for (let at = 0; at < step.length && done + at < bytes; at += BLOCK, index += 1) {
        ones += countOnes(step, at, BLOCK);
        this.before[index + 1] = ones;
      }
    }
  }

  /** How many bits are set. */
  get ones(): number {
    return this.before[this.before.length - 1]!;
  }

  /** How many bits are set before `bit`, when it is set itself; null when it is not. */
  rank(bit: number): number | null {
    if (!(bit >= 0 && bit < this.bits)) return null;
    const block = this.blocks.read(this.offset, Math.floor(bit / (8 * BLOCK)));
    const byte = Math.floor(bit / 8) % BLOCK;
    const mask = 1 << (bit % 8);
    if (block === null || ((block[byte] ?? 0) & mask) === 0) return null;
    return this.onesBefore(bit);
  }

  /** How many bits below `bit` are set. */
  onesBefore(bit: number): number {
    if (bit >= this.bits) return this.ones;
    const index = Math.floor(bit / (8 * BLOCK));
    const block = this.blocks.read(this.offset, index);
    if (block === null) return this.before[index]!;
    const byte = Math.floor(bit / 8) % BLOCK;
    const low = (block[byte] ?? 0) & ((1 << (bit % 8)) - 1);
    return this.before[index]! + countOnes(block, 0, Math.min(byte, block.length)) + ONES[low]!;
  }
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);

/** Set bits of `length` bytes. */
function countOnes(bytes: Uint8Array, from: number, length: number): number {
  let ones = 0;
  const end = Math.min(from + length, bytes.length);
  for (let at = from; at < end; at += 1) ones += ONES[bytes[at]!]!;
  return ones;
}
