// How the pages of a kdump-compressed file are stored (makedumpfile's diskdump_mod.h, the flags of page_desc).

import { inflateSync, zstdDecompressSync } from 'node:zlib';
import { decompressLzo } from './lzo.ts';
import { decompressSnappy } from './snappy.ts';

type Decompress = (input: Uint8Array, out: Uint8Array) => boolean;

/** One way to store pages; `flag` is its bit in a page's flags and in the file's status. */
export interface PageCompression {
  readonly name: string;
  readonly flag: number;
  readonly decompress: Decompress;
}

/** All ways but the plain one. */
export const PAGE_COMPRESSIONS: readonly PageCompression[] = [
  { name: 'zlib', flag: 0x1, decompress: boundedZlib(inflateSync) },
  { name: 'lzo', flag: 0x2, decompress: decompressLzo },
  { name: 'snappy', flag: 0x4, decompress: decompressSnappy },
  { name: 'zstd', flag: 0x20, decompress: boundedZlib(zstdDecompressSync) },
];

const ALL_FLAGS = PAGE_COMPRESSIONS.reduce((flags, { flag }) => flags | flag, 0);

/** The bytes of a stored page into `out`, which is as long as a page; false when they are damaged or stored in an unknown way. */
export function unpackPage(stored: Uint8Array, flags: number, out: Uint8Array): boolean {
  const kind = flags & ALL_FLAGS;
  if (kind === 0) {
    if (stored.length !== out.length) return false;
    out.set(stored);
    return true;
  }
  return PAGE_COMPRESSIONS.find(({ flag }) => flag === kind)?.decompress(stored, out) ?? false;
}

function boundedZlib(decompress: (input: Uint8Array, options: { maxOutputLength: number }) => Uint8Array): Decompress {
  return (input, out) => {
    try {
      const bytes = decompress(input, { maxOutputLength: out.length });
      if (bytes.length !== out.length) return false;
      out.set(bytes);
      return true;
    } catch {
      return false;
    }
  };
}
