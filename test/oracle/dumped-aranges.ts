// What .debug_aranges lists, as readelf prints it: elfutils knows no other way from an address to its unit.

import { programLines } from './program-lines.ts';

const ENTRY = /^ +([0-9a-f]{8,16}) ([0-9a-f]{8,16}) *$/;

/** Whether an address is listed, by a table of ranges. */
export class DumpedAranges {
  private readonly starts: readonly bigint[];
  private readonly ends: readonly bigint[];

  /** `ranges` by their start; each end is the highest up to it. */
  private constructor(ranges: readonly (readonly [bigint, bigint])[]) {
    const sorted = ranges.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    let reach = 0n;
    this.starts = sorted.map(([start]) => start);
    this.ends = sorted.map(([, end]) => (reach = end > reach ? end : reach));
  }

  static async read(path: string): Promise<DumpedAranges> {
    const ranges: [bigint, bigint][] = [];
    for await (const lines of programLines('readelf', ['-wr', path])) {
      for (const line of lines) {
        const [, start, length] = ENTRY.exec(line) ?? [];
        if (start !== undefined) ranges.push([BigInt(`0x${start}`), BigInt(`0x${start}`) + BigInt(`0x${length!}`)]);
      }
    }
    return new DumpedAranges(ranges);
  }

  covers(address: bigint): boolean {
    let low = 0;
    let high = this.starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.starts[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low > 0 && address < this.ends[low - 1]!;
  }
}
