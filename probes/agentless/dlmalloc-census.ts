// What dlmalloc's heap is made of (Doug Lea's malloc.c 2.8.6): chunks side by side in each segment, each with its size and whether it is in
// use in the word before its payload.

import type { HeapCensus } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { exactSize, RowTally } from './census-rows.ts';
import { readWordAt } from './typed.ts';

/** Bytes from the start of malloc_state: `top`, and the first segment's record (base, size, next). */
const AT = { top: 40, segment: 888 } as const;
const MAX_SEGMENTS = 256;
const MAX_CHUNKS = 150_000;
const IN_USE = 2n;
const FLAGS = 7n;
const LEAST = 16n;
/** Ends a segment that is not the last. */
const FENCEPOST = 11n;

/** Chunks in use by size, of the malloc_state at `state`; null where it has none. */
export function takeDlmallocCensus({ memory }: ProbeGuest, state: bigint): HeapCensus | null {
  const top = readWordAt(memory, state + BigInt(AT.top));
  const tally = new RowTally();
  let left = MAX_CHUNKS;
  let record = state + BigInt(AT.segment);
  for (let segment = 0; segment < MAX_SEGMENTS && record !== 0n; segment += 1) {
    const [base, size, next] = [0n, 8n, 16n].map((offset) => readWordAt(memory, BigInt.asUintN(64, record + offset)));
    if (base == null || size == null || next == null || base === 0n) break;
    for (let at = base; at < base + size && at !== top && left > 0; left -= 1) {
      const head = readWordAt(memory, BigInt.asUintN(64, at + 8n));
      const bytes = (head ?? 0n) & ~FLAGS;
      if (head === null || head === FENCEPOST || bytes < LEAST || at + bytes > base + size) break;
      if ((head & IN_USE) !== 0n) tally.add(`chunks of ${exactSize(Number(bytes))}`, Number(bytes));
      at += bytes;
    }
    record = next;
  }
  if (tally.bytes === 0) return null;
  const rootsAbsent = 'C allocators keep neither types nor who asked';
  const totalBytes = left > 0 ? tally.bytes : null;
  return {
    heap: 'malloc (dlmalloc)',
    by: 'size-class',
    totalBytes,
    rows: tally.rows(),
    roots: null,
    rootsAbsent,
    probe: 'dlmalloc',
  };
}
