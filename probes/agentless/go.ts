// Go's runtime from outside: collections (go-collections.ts), heap (go-heap.ts), goroutines and scheduler (go-scheduler.ts).
// Fields move between releases and plain integers become atomics, so each is tried by name where it is and where it was; what a release
// lacks is absent. Without types (stripped, -ldflags=-w) goroutines and collections are found by evidence.

import { defineProbe, type Reading, type Readings } from '../../src/model/probe.ts';
import { takeGoCensus } from './go-census.ts';
import { type Collections, findCollections, readCollections } from './go-collections.ts';
import { readHeap, readPacing } from './go-heap.ts';
import { countStates, countWaits, readGoroutines, readScheduler } from './go-scheduler.ts';
import { findGlobal } from './typed.ts';

const QUANTILES = [0.5, 0.9, 0.99, 1] as const;
const NO_COLLECTION = { absent: 'there was no collection yet' };
const NOT_KEPT = { absent: 'this release of Go does not keep it under a known name' };
const STRIPPED = {
  absent: 'the program has no DWARF (it was stripped, or linked with -ldflags=-w): where its counters lie is not known',
};

const NOT_FOUND = { absent: `${STRIPPED.absent}; this one is found after the first collection` };

const METRICS = {
  'go.memory.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections completed' },
  'go.memory.gc.forced': { kind: 'counter', unit: '{cycle}', doc: 'collections that the program asked for' },
  'go.memory.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'all stop-the-world pauses together' },
  'go.memory.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'pauses of the last collection' },
  'go.memory.gc.pause': { kind: 'gauge', unit: 'ns', doc: 'pauses of a collection by quantile, over the last 256' },
  'go.memory.gc.goal': { kind: 'gauge', unit: 'By', doc: 'heap size at which the next collection is due' },
  'go.memory.gc.cpu': { kind: 'gauge', unit: '1', doc: 'fraction of CPU time spent in collections since the start' },
  'go.config.gogc': { kind: 'gauge', unit: '%', doc: 'growth of the heap that makes a collection due, GOGC; -1 is off' },
  'go.memory.limit': { kind: 'gauge', unit: 'By', doc: 'memory limit of the runtime, GOMEMLIMIT' },
  'go.memory.used': { kind: 'gauge', unit: 'By', doc: 'memory the runtime holds: stacks of goroutines, and all else' },
  'go.memory.heap.live': {
    kind: 'gauge',
    unit: 'By',
    doc: 'bytes that survived the last collection or came since; spans in use as full',
  },
  'go.memory.heap.marked': { kind: 'gauge', unit: 'By', doc: 'bytes that survived the last collection' },
  'go.memory.heap.allocated': { kind: 'gauge', unit: 'By', doc: 'bytes of objects that are not freed yet, HeapAlloc' },
  'go.memory.heap.objects': { kind: 'gauge', unit: '{object}', doc: 'objects that are not freed yet' },
  'go.memory.heap.size': { kind: 'gauge', unit: 'By', doc: 'memory held for the heap: used and free spans' },
  'go.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'spans in use, HeapInuse' },
  'go.memory.heap.free': { kind: 'gauge', unit: 'By', doc: 'free spans that the system has not got back' },
  'go.memory.heap.released': { kind: 'gauge', unit: 'By', doc: 'free spans given back to the system' },
  'go.memory.heap.idle': { kind: 'gauge', unit: 'By', doc: 'free spans, given back or not, HeapIdle' },
  'go.memory.allocated': { kind: 'counter', unit: 'By', doc: 'bytes allocated since the start, TotalAlloc' },
  'go.memory.allocations': { kind: 'counter', unit: '{allocation}', doc: 'objects allocated since the start, tiny ones too' },
  'go.memory.frees': { kind: 'counter', unit: '{allocation}', doc: 'objects freed since the start, tiny ones when allocated' },
  'go.goroutine.count': { kind: 'gauge', unit: '{goroutine}', doc: "goroutines of the program: runtime.NumGoroutine's count" },
  'go.goroutine.states': {
    kind: 'gauge',
    unit: '{goroutine}',
    doc: "goroutines by state, the runtime's own included, 4096 at most",
  },
  'go.goroutine.waits': { kind: 'gauge', unit: '{goroutine}', doc: 'waiting goroutines by what they wait for' },
  'go.schedule.queue': { kind: 'gauge', unit: '{goroutine}', doc: 'goroutines in run queues' },
  'go.processor.limit': { kind: 'gauge', unit: '{thread}', doc: 'threads that run Go code at once, GOMAXPROCS' },
  'go.processor.idle': { kind: 'gauge', unit: '{thread}', doc: 'of those, how many have nothing to run' },
  'go.thread.count': { kind: 'gauge', unit: '{thread}', doc: 'threads of the program' },
  'go.thread.idle': { kind: 'gauge', unit: '{thread}', doc: 'threads that wait for work' },
} as const;

export const go = defineProbe({
  name: 'go',
  doc: "Go's garbage collector, heap, scheduler and goroutines",
  systems: ['go'],
  missing: ({ types, symbols }) => {
    if (types.findVariable('runtime.memstats') !== null || symbols.findSymbol('runtime.bss') !== null) return null;
    return symbols.findSymbol('runtime.memstats') === null
      ? "no symbols of a Go program: give its ELF with --symbols, beside the kernel's"
      : 'no type for runtime.memstats: the program was linked without DWARF (-ldflags=-w)';
  },
  metrics: METRICS,
  sample: (guest): Readings<keyof typeof METRICS> => {
    const goroutines = readGoroutines(guest);
    const memstats = findGlobal(guest, 'runtime.memstats');
    if (memstats === null) {
      return { ...ABSENT, ...ofCollections(findCollections(guest)), 'go.goroutine.states': countStates(goroutines) };
    }
    return {
      ...ofCollections(readCollections(guest, memstats)),
      ...readPacing(guest),
      ...readHeap(guest),
      ...readScheduler(guest),
      'go.goroutine.states': countStates(goroutines),
      'go.goroutine.waits': countWaits(guest, goroutines),
    };
  },
  threads: readGoroutines,
  census: takeGoCensus,
});

const ABSENT: Readings<keyof typeof METRICS> = Object.fromEntries(Object.keys(METRICS).map((name) => [name, STRIPPED]));

type CollectionMetric = `go.memory.gc.${'cycles' | 'forced' | 'pause.time' | 'pause.last' | 'pause' | 'cpu'}`;

/** Null when they were looked for and not found. */
function ofCollections(found: Collections | null): Readonly<Record<CollectionMetric, Reading>> {
  const not = found === null ? NOT_FOUND : NOT_KEPT;
  return {
    'go.memory.gc.cycles': found?.count ?? not,
    'go.memory.gc.forced': found?.forced ?? not,
    'go.memory.gc.pause.time': found?.pauseTotal ?? not,
    ...ofPauses(found?.ring ?? [], found?.count ?? null, not),
    'go.memory.gc.cpu': found?.cpu ?? not,
  };
}

/** The ring of the newest pauses. (Since Go 1.22 there is sched.stwTotalTimeGC too: single stops, in buckets, never forgotten.) */
function ofPauses(
  ring: readonly bigint[],
  collected: number | null,
  not: { readonly absent: string },
): Readonly<Record<'go.memory.gc.pause' | 'go.memory.gc.pause.last', Reading>> {
  if (collected === null || ring.length === 0) return { 'go.memory.gc.pause': not, 'go.memory.gc.pause.last': not };
  if (collected === 0) return { 'go.memory.gc.pause': NO_COLLECTION, 'go.memory.gc.pause.last': NO_COLLECTION };
  const pauses = ring.slice(0, collected).sort((a, b) => (a < b ? -1 : 1));
  return {
    'go.memory.gc.pause': QUANTILES.map((quantile) => ({
      value: pauses[Math.ceil(quantile * pauses.length) - 1] ?? 0n,
      attributes: { quantile: String(quantile) },
    })),
    'go.memory.gc.pause.last': ring[(collected + ring.length - 1) % ring.length] ?? not,
  };
}
