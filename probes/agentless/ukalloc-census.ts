// What Unikraft's page allocator has handed out (lib/ukallocbbuddy/bbuddy.c): its bitmap says which pages; malloc over pages keeps
// its size, its number of pages and their address at the beginning (lib/ukalloc/alloc.c: struct metadata_ifpages), by which runs are known. A run takes a power
// of two of pages, however few malloc asked for.

import type { HeapCensus } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import type { Memory } from '../../src/model/target.ts';
import { exactSize, RowTally } from './census-rows.ts';
import { type TypedValue, walkList } from './typed.ts';

const PAGE_BYTES = 4096;
const MAX_REGIONS = 64;
/** 16 GiB of pages. */
const MAX_PAGES = 4_194_304;
const MAX_RUNS = 60_000;
const BITMAP_PIECE = 65_536;

/** Pages in use by the size of what was allocated; null where there is none. */
export function takeUkallocCensus({ memory, types }: ProbeGuest, buddies: readonly TypedValue[]): HeapCensus | null {
  const tally = new RowTally();
  const budget = { pages: MAX_PAGES, runs: MAX_RUNS };
  const layout = types.findType('metadata_ifpages');
  const [some] = buddies;
  const metadata = layout === null || some === undefined ? null : some.as(layout);
  for (const buddy of buddies) {
    for (const region of walkList(buddy.member('memr_head')?.dereference() ?? null, 'next', MAX_REGIONS))
      tallyRegion({ memory, metadata, tally, budget }, region);
  }
  if (tally.bytes === 0) return null;
  const totalBytes = budget.pages > 0 && budget.runs > 0 ? tally.bytes : null;
  const rootsAbsent = 'C allocators keep neither types nor who asked';
  return {
    heap: 'Unikraft (bbuddy)',
    by: 'size-class',
    totalBytes,
    rows: tally.rows(),
    roots: null,
    rootsAbsent,
    probe: 'ukalloc',
  };
}

interface Walk {
  readonly memory: Memory;
  /** Anywhere; null where this build's malloc is another. */
  readonly metadata: TypedValue | null;
  readonly tally: RowTally;
  readonly budget: { pages: number; runs: number };
}

function tallyRegion({ memory, metadata, tally, budget }: Walk, region: TypedValue): void {
  const [first, bitmap] = ['first_page', 'mm_alloc_bitmap'].map((name) => region.member(name)?.integer() ?? 0n);
  const pages = region.member('nr_pages')?.number() ?? 0;
  if (first === undefined || bitmap === undefined || first === 0n || bitmap === 0n) return;
  const inUse = openBitmap(memory, bitmap);
  for (let page = 0; page < pages && budget.pages > 0; ) {
    budget.pages -= 1;
    if (!inUse(page)) {
      page += 1;
      continue;
    }
    const at = BigInt.asUintN(64, first + BigInt(page * PAGE_BYTES));
    const run = budget.runs > 0 ? runAt(metadata?.moved(at) ?? null, pages - page) : null;
    budget.runs -= 1;
    if (run === null) tally.add('pages that are no malloc of their own', PAGE_BYTES);
    else tally.add(`malloc of ${run.size} in ${exactSize(run.pages * PAGE_BYTES)}`, run.pages * PAGE_BYTES);
    page += run?.pages ?? 1;
  }
}

/** The malloc that begins with this page; null where none does. Older releases do not keep the size that was asked for. */
function runAt(metadata: TypedValue | null, most: number): { readonly pages: number; readonly size: string } | null {
  const [base, pages] = ['base', 'num_pages'].map((name) => metadata?.member(name)?.integer() ?? null);
  if (metadata === null || base !== metadata.address || pages == null || pages <= 0n || pages > BigInt(most)) return null;
  const size = metadata.member('size')?.number() ?? null;
  return {
    pages: Math.min(2 ** Math.ceil(Math.log2(Number(pages))), most),
    size: size === null ? 'whole pages' : exactSize(size),
  };
}

/** Whether a page's bit is set; false where the bitmap cannot be read. */
function openBitmap(memory: Memory, bitmap: bigint): (page: number) => boolean {
  let piece = -1;
  let bytes: Uint8Array | null = null;
  return (page) => {
    const at = Math.floor(page / 8);
    if (Math.floor(at / BITMAP_PIECE) !== piece) {
      piece = Math.floor(at / BITMAP_PIECE);
      bytes = readUpTo(memory, bitmap + BigInt(piece * BITMAP_PIECE));
    }
    return (((bytes?.[at % BITMAP_PIECE] ?? 0) >> (page % 8)) & 1) === 1;
  };
}

/** A piece, or its first page where it does not go on. */
function readUpTo(memory: Memory, address: bigint): Uint8Array | null {
  const at = BigInt.asUintN(64, address);
  return memory.read(at, BITMAP_PIECE) ?? memory.read(at, PAGE_BYTES - Number(at & 0xfffn));
}
