// The last blocks of a source that were read: tables of millions of small entries are looked at through it.

import type { ByteSource } from '../../bytes/byte-source.ts';

/** Holds at most `most` blocks of `size` bytes; the one not asked for longest goes first. */
export class BlockCache {
  private readonly source: ByteSource;
  private readonly size: number;
  private readonly most: number;
  private readonly blocks = new Map<number, Uint8Array>();

  constructor(source: ByteSource, size: number, most: number) {
    this.source = source;
    this.size = size;
    this.most = most;
  }

  /** Block `index` of what begins at `offset`: shorter where the source ends, null behind its end. */
  read(offset: number, index: number): Uint8Array | null {
    const position = offset + index * this.size;
    const known = this.blocks.get(position);
    if (known !== undefined) {
      this.blocks.delete(position);
      this.blocks.set(position, known);
      return known;
    }
    if (!(position >= 0 && position < this.source.size)) return null;
    const block = new Uint8Array(Math.min(this.size, this.source.size - position));
    const count = this.source.read(position, block);
    if (this.blocks.size >= this.most) this.blocks.delete(this.blocks.keys().next().value!);
    const bytes = count === block.length ? block : block.subarray(0, count);
    this.blocks.set(position, bytes);
    return bytes;
  }
}
