// HotSpot's garbage collectors, heap, classes, threads and compiler from outside: the counters that jstat shows, from the JVM's
// performance data (hsperfdata.ts) in its memory. They are on unless -XX:-UsePerfData. Eden's use is as of the JVM's last sampling (50 ms),
// all else of the heap as of the last collection, as in jstat.

import { defineProbe, type ProbeGuest, type Readings } from '../../src/model/probe.ts';
import { indexEntries, type PerfIndex, readNumber, readText } from './hsperfdata.ts';
import { findPerfArea, hasJvm, type PerfArea } from './jvm-perf-memory.ts';
import { type PerfData, READERS } from './jvm-readings.ts';

type Metric = keyof typeof READERS;

const ABSENT = {
  none: 'the JVM keeps no performance data: start it without -XX:-UsePerfData',
  unknown: "the JVM's performance data were not found in memory (yet; -XX:-UsePerfData switches them off)",
  early: 'the JVM is still starting',
};

export const jvm = defineProbe<Metric>({
  name: 'jvm',
  doc: "HotSpot's garbage collectors, heap, classes, threads and compiler",
  systems: ['java'],
  missing: (guest) =>
    hasJvm(guest)
      ? null
      : 'neither libjvm.so among what the guest is known to have loaded nor its symbols: give --symbols libjvm.so',
  metrics: {
    'jvm.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections of the young generation' },
    'jvm.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'full collections' },
    'jvm.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'all collection pauses together' },
    'jvm.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'the last collection pause' },
    'jvm.gc.collections': {
      kind: 'counter',
      unit: '{collection}',
      doc: "pauses for a collection, by the JVM's name for them (jvm.gc.name)",
    },
    'jvm.gc.collection.time': {
      kind: 'counter',
      unit: 'ns',
      doc: "time in collections, by the JVM's name for them (jvm.gc.name)",
    },
    'jvm.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'used of all heap spaces, dead objects included' },
    'jvm.memory.heap.committed': {
      kind: 'gauge',
      unit: 'By',
      doc: 'memory the JVM holds for its heap, both survivor spaces included',
    },
    'jvm.memory.heap.limit': { kind: 'gauge', unit: 'By', doc: 'the most that the heap may take (-Xmx)' },
    'jvm.memory.used': { kind: 'gauge', unit: 'By', doc: 'used of each memory pool (jvm.memory.pool.name, jvm.memory.type)' },
    'jvm.memory.committed': {
      kind: 'gauge',
      unit: 'By',
      doc: 'memory held for each pool (jvm.memory.pool.name, jvm.memory.type)',
    },
    'jvm.memory.limit': {
      kind: 'gauge',
      unit: 'By',
      doc: 'the most that each pool may take (jvm.memory.pool.name, jvm.memory.type)',
    },
    'jvm.class.count': { kind: 'gauge', unit: '{class}', doc: 'classes loaded now' },
    'jvm.class.loaded': { kind: 'counter', unit: '{class}', doc: 'classes loaded since the start' },
    'jvm.class.unloaded': { kind: 'counter', unit: '{class}', doc: 'classes unloaded since the start' },
    'jvm.thread.count': {
      kind: 'gauge',
      unit: '{thread}',
      doc: 'live Java threads, by whether they are daemons (jvm.thread.daemon)',
    },
    'jvm.thread.count.peak': { kind: 'gauge', unit: '{thread}', doc: 'most live Java threads at one time' },
    'jvm.thread.started': { kind: 'counter', unit: '{thread}', doc: 'Java threads started' },
    'jvm.safepoint.count': {
      kind: 'counter',
      unit: '{safepoint}',
      doc: 'times all threads were stopped, for collections and all else',
    },
    'jvm.safepoint.time': { kind: 'counter', unit: 'ns', doc: 'time in which all threads were stopped' },
    'jvm.compilation.count': { kind: 'counter', unit: '{compilation}', doc: 'methods compiled' },
    'jvm.compilation.time': { kind: 'counter', unit: 'ns', doc: 'time the compilers took' },
    'jvm.uptime': { kind: 'gauge', unit: 's', doc: 'time since the JVM started' },
    'jvm.info': {
      kind: 'gauge',
      unit: '1',
      doc: 'always 1: what runs (jvm.command, without arguments), on which JVM and collector',
    },
  },
  sample: (guest) => {
    const data = readPerfData(guest);
    if (typeof data === 'string') return absentAll(ABSENT[data]);
    return Object.fromEntries(Object.entries(READERS).map(([name, read]) => [name, read(data)]));
  },
});

function absentAll(absent: string): Readings<Metric> {
  return Object.fromEntries(Object.keys(READERS).map((name) => [name, { absent }]));
}

/** Names are looked for once, until an entry is added or the guest begins anew. */
const indices = new WeakMap<object, { readonly address: bigint; readonly modified: bigint; readonly index: PerfIndex }>();

function readPerfData(guest: ProbeGuest): PerfData | keyof typeof ABSENT {
  const area = findPerfArea(guest);
  if (typeof area === 'string') return area;
  if (!area.prologue.accessible) return 'early';
  const bytes = guest.memory.read(area.address, area.prologue.used);
  if (bytes === null) return 'unknown';
  const index = indexOf(guest, area, bytes);
  const number = (name: string): number | null => readNumber(bytes, area.prologue, index.get(name));
  const frequency = number('sun.os.hrt.frequency') ?? 0;
  return {
    number,
    text: (name) => readText(bytes, index.get(name)),
    time: (ticks) => (frequency > 0 ? Math.round((ticks / frequency) * 1e9) : ticks),
  };
}

function indexOf({ symbols }: ProbeGuest, { address, prologue }: PerfArea, bytes: Uint8Array): PerfIndex {
  const before = indices.get(symbols);
  if (before?.address === address && before.modified === prologue.modified) return before.index;
  const index = indexEntries(bytes, prologue);
  indices.set(symbols, { address, modified: prologue.modified, index });
  return index;
}
