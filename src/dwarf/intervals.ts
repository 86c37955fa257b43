// Half-open intervals [start, end) with a value each, in typed arrays sorted by start: how pc ranges are looked up.
// They may nest and overlap (inlined calls, linker leftovers); `reach` says where a walk back may stop.

/** Intervals one look-up may step over; beyond that a hostile file is being read, and the nearest ones are the answer. */
const MAX_STEPS_BACK = 8192;

/** Built once, then asked. Starts, ends and queries are offsets from the image's origin. */
export class IntervalIndex {
  readonly count: number;
  /** Starts, then ends, values, and the largest end up to each position: one array, since most indices hold a few intervals. */
  private readonly columns: Float64Array;

  /** `triples` is start, end, value, start, end, value, …; empty and reversed intervals are left out. */
  constructor(triples: readonly number[]) {
    const order = sortedOrder(triples);
    const count = order.length;
    const columns = new Float64Array(count * 4);
    let reach = -Infinity;
    for (let index = 0; index < count; index += 1) {
      const at = order[index]!;
      const end = triples[at + 1]!;
      if (end > reach) reach = end;
      columns[index] = triples[at]!;
      columns[count + index] = end;
      columns[2 * count + index] = triples[at + 2]!;
      columns[3 * count + index] = reach;
    }
    this.count = count;
    this.columns = columns;
  }

  /** Bytes it keeps. */
  get cost(): number {
    return this.columns.byteLength + 200;
  }

  startAt(position: number): number {
    return this.columns[position]!;
  }

  endAt(position: number): number {
    return this.columns[this.count + position]!;
  }

  valueAt(position: number): number {
    return this.columns[2 * this.count + position]!;
  }

  /** Position of the smallest interval that holds `at` (the first such in source order), or −1. */
  findSmallest(at: number): number {
    let best = -1;
    let size = Infinity;
    const from = this.upperBound(at);
    const to = Math.max(0, from - MAX_STEPS_BACK);
    for (let index = this.previous(from, to, at); index >= 0; index = this.previous(index, to, at)) {
      const candidate = this.endAt(index) - this.startAt(index);
      if (candidate > size) continue;
      best = index;
      size = candidate;
    }
    return best;
  }

  /** Positions of the intervals that hold `at`, the latest start first. */
  findAll(at: number): number[] {
    const found: number[] = [];
    const from = this.upperBound(at);
    const to = Math.max(0, from - MAX_STEPS_BACK);
    for (let index = this.previous(from, to, at); index >= 0; index = this.previous(index, to, at)) found.push(index);
    return found;
  }

  /** The nearest position below `from`, and not below `to`, whose interval holds `at`; −1 without one. */
  private previous(from: number, to: number, at: number): number {
    const { columns, count } = this;
    for (let index = from - 1; index >= to && columns[3 * count + index]! > at; index -= 1) {
      if (at < columns[count + index]!) return index;
    }
    return -1;
  }

  private upperBound(at: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.columns[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Positions of the triples to keep, by start; equal starts in source order. */
function sortedOrder(triples: readonly number[]): Float64Array {
  const kept = new Float64Array(Math.floor(triples.length / 3));
  let count = 0;
  let isSorted = true;
  let isPackable = kept.length <= PACKED_ORDER;
  let last = -Infinity;
  for (let at = 0; at + 2 < triples.length; at += 3) {
    const start = triples[at]!;
    if (!(start < triples[at + 1]!)) continue;
    isSorted &&= last <= start;
    isPackable &&= start >= 0 && start < PACKED_START;
    last = start;
    kept[count] = at;
    count += 1;
  }
  const order = kept.subarray(0, count);
  if (isSorted) return order;
  if (!isPackable) return order.sort((a, b) => triples[a]! - triples[b]! || a - b);
  // A start and its order in one number: sorting numbers without a comparison function is ten times faster.
  for (let index = 0; index < count; index += 1) order[index] = triples[order[index]!]! * PACKED_ORDER + order[index]! / 3;
  order.sort();
  for (let index = 0; index < count; index += 1) order[index] = (order[index]! % PACKED_ORDER) * 3;
  return order;
}

/** 2^32 starts times 2^21 intervals is what an exact number holds. */
const PACKED_START = 2 ** 32;
const PACKED_ORDER = 2 ** 21;
