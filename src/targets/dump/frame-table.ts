// Which frame (page number) of a guest lies where in a dump that holds whole pages in any order: 8 bytes a page, however they are
// permuted, so that an 8 GiB guest takes 16 MiB.

/** Pages that a table holds at most: 128 GiB of guest. */
export const MAX_FRAMES = 2 ** 25;

/** Frames by number, each with the index of its page. */
export class FrameTable {
  /** Sorted: the frame in the upper half, the page's index in the lower. */
  private readonly halves: Uint32Array;
  readonly count: number;

  /** Of a page whose frame is given twice the first index counts. */
  constructor(builder: FrameTableBuilder) {
    const { keys, count } = builder;
    keys.subarray(0, count).sort();
    this.halves = new Uint32Array(keys.buffer, 0, 2 * count);
    this.count = count;
  }

  /** The index of the page of `frame`, or null. */
  find(frame: number): number | null {
    let [low, high] = [0, this.count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.halves[2 * middle + 1]! < frame) low = middle + 1;
      else high = middle;
    }
    return low < this.count && this.halves[2 * low + 1] === frame ? this.halves[2 * low]! : null;
  }
}

/** Collects frames in any order. */
export class FrameTableBuilder {
  readonly keys: BigUint64Array<ArrayBuffer>;
  count = 0;
  private readonly halves: Uint32Array;

  /** Room for `capacity` frames. */
  constructor(capacity: number) {
    this.keys = new BigUint64Array(Math.min(capacity, MAX_FRAMES));
    this.halves = new Uint32Array(this.keys.buffer);
  }

  /** Says that `frame` is the page with that index; false when it is no frame below 2^32 (16 TiB) or there is no room. */
  add(frame: number, index: number): boolean {
    if (!(frame < 2 ** 32) || this.count >= this.keys.length) return false;
    // Every machine that Node 24 runs on is little-endian.
    this.halves[2 * this.count] = index;
    this.halves[2 * this.count + 1] = frame;
    this.count += 1;
    return true;
  }
}
