// What a heap is made of, and why it ran out.

import type { Stack } from './frame.ts';

/** A heap by what is in it, read from outside at one moment. */
export interface HeapCensus {
  /** Whose: `Go`, `OCaml`, `Unikraft (bbuddy)`. */
  readonly heap: string;
  /** What a row is. */
  readonly by: 'type' | 'size-class' | 'owner';
  /** All that is in use, bytes; null where the rows are a part of it and the whole is not known. */
  readonly totalBytes: number | null;
  /** Largest first, bounded. */
  readonly rows: readonly HeapRow[];
  /** What holds the most, largest first; null with `rootsAbsent` saying why. */
  readonly roots: readonly HeapRow[] | null;
  readonly rootsAbsent: string | null;
  /** The probe that read it. */
  readonly probe: string;
}

/** One kind of object. `count`: how many; null where that is not kept. */
export interface HeapRow {
  readonly name: string;
  readonly count: number | null;
  readonly bytes: number;
}

/** Who asked for the memory that was not there. */
export interface Allocating {
  /** The stack that waits for memory or asked for it: not that of the thread that then aborted, where they differ. */
  readonly stack: Stack;
  /** Index of the frame that asked, in `stack`: the first that is no allocator. Null where none has a name. */
  readonly asker: number | null;
  /** Bytes asked for; null where nothing tells. */
  readonly bytes: number | null;
  /** How we know: one sentence. */
  readonly by: string;
}

/** What is told of a guest that ran out of memory. What cannot be had is null, and `remarks` say why. */
export interface OutOfMemory {
  readonly allocating: Allocating | null;
  readonly heaps: readonly HeapCensus[];
  /** The metric that grew most before the end, and how fast. */
  readonly growth: readonly {
    readonly series: string;
    readonly unit: string;
    readonly from: number;
    readonly to: number;
    readonly overMs: number;
  }[];
  readonly remarks: readonly string[];
}
