// A set of addresses that ranges are looked up in: what the dumps of an image's debug info are searched for.

/** Addresses, rising, each with its position among them. */
export class WantedAddresses {
  readonly addresses: readonly bigint[];
  private readonly sorted: BigUint64Array;

  constructor(addresses: readonly bigint[]) {
    this.addresses = addresses;
    this.sorted = BigUint64Array.from(addresses);
  }

  /** Positions of the addresses in [start, end), as a half-open interval of positions. */
  within(start: bigint, end: bigint): readonly [number, number] {
    return [this.lowerBound(start), this.lowerBound(end)];
  }

  private lowerBound(value: bigint): number {
    let low = 0;
    let high = this.sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.sorted[middle]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
