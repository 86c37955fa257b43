// The demo guest's heap (test/guests/demo/alloc.c): blocks side by side from its beginning to `heap_end`, each with its size and a word
// that says whether it is in use.

import type { HeapCensus } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { exactSize, RowTally } from './census-rows.ts';
import { findGlobal } from './typed.ts';

const MAX_BLOCKS = 100_000;
const HEADER_BYTES = 32;
const IN_USE = 0xa110_ca7e_d000_0000n;
const FREE = 0xf4ee_b10c_0000_0000n;

/** Blocks in use by their size; null before there is a heap. */
export function takeDemoCensus(guest: ProbeGuest): HeapCensus | null {
  const end = findGlobal(guest, 'heap_end', 'alloc.c')?.integer() ?? 0n;
  const size = findGlobal(guest, 'alloc_stats')?.member('heap_bytes')?.integer() ?? 0n;
  const used = findGlobal(guest, 'alloc_stats')?.member('bytes_in_use')?.number() ?? null;
  if (end === 0n || size === 0n || size > end || used === null) return null;
  const tally = new RowTally();
  let at = end - size;
  for (let block = 0; block < MAX_BLOCKS && at < end; block += 1) {
    const bytes = guest.memory.read(at, HEADER_BYTES);
    if (bytes === null) break;
    const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
    const [magic, payload] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
    if ((magic !== IN_USE && magic !== FREE) || payload > size) break;
    if (magic === IN_USE) tally.add(`blocks of ${exactSize(Number(payload))}`, Number(payload));
    at += BigInt(HEADER_BYTES) + payload;
  }
  const rootsAbsent = 'its blocks do not say what they hold, nor who asked for them';
  return {
    heap: 'the demo guest',
    by: 'size-class',
    totalBytes: used,
    rows: tally.rows(),
    roots: null,
    rootsAbsent,
    probe: 'demo',
  };
}
