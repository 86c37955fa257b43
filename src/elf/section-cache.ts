// Bytes of sections kept for the next caller, up to a bound on their sum.

/** Sections' bytes by section number; the least recently used go first, the newest is kept whatever its size. */
export class SectionCache {
  private readonly limit: number;
  private readonly kept = new Map<number, Uint8Array>();
  private total = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  has(index: number): boolean {
    return this.kept.has(index);
  }

  find(index: number): Uint8Array | null {
    const bytes = this.kept.get(index);
    if (bytes === undefined) return null;
    this.kept.delete(index);
    this.kept.set(index, bytes);
    return bytes;
  }

  keep(index: number, bytes: Uint8Array): void {
    this.kept.set(index, bytes);
    this.total += bytes.length;
    for (const [oldest, old] of this.kept) {
      if (this.total <= this.limit || oldest === index) break;
      this.kept.delete(oldest);
      this.total -= old.length;
    }
  }

  clear(): void {
    this.kept.clear();
    this.total = 0;
  }
}
