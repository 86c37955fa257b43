// HotSpot's collector log: -Xlog:gc since JDK 9 (src/hotspot/share/gc/shared/gcTraceTime.cpp, gc/z/zStat.cpp,
// gc/shenandoah), -XX:+PrintGC before (gc/shared/gcTraceTime.cpp of JDK 8). Sizes are rounded as the log rounds them.

import type { GcLogFormat, GcLogLine } from '../model/gc-log.ts';

const UNITS: Readonly<Record<string, number>> = { B: 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** `GC(3) Pause Young (Normal) (G1 Evacuation Pause) 28M->1M(48M) 47.350ms`; a pause that frees nothing has no sizes. */
const PAUSE =
  /\bGC\(\d{1,10}\) Pause (\w{1,20}(?: [A-Z]\w{1,20}){0,2})(?: \([^()]{1,80}(?:\(\))?\)){0,3}(?: (\d{1,10})([KMG])->(\d{1,10})([KMG])\((\d{1,10})([KMG])\))? (\d{1,9}\.\d{1,6})ms$/;
/** ZGC: `GC(1) Garbage Collection (Warmup) 14M(29%)->4M(8%)`; since JDK 21 also `Minor Collection`, `Major Collection`. */
const Z_CYCLE =
  /\bGC\(\d{1,10}\) (Garbage|Major|Minor) Collection \([^()]{1,80}\) \d{1,10}[KMG]\(\d{1,3}%\)->(\d{1,10})([KMG])\(\d{1,3}%\)/;
/** Shenandoah: `GC(0) Concurrent cleanup 17M->3M(48M) 0.045ms`. */
const CLEANUP = /\bGC\(\d{1,10}\) Concurrent cleanup \d{1,10}[KMG]->(\d{1,10})([KMG])\((\d{1,10})([KMG])\) \d{1,9}\.\d{1,6}ms$/;
/** `[Full GC (Ergonomics)  65536K->1024K(251392K), 0.0012345 secs]`, `[GC pause (G1 Evacuation Pause) (young) 24M->3M(256M), 0.0023 secs]`. */
const PRINTED =
  /\[(Full )?GC(?: pause)?(?: ?\([^()]{1,80}(?:\(\))?\)){0,3} {1,2}\d{1,10}(?:\.\d)?[KMG]->(\d{1,10}(?:\.\d)?)([BKMG])\((\d{1,10}(?:\.\d)?)([KMG])\), (\d{1,6}\.\d{1,9}) secs\]/;

function bytes(count: string | undefined, unit: string | undefined): number {
  return Math.round(Number(count) * (UNITS[unit ?? ''] ?? 1));
}

function heap(used: number, committed: number): Readonly<Record<string, number>> {
  return { 'jvm.memory.heap.used': used, 'jvm.memory.heap.committed': committed };
}

function pauseOf(ns: number): Pick<Required<GcLogLine>, 'set' | 'add'> {
  return { set: { 'jvm.gc.pause.last': ns }, add: { 'jvm.gc.pause.time': ns } };
}

function cycle(kind: string | undefined): Readonly<Record<string, number>> {
  if (kind === 'Young' || kind === 'Minor') return { 'jvm.gc.minor.cycles': 1 };
  // Shenandoah's cycles have several pauses; each has one of this name.
  return kind === 'Full' || kind === 'Final Mark' || kind === 'Garbage' || kind === 'Major' ? { 'jvm.gc.major.cycles': 1 } : {};
}

function parse(text: string): GcLogLine | null {
  const pause = PAUSE.exec(text);
  if (pause !== null) {
    const [, kind, , , used, usedUnit, committed, committedUnit, ms] = pause;
    const { set, add } = pauseOf(Math.round(Number(ms) * 1e6));
    const sizes = used === undefined ? {} : heap(bytes(used, usedUnit), bytes(committed, committedUnit));
    return { set: { ...set, ...sizes }, add: { ...add, ...cycle(kind) } };
  }
  const z = Z_CYCLE.exec(text);
  if (z !== null) return { set: { 'jvm.memory.heap.used': bytes(z[2], z[3]) }, add: cycle(z[1]) };
  const cleanup = CLEANUP.exec(text);
  if (cleanup !== null) return { set: heap(bytes(cleanup[1], cleanup[2]), bytes(cleanup[3], cleanup[4])) };
  const printed = PRINTED.exec(text);
  if (printed === null) return null;
  const { set, add } = pauseOf(Math.round(Number(printed[6]) * 1e9));
  const sizes = heap(bytes(printed[2], printed[3]), bytes(printed[4], printed[5]));
  return { set: { ...set, ...sizes }, add: { ...add, ...cycle(printed[1] === undefined ? 'Young' : 'Full') } };
}

/** HotSpot's log. */
export const javaGcLog: GcLogFormat = {
  runtime: 'java',
  flag: '-Xlog:gc (JDK 8: -XX:+PrintGC)',
  words: ['GC(', '[GC ', '[GC(', '[Full GC'],
  metrics: {
    'jvm.gc.minor.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections of the young generation seen on the console' },
    'jvm.gc.major.cycles': {
      kind: 'counter',
      unit: '{cycle}',
      doc: 'full collections and concurrent cycles seen on the console',
    },
    'jvm.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'pauses seen on the console, together' },
    'jvm.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'the last pause on the console' },
    'jvm.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'used after the last collection on the console' },
    'jvm.memory.heap.committed': { kind: 'gauge', unit: 'By', doc: 'heap size at the last collection on the console' },
  },
  parse,
};
