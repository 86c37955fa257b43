// Agentless probes: what is measured from outside. One probe = one file in probes/agentless + one line in its list.

import type { HeapCensus } from './heap.ts';
import type { Image } from './image.ts';
import type { TypeSource } from './layout.ts';
import type { MetricDeclaration } from './metric.ts';
import type { GuestSocket } from './socket.ts';
import type { Symbolizer } from './symbolizer.ts';
import type { Memory } from './target.ts';
import type { GuestThread } from './thread.ts';

/** What a probe may touch: memory pages of one moment, symbols, types. All synchronous: see AddressSpace.walk. */
export interface ProbeGuest {
  readonly memory: Memory;
  readonly types: TypeSource;
  readonly symbols: Pick<Symbolizer, 'findSymbol' | 'findObject'>;
  /** What the guest has loaded (those that match), with a file and without: some runtimes are found by their library's place. */
  readonly images?: readonly Pick<Image, 'path' | 'base' | 'end' | 'match'>[];
}

/** One value, or several series of one metric, or why there is none. */
export type Reading = number | bigint | { readonly absent: string } | readonly ReadingSeries[];

/** One of several series. */
export interface ReadingSeries {
  readonly value: number | bigint;
  readonly attributes: Readonly<Record<string, string>>;
  /** A counter of fewer bits begins anew at 0 when it would be this: 65536 for 16 bits. Whoever keeps samples adds it up. */
  readonly wrapsAt?: number;
}

/** A probe's readings: only names it declared. A name left out counts as absent with the probe's `missing` reason. */
export type Readings<M extends string> = Partial<Record<M, Reading>>;

/** A reader of guest memory that declares what it measures. */
export interface Probe<M extends string = string> {
  readonly name: string;
  readonly doc: string;
  /** Unikernels and runtimes that have this in principle: there, what is missing is said; elsewhere the probe is silent. */
  readonly systems: readonly string[];
  /** Null when this guest has what the probe needs; else what is missing and what would bring it. Cheap; asked when images change. */
  readonly missing: (guest: Pick<ProbeGuest, 'types' | 'symbols' | 'images'>) => string | null;
  readonly metrics: Readonly<Record<M, MetricDeclaration>>;
  /** Reads one sample. Must be pure apart from reads (it may be run again when a page was absent); bounds every loop: the guest is hostile. */
  readonly sample: (guest: ProbeGuest) => Readings<M>;
  /** The guest's threads, where the probe knows a scheduler. Bounded like `sample`. */
  readonly threads?: (guest: ProbeGuest) => readonly GuestThread[];
  /** What the guest's network stack has open, where the probe knows one. Bounded like `sample`. */
  readonly sockets?: (guest: ProbeGuest) => readonly GuestSocket[];
  /** What the heap is made of, where the probe knows one; read once, of a guest that ran out of memory. Bounded like `sample`. */
  readonly census?: (guest: ProbeGuest) => HeapCensus | null;
}

/** Defines a probe; ties `sample`'s names to the declared metrics, so a wrong name does not compile. */
export function defineProbe<M extends string>(probe: Probe<M>): Probe<M> {
  return probe;
}
