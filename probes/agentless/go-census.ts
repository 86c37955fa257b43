// What Go's heap is made of: objects by size and whether they hold pointers, as spans count them; and what holds them (go-roots.ts).
// Their types are kept of few of them, and of none before Go 1.22: by type it cannot be told.

import type { HeapCensus } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { exactSize, RowTally } from './census-rows.ts';
import { findRoots } from './go-roots.ts';
import { readSpans } from './go-spans.ts';

/** Null where this release does not keep spans under known names, or has none yet. */
export function takeGoCensus(guest: ProbeGuest): HeapCensus | null {
  const found = readSpans(guest);
  if (found === null || found.spans.length === 0) return null;
  const tally = new RowTally();
  for (const { size, used, hasPointers } of found.spans) {
    if (used > 0) tally.add(`${exactSize(size)} ${hasPointers ? 'with' : 'without'} pointers`, used * size, used);
  }
  const { roots, rootsAbsent } = findRoots(guest, found.spans, tally.bytes);
  const totalBytes = found.whole ? tally.bytes : null;
  return { heap: 'Go', by: 'size-class', totalBytes, rows: tally.rows(), roots, rootsAbsent, probe: 'go' };
}
