// What censuses of heaps share: rows that are counted together, and how many are told.

import type { HeapRow } from '../../src/model/heap.ts';

/** Rows that a census tells. */
const ROWS = 64;
/** Names that are kept apart; what comes after them is counted together. A hostile heap has a new size for each block. */
const MAX_NAMES = 4096;
const OTHERS = 'others';

/** Counts and bytes by name; a count of null is not kept. */
export class RowTally {
  private readonly byName = new Map<string, { count: number | null; bytes: number }>();
  /** Of all rows, those not told too. */
  bytes = 0;

  add(name: string, bytes: number, count: number | null = 1): void {
    const known = this.byName.get(name) ?? (this.byName.size < MAX_NAMES ? undefined : this.byName.get(OTHERS));
    if (known === undefined) this.byName.set(this.byName.size < MAX_NAMES ? name : OTHERS, { count, bytes });
    else {
      known.count = known.count === null || count === null ? null : known.count + count;
      known.bytes += bytes;
    }
    this.bytes += bytes;
  }

  /** Largest first, bounded. */
  rows(): readonly HeapRow[] {
    return [...this.byName]
      .map(([name, { count, bytes }]) => ({ name, count, bytes }))
      .sort((a, b) => b.bytes - a.bytes)
      .slice(0, ROWS);
  }
}

/** `48 B`, `1 MiB`: a size that is exact, in the largest unit in which it is whole. */
export function exactSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'] as const;
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && value % 1024 === 0 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${units[unit] ?? 'B'}`;
}
