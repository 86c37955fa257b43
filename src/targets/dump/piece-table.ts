// Which range of one space (guest-physical addresses, positions of a file) lies where in another one: a sorted table in typed arrays, so that
// a hostile file's million ranges cost bytes and not objects. Ranges may overlap while they are added: what is added later wins.

/** Ranges that a table holds at most; more are not added. A flattened file has one for each 16 KiB that were written. */
export const MAX_PIECES = 2_000_000;

/** Highest bound of a range: more physical address bits no machine has, and doubles are exact. */
export const MAX_BOUND = 2 ** 52;

/** Where a range that is not stored lies: its bytes are zeros. */
export const ZEROS = -1;

/** Ascending ranges that do not overlap. Bounds and positions are exact doubles. */
export class PieceTable {
  readonly count: number;
  /** Bytes of all ranges together. */
  readonly bytes: number;
  private readonly starts: Float64Array;
  private readonly ends: Float64Array;
  private readonly positions: Float64Array;

  constructor(starts: Float64Array, ends: Float64Array, positions: Float64Array) {
    this.starts = starts;
    this.ends = ends;
    this.positions = positions;
    this.count = starts.length;
    let bytes = 0;
    for (let index = 0; index < this.count; index += 1) bytes += ends[index]! - starts[index]!;
    this.bytes = bytes;
  }

  /** The end of the last range; 0 without any. */
  get end(): number {
    return this.ends[this.count - 1] ?? 0;
  }

  /** The range that holds `at`, or null. */
  find(at: number): number | null {
    const index = this.findFrom(at);
    return index < this.count && this.starts[index]! <= at ? index : null;
  }

  /** The first range that ends behind `at`; `count` when none does. */
  findFrom(at: number): number {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  start(index: number): number {
    return this.starts[index]!;
  }

  endOf(index: number): number {
    return this.ends[index]!;
  }

  /** Where the range begins, or ZEROS. */
  position(index: number): number {
    return this.positions[index]!;
  }

  /** Bytes of the ranges that lie before `size` of what they lie in, and zeros. */
  bytesWithin(size: number): number {
    let bytes = 0;
    for (let index = 0; index < this.count; index += 1) {
      const length = this.endOf(index) - this.start(index);
      const position = this.position(index);
      bytes += position === ZEROS ? length : Math.max(0, Math.min(length, size - position));
    }
    return bytes;
  }
}

/** Collects ranges in any order. */
export class PieceTableBuilder {
  private starts = new Float64Array(64);
  private ends = new Float64Array(64);
  private positions = new Float64Array(64);
  private count = 0;
  private disjoint = true;

  /** Adds [start, end) at `position`; false when it is no range below MAX_BOUND or there are too many. Empty ones are passed over. */
  add(start: number, end: number, position: number): boolean {
    if (!(start >= 0 && end <= MAX_BOUND && position >= ZEROS && position <= Number.MAX_SAFE_INTEGER)) return false;
    if (!(start < end)) return start === end;
    const last = this.count - 1;
    if (last >= 0 && this.follows(last, start, position)) {
      this.ends[last] = end;
      return true;
    }
    if (this.count >= MAX_PIECES) return false;
    if (last >= 0 && start < this.ends[last]!) this.disjoint = false;
    if (this.count === this.starts.length) this.grow();
    this.starts[this.count] = start;
    this.ends[this.count] = end;
    this.positions[this.count] = position;
    this.count += 1;
    return true;
  }

  build(): PieceTable {
    const [starts, ends, positions] = [this.starts, this.ends, this.positions].map((array) => array.subarray(0, this.count)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    if (this.disjoint) return new PieceTable(starts, ends, positions);
    return resolveOverlaps(starts, ends, positions);
  }

  private follows(last: number, start: number, position: number): boolean {
    const before = this.positions[last]!;
    if (this.ends[last]! !== start) return false;
    return before === ZEROS ? position === ZEROS : position === before + (start - this.starts[last]!);
  }

  private grow(): void {
    const bigger = (array: Float64Array): Float64Array<ArrayBuffer> => {
      const copy = new Float64Array(2 * array.length);
      copy.set(array);
      return copy;
    };
    this.starts = bigger(this.starts);
    this.ends = bigger(this.ends);
    this.positions = bigger(this.positions);
  }
}

/** Cuts overlapping ranges so that each place belongs to the range with the highest index: a sweep from low to high, O(n log n). */
function resolveOverlaps(starts: Float64Array, ends: Float64Array, positions: Float64Array): PieceTable {
  const order = Uint32Array.from(starts.keys()).sort((a, b) => starts[a]! - starts[b]! || a - b);
  const active = new IndexHeap(order.length);
  const out = new PieceTableBuilder();
  let next = 0;
  let at = 0;
  while (true) {
    while (active.size > 0 && ends[active.top]! <= at) active.pop();
    if (active.size === 0) {
      if (next === order.length) return out.build();
      at = starts[order[next]!]!;
    }
    for (; next < order.length && starts[order[next]!]! <= at; next += 1) active.push(order[next]!);
    const { top } = active;
    const until = Math.min(ends[top]!, next < order.length ? starts[order[next]!]! : Infinity);
    const position = positions[top]!;
    out.add(at, until, position === ZEROS ? ZEROS : position + (at - starts[top]!));
    at = until;
  }
}

/** A heap of indices, the highest on top. */
class IndexHeap {
  size = 0;
  private readonly items: Uint32Array;

  constructor(capacity: number) {
    this.items = new Uint32Array(capacity);
  }

  get top(): number {
    return this.items[0]!;
  }

  push(item: number): void {
    const { items } = this;
    let at = this.size;
    this.size += 1;
    for (let parent = (at - 1) >> 1; at > 0 && items[parent]! < item; parent = (at - 1) >> 1) {
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = item;
  }

  pop(): void {
    const { items } = this;
    this.size -= 1;
    const item = items[this.size]!;
    let at = 0;
    for (let child = 1; child < this.size; child = 2 * at + 1) {
      if (child + 1 < this.size && items[child + 1]! > items[child]!) child += 1;
      if (items[child]! <= item) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = item;
  }
}
