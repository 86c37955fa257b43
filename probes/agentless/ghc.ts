// GHC's run time from outside: collections, memory, capabilities. What getRTSStats copies out is the static `stats` of rts/Stats.c, a
// struct RTSStats of the public rts/include/RtsAPI.h (since GHC 8.2). GHC has no DWARF of it: its first members never moved, where the last
// collection's GCDetails lie in it is found by what they must look like. Counters are kept always, times only under +RTS -T.

import type { MetricDeclaration } from '../../src/model/metric.ts';
import { defineProbe, type ProbeGuest, type Reading, type Readings } from '../../src/model/probe.ts';

const BLOCK = 4096;
const MEGABLOCK = 1 << 20;
/** RTSStats: gcs, major_gcs, allocated_bytes, …, copied_bytes. */
const STATS = { gcs: 0, majorGcs: 4, allocated: 8, liveMax: 16, memoryMax: 48, copied: 64 };
/** GCDetails: gen, threads, allocated_bytes, live_bytes, …, mem_in_use_bytes. */
const DETAILS = { gen: 0, threads: 4, live: 16, large: 24, memory: 48 };
/** Members before GCDetails, from the end: gc_elapsed_ns, cpu_ns, elapsed_ns. */
const GC_ELAPSED = -24;
/** RTSStats has 12 to 20 words before GCDetails. */
const [DETAILS_FROM, DETAILS_TO] = [80, 200];
/** GCDetails.elapsed_ns by the size of RTSStats: later releases put a member before it, and took four from the end (seen: GHC 9.0.2, 9.6.6). */
const LAST_PAUSE: ReadonlyMap<number, number> = new Map([
  [400, 96],
  [376, 104],
]);
const [MIN_SIZE, MAX_SIZE] = [256, 1024];
const MAX_GENERATIONS = 32;
const MAX_THREADS = 1024;
/** RtsFlags.GcFlags: statsFile, giveStats, three stack sizes, stkChunkBufferSize, maxHeapSize. */
const FLAGS = { giveStats: 8, chunk: 20, chunkBuffer: 24, maxHeap: 28 };

const NOT_FOUND = { absent: 'its place was not recognised in this release of GHC' };
const NO_TIMES = { absent: 'the program takes no times of its collections: run it with +RTS -T' };
const NO_GC = { absent: 'there was no collection yet' };

const METRICS = {
  'ghc.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections of the oldest generation' },
  'ghc.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections of younger generations alone' },
  'ghc.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'elapsed time in collections (needs +RTS -T)' },
  'ghc.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'elapsed time of the last collection (needs +RTS -T)' },
  'ghc.gc.copied': { kind: 'counter', unit: 'By', doc: 'bytes copied by collections' },
  'ghc.memory.allocated': { kind: 'counter', unit: 'By', doc: 'bytes allocated, as of the last collection' },
  'ghc.memory.heap.live': {
    kind: 'gauge',
    unit: 'By',
    doc: 'live after the last collection; what it did not look at counts as live',
  },
  'ghc.memory.heap.live.peak': { kind: 'gauge', unit: 'By', doc: 'most live bytes after a major collection' },
  'ghc.memory.heap.large': { kind: 'gauge', unit: 'By', doc: 'live large objects after the last collection' },
  'ghc.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'blocks handed out, nurseries and dead objects included' },
  'ghc.memory.heap.size': { kind: 'gauge', unit: 'By', doc: 'megablocks that the run time holds' },
  'ghc.memory.heap.size.peak': { kind: 'gauge', unit: 'By', doc: 'most that the run time held at the end of a collection' },
  'ghc.memory.heap.limit': { kind: 'gauge', unit: 'By', doc: 'the most that the heap may take (+RTS -M)' },
  'ghc.capabilities': {
    kind: 'gauge',
    unit: '{capability}',
    doc: 'capabilities (+RTS -N): threads that run Haskell at one time',
  },
} satisfies Readonly<Record<string, MetricDeclaration>>;

type Metric = keyof typeof METRICS;

export const ghc = defineProbe({
  name: 'ghc',
  doc: "GHC's collector, heap and capabilities",
  systems: ['haskell'],
  missing: ({ symbols }) => {
    const absent = ['mblocks_allocated', 'RtsFlags', 'stats'].filter((name) => symbols.findSymbol(name) === null);
    return absent.length === 0
      ? null
      : `no symbol ${absent.join(', ')} of GHC's run time: give the program with --symbols as ghc linked it, not stripped`;
  },
  metrics: METRICS,
  sample: (guest) => ({ ...memoryOf(guest), ...collectionsOf(guest) }),
});

/** What has symbols of its own. */
function memoryOf(guest: ProbeGuest): Readings<Metric> {
  const word = (name: string): number | null => {
    const view = viewOf(guest, name, 8);
    return view === null ? null : Number(view.getBigUint64(0, true));
  };
  const scaled = (name: string, unit: number): Reading => {
    const count = word(name);
    return count === null ? NOT_FOUND : count * unit;
  };
  return {
    'ghc.memory.heap.size': scaled('mblocks_allocated', MEGABLOCK),
    'ghc.memory.heap.used': scaled('n_alloc_blocks', BLOCK),
    'ghc.memory.heap.limit': heapLimit(guest),
    'ghc.capabilities': viewOf(guest, 'n_capabilities', 4)?.getUint32(0, true) ?? NOT_FOUND,
  };
}

function heapLimit(guest: ProbeGuest): Reading {
  const flags = viewOf(guest, 'RtsFlags', 32);
  if (flags === null) return NOT_FOUND;
  const [chunk, buffer, blocks] = [FLAGS.chunk, FLAGS.chunkBuffer, FLAGS.maxHeap].map((at) => flags.getUint32(at, true));
  // Stack chunks are larger than their buffer under any flags that the run time takes.
  if (buffer === 0 || chunk! <= buffer!) return NOT_FOUND;
  return blocks === 0 ? { absent: 'the heap has no limit: set one with +RTS -M' } : blocks! * BLOCK;
}

function collectionsOf(guest: ProbeGuest): Readings<Metric> {
  const size = guest.symbols.findSymbol('stats')?.size ?? 0;
  const stats = size < MIN_SIZE || size > MAX_SIZE ? null : viewOf(guest, 'stats', size);
  if (stats === null || !isStats(stats)) return {};
  const [gcs, major] = [stats.getUint32(STATS.gcs, true), stats.getUint32(STATS.majorGcs, true)];
  const word = (at: number): number => Number(stats.getBigUint64(at, true));
  const details = findDetails(stats);
  const isTimed = (viewOf(guest, 'RtsFlags', 16)?.getUint32(FLAGS.giveStats, true) ?? 0) !== 0;
  const ofLast = (at: number | undefined): Reading => {
    if (gcs === 0) return NO_GC;
    return details === null || at === undefined ? NOT_FOUND : word(details + at);
  };
  return {
    'ghc.gc.major.cycles': major,
    'ghc.gc.minor.cycles': gcs - major,
    'ghc.gc.pause.time': isTimed ? ofLast(GC_ELAPSED) : NO_TIMES,
    'ghc.gc.pause.last': isTimed ? ofLast(LAST_PAUSE.get(size)) : NO_TIMES,
    'ghc.gc.copied': word(STATS.copied),
    'ghc.memory.allocated': word(STATS.allocated),
    'ghc.memory.heap.live': ofLast(DETAILS.live),
    'ghc.memory.heap.live.peak': word(STATS.liveMax),
    'ghc.memory.heap.large': ofLast(DETAILS.large),
    'ghc.memory.heap.size.peak': word(STATS.memoryMax),
  };
}

/** Whether it can be a RTSStats at all: another image may have a `stats` too. */
function isStats(stats: DataView): boolean {
  const [gcs, major] = [stats.getUint32(STATS.gcs, true), stats.getUint32(STATS.majorGcs, true)];
  const memory = stats.getBigUint64(STATS.memoryMax, true);
  if (gcs === 0) return major === 0 && memory === 0n;
  return major <= gcs && memory > 0n && memory % BigInt(MEGABLOCK) === 0n && stats.getBigUint64(STATS.liveMax, true) <= memory;
}

/** Offset of the last collection's details: a generation, threads, and memory in whole megablocks that was never more than the peak. */
function findDetails(stats: DataView): number | null {
  const peak = stats.getBigUint64(STATS.memoryMax, true);
  for (let at = DETAILS_FROM; at <= DETAILS_TO && at + DETAILS.memory + 8 <= stats.byteLength; at += 8) {
    const [generation, threads] = [stats.getUint32(at + DETAILS.gen, true), stats.getUint32(at + DETAILS.threads, true)];
    const memory = stats.getBigUint64(at + DETAILS.memory, true);
    if (generation >= MAX_GENERATIONS || threads === 0 || threads > MAX_THREADS) continue;
    if (memory === 0n || memory > peak || memory % BigInt(MEGABLOCK) !== 0n) continue;
    if (stats.getBigUint64(at + DETAILS.live, true) <= memory) return at;
  }
  return null;
}

function viewOf(guest: ProbeGuest, name: string, length: number): DataView | null {
  const symbol = guest.symbols.findSymbol(name);
  const bytes = symbol === null ? null : guest.memory.read(symbol.address, length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
