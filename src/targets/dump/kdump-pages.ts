// The pages of a kdump-compressed file, each found by its bit in the second bitmap, the count of bits before it, and a descriptor of 24 bytes
// (struct page_desc: offset, size, flags, page_flags); decompressed when somebody asks.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { Bitmap } from './bitmap.ts';
import { BlockCache } from './block-cache.ts';
import type { KdumpHeader } from './kdump-header.ts';
import { unpackPage } from './page-compression.ts';

const DESCRIPTOR_BYTES = 24;
/** Descriptors are read by so many, 4 KiB and a bit; 64 of those are kept. */
const DESCRIPTORS_AT_ONCE = 170;
const DESCRIPTOR_BLOCKS = 64;
/** 16 MiB of pages of 4 KiB. */
const CACHED_BYTES = 16 * 1024 * 1024;
/** So many descriptors are looked at to tell how much of a file that was cut off is there. */
const SAMPLES = 2000;

interface Descriptor {
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
}

/** Pages by number. */
export class KdumpPages {
  readonly pageBytes: number;
  /** Pages that are RAM, and pages that are stored. */
  readonly ram: number;
  readonly stored: number;
  private readonly source: ByteSource;
  private readonly header: KdumpHeader;
  private readonly bitmap: Bitmap;
  private readonly firstRank: number;
  private readonly descriptors: BlockCache;
  private readonly cache = new Map<number, Uint8Array | null>();

  constructor(source: ByteSource, header: KdumpHeader) {
    const { bitmap, pages, part } = header;
    this.source = source;
    this.header = header;
    this.pageBytes = header.blockSize;
    this.bitmap = new Bitmap(source, bitmap.offset + bitmap.bytes, pages);
    this.ram = new Bitmap(source, bitmap.offset, pages).ones;
    // The files of a split dump have the whole bitmap each, and the descriptors of their own pages.
    this.firstRank = part === null ? 0 : this.bitmap.onesBefore(part.first);
    this.stored = (part === null ? this.bitmap.ones : this.bitmap.onesBefore(part.end)) - this.firstRank;
    this.descriptors = new BlockCache(source, DESCRIPTORS_AT_ONCE * DESCRIPTOR_BYTES, DESCRIPTOR_BLOCKS);
  }

  /** The bytes of a page, shared with the cache; null when it is not stored, cut off or damaged. */
  read(page: number): Uint8Array | null {
    const known = this.cache.get(page);
    if (known !== undefined) return known;
    const bytes = this.unpack(page);
    if (this.cache.size >= CACHED_BYTES / this.pageBytes) this.cache.delete(this.cache.keys().next().value!);
    this.cache.set(page, bytes);
    return bytes;
  }

  /** Whether the file ends before its last pages do: those are stored last, but for pages of zeros, which all share the first one. */
  endsEarly(): boolean {
    const last = Math.min(this.stored, DESCRIPTORS_AT_ONCE);
    return Array.from({ length: last }, (_, back) => this.stored - 1 - back).some((index) => !this.isThere(index));
  }

  /** The share of stored pages that the file really holds, by looking at some all over it. */
  shareThere(): number {
    const samples = Math.min(SAMPLES, this.stored);
    const there = Array.from({ length: samples }, (_, sample) => Math.floor((sample * this.stored) / samples)).filter((index) =>
      this.isThere(index),
    );
    return samples === 0 ? 0 : there.length / samples;
  }

  private isThere(index: number): boolean {
    const found = this.descriptor(index);
    return found !== null && found.size > 0 && found.offset + found.size <= this.source.size;
  }

  private unpack(page: number): Uint8Array | null {
    const rank = this.bitmap.rank(page);
    const found = rank === null ? null : this.descriptor(rank - this.firstRank);
    // No compression makes a page larger than by some bytes: more is damage, and would have to be allocated.
    if (found === null || found.size > 2 * this.pageBytes) return null;
    const stored = readExactly(this.source, found.offset, found.size);
    const bytes = new Uint8Array(this.pageBytes);
    return stored !== null && unpackPage(stored, found.flags, bytes) ? bytes : null;
  }

  private descriptor(index: number): Descriptor | null {
    if (!(index >= 0 && index < this.stored)) return null;
    const block = this.descriptors.read(this.header.descriptorsOffset, Math.floor(index / DESCRIPTORS_AT_ONCE));
    const at = (index % DESCRIPTORS_AT_ONCE) * DESCRIPTOR_BYTES;
    if (block === null || block.length < at + DESCRIPTOR_BYTES) return null;
    const cursor = new Cursor(block, { offset: at });
    return { offset: cursor.u64Number(), size: cursor.u32(), flags: cursor.u32() };
  }
}
