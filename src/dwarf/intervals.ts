// Half-open intervals [start, end) with a value each, in typed arrays sorted by start: how pc ranges are looked up.
// They may nest and overlap (inlined calls, linker leftovers); `reach` says where a walk back may stop.

/** Intervals one look-up may step over; beyond that a hostile file is being read, and the nearest ones are the answer. */
const MAX_STEPS_BACK = 8192;

/** Built once, then asked. Starts, ends and queries are offsets from the image's origin. */
export class IntervalIndex {
  readonly count: number;
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly values: Float64Array;
  private readonly reach: Float64Array;

  /** `triples` is start, end, value, start, end, value, …; empty and reversed intervals are left out. */
  constructor(triples: readonly number[]) {
    const order = sortedOrder(triples);
    this.count = order.length;
    this.starts = Float64Array.from(order, (at) => triples[at]!);
    this.ends = Float64Array.from(order, (at) => triples[at + 1]!);
    this.values = Float64Array.from(order, (at) => triples[at + 2]!);
    this.reach = reachOf(this.ends);
  }

  /** Position of the smallest interval that holds `at` (the first such in source order), or −1. */
  findSmallest(at: number): number {
    let best = -1;
    this.visit(at, (index) => {
      if (best < 0 || this.sizeAt(index) <= this.sizeAt(best)) best = index;
    });
    return best;
  }

  /** Calls `visitor` with the position of each interval that holds `at`, the latest start first. */
  visit(at: number, visitor: (index: number) => void): void {
    const last = this.upperBound(at) - 1;
    for (let index = last; index >= 0 && index > last - MAX_STEPS_BACK && this.reach[index]! > at; index -= 1) {
      if (at < this.ends[index]!) visitor(index);
    }
  }

  private sizeAt(index: number): number {
    return this.ends[index]! - this.starts[index]!;
  }

  private upperBound(at: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function sortedOrder(triples: readonly number[]): Uint32Array {
  const kept: number[] = [];
  for (let at = 0; at + 2 < triples.length; at += 3) if (triples[at]! < triples[at + 1]!) kept.push(at);
  return Uint32Array.from(kept).sort((a, b) => triples[a]! - triples[b]! || a - b);
}

function reachOf(ends: Float64Array): Float64Array {
  let high = -Infinity;
  return ends.map((end) => (high = Math.max(high, end)));
}
