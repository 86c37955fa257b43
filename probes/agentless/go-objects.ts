// Objects of Go's heap by number, and which of them have been reached: a conservative marker over spans. Addresses are plain numbers:
// they have 48 bits.

import type { ProbeGuest } from '../../src/model/probe.ts';
import type { Span } from './go-spans.ts';

/** Bytes that are looked through, and pieces they are read in: an object is one, a larger one several. */
const MAX_SCANNED = 256 * 1024 * 1024;
const MAX_READS = 3_000_000;
const PIECE = 64 * 1024;
const PAGE = 4096;
const WORD = 8;

/** A word that points into the heap: where it lies, and the object it points at. */
export interface HeapPointer {
  readonly at: number;
  readonly object: number;
}

/** All objects of the spans, numbered from 0 in the order of their addresses. */
export class GoObjects {
  /** How many slots there are. */
  readonly count: number;
  /** Not all was looked through. */
  isExhausted = false;
  private readonly memory: ProbeGuest['memory'];
  private readonly spans: readonly Span[];
  private readonly starts: Float64Array;
  /** The number of each span's first object. */
  private readonly first: Float64Array;
  private reached: Uint8Array | null = null;
  private scanned = 0;
  private reads = 0;

  /** `spans`: by address, no two of the same place. */
  constructor({ memory }: Pick<ProbeGuest, 'memory'>, spans: readonly Span[]) {
    this.memory = memory;
    this.spans = spans;
    this.starts = Float64Array.from(spans, ({ start }) => start);
    this.first = new Float64Array(spans.length);
    let count = 0;
    for (const [index, { slots }] of spans.entries()) {
      this.first[index] = count;
      count += slots;
    }
    this.count = count;
  }

  /** Pointers into the heap in `size` bytes at `from`. */
  pointersIn(from: number, size: number): readonly HeapPointer[] {
    const found: HeapPointer[] = [];
    this.scan(from, size, (object, at) => {
      found.push({ at, object });
    });
    return found;
  }

  /** What can be reached from an object, itself too, and was not reached before. */
  reach(object: number): { readonly count: number; readonly bytes: number } {
    this.reached ??= new Uint8Array(this.count);
    const left = this.mark(object) ? [object] : [];
    let [count, bytes] = [0, 0];
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const index = lastUpTo(this.first, next);
      const { start, size, hasPointers } = this.spans[index]!;
      count += 1;
      bytes += size;
      if (!hasPointers) continue;
      this.scan(start + (next - this.first[index]!) * size, size, (inner) => {
        if (this.mark(inner)) left.push(inner);
      });
    }
    return { count, bytes };
  }

  private mark(object: number): boolean {
    if (this.reached![object] === 1) return false;
    this.reached![object] = 1;
    return true;
  }

  private scan(from: number, size: number, onPointer: (object: number, at: number) => void): void {
    for (let done = 0; done < size; done += PIECE) this.scanPiece(from + done, Math.min(PIECE, size - done), onPointer);
  }

  private scanPiece(from: number, length: number, onPointer: (object: number, at: number) => void): void {
    if (this.scanned + length > MAX_SCANNED || this.reads >= MAX_READS) {
      this.isExhausted = true;
      return;
    }
    this.reads += 1;
    const bytes = this.memory.read(BigInt(from), length);
    if (bytes === null) {
      // Seen: Nanos maps a page of .bss when it is first touched. What is not there holds nothing.
      const first = PAGE - (from % PAGE);
      for (let done = 0; length > first && done < length; ) {
        const part = Math.min(done === 0 ? first : PAGE, length - done);
        this.scanPiece(from + done, part, onPointer);
        done += part;
      }
      return;
    }
    this.scanned += length;
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    for (let at = 0; at + WORD <= length; at += WORD) {
      // Words of a pointer into the heap have 48 bits at most; two halves cost a tenth of one bigint.
      const high = view.getUint32(at + 4, true);
      if (high > 0xffff) continue;
      const object = this.objectAt(high * 2 ** 32 + view.getUint32(at, true));
      if (object >= 0) onPointer(object, from + at);
    }
  }

  /** The object that an address lies in; −1 in none. */
  private objectAt(address: number): number {
    const lowest = this.starts[0];
    if (lowest === undefined || address < lowest) return -1;
    const index = lastUpTo(this.starts, address);
    const { start, size, slots } = this.spans[index]!;
    const slot = Math.floor((address - start) / size);
    return slot < slots ? this.first[index]! + slot : -1;
  }
}

/** Index of the last value that is not above `value`; 0 when all are. */
function lastUpTo(values: Float64Array, value: number): number {
  let [low, high] = [0, values.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= value) low = middle;
    else high = middle;
  }
  return low;
}
