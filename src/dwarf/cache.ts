// A cache with a bound on the sum of its entries' costs: what keeps memory flat while addresses come and go.
// Least recently used in two generations, so that a hit costs one look-up: what is used moves from the old generation to the
// young one, and when the young one is half the limit it becomes the old one, whose unused entries are forgotten.

/** Keeps the entries used last, up to `limit` in total cost (1 each unless told); the newest one is kept whatever it costs. */
export class LruCache<K, V extends object> {
  private young = new Map<K, V>();
  private old = new Map<K, V>();
  private youngCost = 0;
  private readonly limit: number;
  private readonly costOf: (value: V) => number;

  constructor(limit: number, costOf: (value: V) => number = () => 1) {
    this.limit = limit;
    this.costOf = costOf;
  }

  /** The entry of `key`, made by `make` when it is not here. What `make` throws is not remembered. */
  get(key: K, make: () => V): V {
    return this.find(key) ?? this.keep(key, make());
  }

  /** The entry of `key`, undefined when it is not here. */
  find(key: K): V | undefined {
    const young = this.young.get(key);
    if (young !== undefined) return young;
    const old = this.old.get(key);
    return old === undefined ? undefined : this.keep(key, old);
  }

  private keep(key: K, value: V): V {
    const cost = this.costOf(value);
    if (this.youngCost + cost > this.limit / 2 && this.young.size > 0) {
      this.old = this.young;
      this.young = new Map();
      this.youngCost = 0;
    }
    this.young.set(key, value);
    this.youngCost += cost;
    return value;
  }
}
