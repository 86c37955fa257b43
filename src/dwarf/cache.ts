// A least-recently-used cache with a bound on the sum of its entries' costs: what keeps memory flat while addresses come and go.

/** Keeps the entries used last, up to `limit` in total cost (1 each unless told); the newest one is kept whatever it costs. */
export class LruCache<K, V> {
  private readonly entries = new Map<K, { readonly value: V; readonly cost: number }>();
  private readonly limit: number;
  private readonly costOf: (value: V) => number;
  private total = 0;

  constructor(limit: number, costOf: (value: V) => number = () => 1) {
    this.limit = limit;
    this.costOf = costOf;
  }

  /** The entry of `key`, made by `make` when it is not here. What `make` throws is not remembered. */
  get(key: K, make: () => V): V {
    const known = this.entries.get(key);
    if (known !== undefined) {
      this.entries.delete(key);
      this.entries.set(key, known);
      return known.value;
    }
    const value = make();
    const cost = this.costOf(value);
    this.entries.set(key, { value, cost });
    this.total += cost;
    this.evict(key);
    return value;
  }

  private evict(newest: K): void {
    for (const [key, entry] of this.entries) {
      if (this.total <= this.limit || key === newest) return;
      this.entries.delete(key);
      this.total -= entry.cost;
    }
  }
}
