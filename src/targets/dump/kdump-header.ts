// The headers of a kdump-compressed file: struct disk_dump_header in block 0, struct kdump_sub_header in block 1 (makedumpfile's IMPLEMENTATION
// and diskdump_mod.h; QEMU's include/sysemu/dump.h has the same with fixed widths). Both exist in a 32-bit and a 64-bit layout.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { UnidbgError } from '../../model/error.ts';

/** What the headers say. Offsets are bytes from the file's start, page numbers are guest-physical ones. */
export interface KdumpHeader {
  readonly version: number;
  /** `uname -m` of who wrote it: QEMU writes its own target. */
  readonly machineName: string;
  /** Compressions and conditions: see DUMP_INCOMPLETE. */
  readonly status: number;
  /** Bytes of a block, which is a page. */
  readonly blockSize: number;
  /** One bit a page, twice: pages that are RAM, then pages that are stored. */
  readonly bitmap: { readonly offset: number; readonly bytes: number };
  readonly descriptorsOffset: number;
  /** Pages that a bitmap speaks of. */
  readonly pages: number;
  readonly notes: { readonly offset: number; readonly size: number };
  /** Which pages were left out on purpose, bits of makedumpfile's -d: zero, cache, private cache, user, free. */
  readonly dumpLevel: number;
  /** Of a file of a split dump, the pages that are in it; null in a whole dump. */
  readonly part: { readonly first: number; readonly end: number } | null;
}

/** `status`: makedumpfile ran out of space. */
export const DUMP_INCOMPLETE = 0x8;

export const KDUMP_SIGNATURE = 'KDUMP   ';
/** 16 TiB of pages: a bitmap of 512 MiB, which is looked through when the file is opened. */
const MAX_PAGES = 2 ** 32;
const MAX_BLOCK = 65_536;

interface Widths {
  readonly bits: 32 | 64;
  readonly statusAt: number;
}

/** After signature, version and utsname comes a time stamp of 8 or 16 bytes, aligned. */
const LAYOUTS: readonly Widths[] = [
  { bits: 64, statusAt: 424 },
  { bits: 32, statusAt: 412 },
];

/** Decodes both headers. Throws DUMP_MALFORMED, DUMP_UNSUPPORTED. */
export function readKdumpHeader(source: ByteSource): KdumpHeader {
  const head = readExactly(source, 0, Math.min(464, source.size)) ?? new Uint8Array();
  if (head.length < 464) throw malformed(source, `it ends within its header (${head.length} bytes)`);
  const candidates = LAYOUTS.map((layout) => ({ ...layout, ...decodeMain(head, layout) }));
  // Nothing says which layout it is: the right one has a block size that can be and a bitmap that suffices.
  const main = candidates.find(isPlausible);
  if (main === undefined) throw malformed(source, 'its header has no block size and bitmap that fit together, in 32 or 64 bits');
  const sub = readSubHeader(source, main);
  const pages = sub.pages ?? main.pages;
  if (pages > MAX_PAGES) {
    throw new UnidbgError('DUMP_UNSUPPORTED', `${source.name} claims ${pages} pages of memory; ${MAX_PAGES} are read at most`, {
      facts: { path: source.name, pages },
    });
  }
  const bytes = (main.bitmapBlocks * main.blockSize) / 2;
  if (bytes * 8 < pages) throw malformed(source, `its bitmap of ${bytes} bytes is too small for ${pages} pages`);
  const offset = (1 + main.subHeaderBlocks) * main.blockSize;
  return {
    ...{ version: main.version, machineName: main.machineName, status: main.status, blockSize: main.blockSize },
    bitmap: { offset, bytes },
    descriptorsOffset: offset + main.bitmapBlocks * main.blockSize,
    pages,
    notes: sub.notes,
    dumpLevel: sub.dumpLevel,
    part: sub.part,
  };
}

type Main = Widths & ReturnType<typeof decodeMain>;

function decodeMain(head: Uint8Array, { statusAt }: Widths) {
  const cursor = new Cursor(head, { offset: 8 });
  const version = cursor.u32();
  cursor.seek(12 + 4 * 65);
  const machineName = new TextDecoder('latin1').decode(cursor.take(65)).replace(/\0.*$/s, '');
  cursor.seek(statusAt);
  const [status, blockSize, subHeaderBlocks, bitmapBlocks, pages] = [
    cursor.u32(),
    cursor.u32(),
    cursor.u32(),
    cursor.u32(),
    cursor.u32(),
  ];
  return { version, machineName, status, blockSize, subHeaderBlocks, bitmapBlocks, pages };
}

function isPlausible({ blockSize, subHeaderBlocks, bitmapBlocks, pages, version }: Main): boolean {
  const isPower = blockSize >= 4096 && blockSize <= MAX_BLOCK && (blockSize & (blockSize - 1)) === 0;
  // From version 6 on `pages` may be cut to 32 bits.
  return isPower && subHeaderBlocks >= 1 && bitmapBlocks >= 2 && bitmapBlocks % 2 === 0 && (version >= 6 || pages > 0);
}

interface SubHeader {
  readonly dumpLevel: number;
  readonly notes: { readonly offset: number; readonly size: number };
  /** Since version 6, where it is exact. */
  readonly pages: number | null;
  readonly part: { readonly first: number; readonly end: number } | null;
}

/** Fields came in with versions 1 (level), 2 (split), 4 (notes) and 6 (64-bit page numbers); they are zero before that. */
function readSubHeader(source: ByteSource, { bits, blockSize, version }: Main): SubHeader {
  const wide = bits === 64;
  const bytes = readExactly(source, blockSize, wide ? 104 : 80);
  if (bytes === null) throw malformed(source, 'it ends within its sub header');
  const cursor = new Cursor(bytes);
  const word = (): number => (wide ? cursor.u64Number() : cursor.u32());
  word();
  const dumpLevel = cursor.u32();
  const split = cursor.u32() !== 0 && version >= 2;
  const [first, end] = [word(), word()];
  cursor.skip(wide ? 16 : 12);
  const notes = { offset: cursor.u64Number(), size: word() };
  cursor.skip(wide ? 16 : 12);
  const [firstWide, endWide, pages] = [cursor.u64Number(), cursor.u64Number(), cursor.u64Number()];
  const isExact = version >= 6;
  return {
    dumpLevel: version >= 1 ? dumpLevel : 0,
    notes: version >= 4 ? notes : { offset: 0, size: 0 },
    pages: isExact && pages > 0 ? pages : null,
    part: split ? (isExact ? { first: firstWide, end: endWide } : { first, end }) : null,
  };
}

function malformed(source: ByteSource, what: string): UnidbgError {
  return new UnidbgError('DUMP_MALFORMED', `${source.name} is a kdump-compressed file, but ${what}`, {
    facts: { path: source.name },
  });
}
