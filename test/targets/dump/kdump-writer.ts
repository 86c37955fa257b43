// kdump-compressed files as makedumpfile's IMPLEMENTATION describes them, in every way that a reader must know, for tests. Neither Debian's
// QEMU nor its makedumpfile is built with snappy and zstd.

import { deflateSync, zstdCompressSync } from 'node:zlib';
import { compress } from 'snappyjs';

/** How pages are compressed. LZO has no compressor in Node: makedumpfile makes those files. */
export type WrittenCompression = 'none' | 'zlib' | 'snappy' | 'zstd';

/** What may differ. */
export interface KdumpOptions {
  readonly bits?: 32 | 64;
  readonly compression?: WrittenCompression;
  readonly version?: number;
  readonly machineName?: string;
  readonly notes?: Uint8Array;
  /** Pages that are RAM but left out. */
  readonly excluded?: ReadonlySet<number>;
  readonly dumpLevel?: number;
  /** More bits of `status`. */
  readonly status?: number;
  /** Of a split dump. */
  readonly part?: { readonly first: number; readonly end: number };
  readonly blockSize?: number;
}

const FLAGS: Readonly<Record<WrittenCompression, number>> = { none: 0, zlib: 1, snappy: 4, zstd: 0x20 };

/** The file of pages by their numbers; null = a hole in memory. */
export function writeKdump(pages: readonly (Uint8Array | null)[], options: KdumpOptions = {}): Buffer {
  const { bits = 64, compression = 'zlib', version = 6, machineName = 'x86_64', notes = Buffer.alloc(0) } = options;
  const { excluded = new Set(), dumpLevel = 1, status = 0, part = null, blockSize = 4096 } = options;
  const subSize = bits === 64 ? 104 : 80;
  const subBlocks = Math.ceil((subSize + notes.length) / blockSize);
  const bitmapBlocks = 2 * Math.ceil(pages.length / 8 / blockSize);

  const main = Buffer.alloc(blockSize);
  main.write('KDUMP   ', 0, 'latin1');
  main.writeUInt32LE(version, 8);
  main.write(machineName, 12 + 4 * 65, 'latin1');
  const fields = [status | FLAGS[compression], blockSize, subBlocks, bitmapBlocks, pages.length, 0, 0, 0, 0, 1];
  for (const [index, value] of fields.entries()) main.writeUInt32LE(value, (bits === 64 ? 424 : 412) + 4 * index);

  const sub = Buffer.alloc(subBlocks * blockSize);
  const wide = bits === 64;
  const word = (value: number, at: number): unknown =>
    wide ? sub.writeBigUInt64LE(BigInt(value), at) : sub.writeUInt32LE(value, at);
  sub.writeUInt32LE(dumpLevel, wide ? 8 : 4);
  sub.writeUInt32LE(part === null ? 0 : 1, wide ? 12 : 8);
  word(part?.first ?? 0, wide ? 16 : 12);
  word(part?.end ?? 0, wide ? 24 : 16);
  sub.writeBigUInt64LE(BigInt(blockSize + subSize), wide ? 48 : 32);
  word(notes.length, wide ? 56 : 40);
  for (const [index, value] of [part?.first ?? 0, part?.end ?? 0, pages.length].entries()) {
    sub.writeBigUInt64LE(BigInt(value), (wide ? 80 : 56) + 8 * index);
  }
  sub.set(notes, subSize);

  const stored = pages.flatMap((page, number) => (page === null || excluded.has(number) ? [] : [{ page, number }]));
  const bitmaps = Buffer.alloc(bitmapBlocks * blockSize);
  for (const [number, page] of pages.entries()) if (page !== null) bitmaps[number >> 3]! |= 1 << (number & 7);
  for (const { number } of stored) bitmaps[bitmaps.length / 2 + (number >> 3)]! |= 1 << (number & 7);

  const written = stored.filter(({ number }) => part === null || (number >= part.first && number < part.end));
  const descriptors = Buffer.alloc(24 * written.length);
  const data: Uint8Array[] = [];
  let offset = main.length + sub.length + bitmaps.length + descriptors.length;
  for (const [index, { page }] of written.entries()) {
    const packed = pack(page, compression);
    const bytes = packed.length < page.length ? packed : page;
    descriptors.writeBigUInt64LE(BigInt(offset), 24 * index);
    descriptors.writeUInt32LE(bytes.length, 24 * index + 8);
    descriptors.writeUInt32LE(bytes === page ? 0 : FLAGS[compression], 24 * index + 12);
    data.push(bytes);
    offset += bytes.length;
  }
  return Buffer.concat([main, sub, bitmaps, descriptors, ...data]);
}

function pack(page: Uint8Array, compression: WrittenCompression): Uint8Array {
  if (compression === 'none') return page;
  if (compression === 'zlib') return deflateSync(page);
  return compression === 'zstd' ? zstdCompressSync(page) : compress(new Uint8Array(page));
}

/** The file in makedumpfile's flattened format, in records of `size` bytes; `rewritten` repeats the first record before, with other bytes. */
export function flatten(file: Uint8Array, size = 1000, rewritten = false): Buffer {
  const header = Buffer.alloc(4096);
  header.write('makedumpfile', 0, 'latin1');
  header.writeBigUInt64BE(1n, 16);
  header.writeBigUInt64BE(1n, 24);
  const record = (offset: number, bytes: Uint8Array): Buffer => {
    const head = Buffer.alloc(16);
    head.writeBigUInt64BE(BigInt(offset), 0);
    head.writeBigUInt64BE(BigInt(bytes.length), 8);
    return Buffer.concat([head, bytes]);
  };
  const records = rewritten ? [record(0, Buffer.alloc(3 * size, 0xee))] : [];
  for (let at = 0; at < file.length; at += size) records.push(record(at, file.subarray(at, at + size)));
  return Buffer.concat([header, ...records, Buffer.alloc(16, 0xff)]);
}

/** Pages of every sort: zeros, random, text, runs, repeats at all distances. Deterministic. */
export function samplePages(count: number, seed = 1): Uint8Array[] {
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state >> 8;
  };
  return Array.from({ length: count }, (_, number) => {
    const page = new Uint8Array(4096);
    const kind = number % 6;
    for (let at = 0; kind > 0 && at < 4096; ) {
      const run = 1 + (random() % (kind === 1 ? 1 : kind === 2 ? 600 : 40));
      const distance = 1 + (random() % Math.max(1, kind === 4 ? 64 : at));
      for (let end = Math.min(4096, at + run); at < end; at += 1) {
        page[at] = kind < 3 || at < distance || random() % 16 === 0 ? (kind === 2 ? run : random()) : page[at - distance]!;
      }
    }
    page[4092] = number;
    page[4093] = number >> 8;
    return page;
  });
}
