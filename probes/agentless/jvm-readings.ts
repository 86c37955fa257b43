// What jvm.ts declares, from a JVM's performance data: names are those of jstat and of `jcmd PID PerfCounter.print`.

import type { Reading } from '../../src/model/probe.ts';

/** What is asked of the data. */
export interface PerfData {
  readonly number: (name: string) => number | null;
  readonly text: (name: string) => string | null;
  /** Nanoseconds of a number of the JVM's ticks. */
  readonly time: (ticks: number) => number;
}

/** HotSpot has no more of any. */
const GENERATIONS = 2;
const SPACES = 3;
const COLLECTORS = 3;
const PAGE = 4096;
const NOT_KEPT = { absent: 'this JVM does not keep it' };

/** A reader for each metric. */
export const READERS = {
  'jvm.gc.minor.cycles': (data) => invocations(data, 0),
  'jvm.gc.major.cycles': (data) => invocations(data, 1),
  'jvm.gc.pause.time': (data) => known(total(collectors(data).map(({ time }) => time))),
  'jvm.gc.pause.last': lastPause,
  'jvm.gc.collections': (data) => series(collectors(data).map(({ name, count }) => [count, { 'jvm.gc.name': name }])),
  'jvm.gc.collection.time': (data) => series(collectors(data).map(({ name, time }) => [time, { 'jvm.gc.name': name }])),
  'jvm.memory.heap.used': (data) => known(total(heapSpaces(data).map(({ used }) => used))),
  'jvm.memory.heap.committed': (data) => known(total(generations(data, 'capacity'))),
  'jvm.memory.heap.limit': heapLimit,
  'jvm.memory.used': (data) => series(pools(data).map(({ used, attributes }) => [used, attributes])),
  'jvm.memory.committed': (data) => series(pools(data).map(({ capacity, attributes }) => [capacity, attributes])),
  'jvm.memory.limit': (data) => series(pools(data).map(({ limit, attributes }) => [limit, attributes])),
  'jvm.class.count': (data) => difference(loaded(data), unloaded(data)),
  'jvm.class.loaded': (data) => known(loaded(data)),
  'jvm.class.unloaded': (data) => known(unloaded(data)),
  'jvm.thread.count': threadCount,
  'jvm.thread.count.peak': (data) => known(data.number('java.threads.livePeak')),
  'jvm.thread.started': (data) => known(data.number('java.threads.started')),
  'jvm.safepoint.count': (data) => known(data.number('sun.rt.safepoints')),
  'jvm.safepoint.time': (data) => duration(data, 'sun.rt.safepointTime'),
  'jvm.compilation.count': (data) => known(data.number('sun.ci.totalCompiles')),
  'jvm.compilation.time': (data) => duration(data, 'java.ci.totalTime'),
  'jvm.uptime': uptime,
  'jvm.info': (data) => [{ value: 1, attributes: info(data) }],
} satisfies Readonly<Record<string, (data: PerfData) => Reading>>;

interface GcCollector {
  readonly name: string;
  readonly count: number;
  readonly time: number;
  /** In ticks. */
  readonly entered: number;
  readonly left: number;
}

/** The first is of the young generation, the second of the whole heap, the third has the pauses of a concurrent one. */
function collectors(data: PerfData): readonly GcCollector[] {
  return upTo(COLLECTORS, (index) => {
    const [count, time, entered, left] = ['invocations', 'time', 'lastEntryTime', 'lastExitTime'].map((what) =>
      data.number(`sun.gc.collector.${index}.${what}`),
    );
    if (count == null || time == null) return null;
    const name = data.text(`sun.gc.collector.${index}.name`) ?? String(index);
    return { name, count, time: data.time(time), entered: entered ?? 0, left: left ?? 0 };
  });
}

/** Each collection of these has several pauses, and only pauses are counted (seen: ZGC of JDK 17 and 21, Shenandoah of 17). */
const COUNTS_PAUSES = /^(?:Z|Shenandoah)/;

function invocations(data: PerfData, index: number): Reading {
  const count = data.number(`sun.gc.collector.${index}.invocations`);
  const name = data.text(`sun.gc.collector.${index}.name`) ?? collectors(data)[0]?.name ?? '';
  if (COUNTS_PAUSES.test(name)) return { absent: 'this collector counts its pauses alone: see jvm.gc.collections, or -Xlog:gc' };
  return count ?? NOT_KEPT;
}

function lastPause(data: PerfData): Reading {
  // One that goes on has not left yet: the one before has no other trace.
  const done = collectors(data).filter(({ entered, left }) => left > 0 && left >= entered);
  const last = done.sort((a, b) => b.left - a.left)[0];
  return last === undefined ? { absent: 'no collection yet, or the only one goes on' } : data.time(last.left - last.entered);
}

interface Space {
  readonly name: string;
  readonly used: number;
  readonly capacity: number | null;
  readonly limit: number | null;
}

function heapSpaces(data: PerfData): readonly Space[] {
  return upTo(GENERATIONS, (generation) => generation).flatMap((generation) =>
    upTo(SPACES, (space) => readSpace(data, `sun.gc.generation.${generation}.space.${space}`)),
  );
}

function readSpace(data: PerfData, path: string): Space | null {
  const used = data.number(`${path}.used`);
  if (used === null) return null;
  return {
    name: data.text(`${path}.name`) ?? path.slice(path.lastIndexOf('.') + 1),
    used,
    capacity: pages(data.number(`${path}.capacity`)),
    limit: pages(data.number(`${path}.maxCapacity`)),
  };
}

/** G1 makes every size 8 bytes larger, lest somebody divides by it. */
function pages(bytes: number | null): number | null {
  return bytes === null ? null : Math.floor(bytes / PAGE) * PAGE;
}

/** A space named `space` or `Heap` is its generation's only one; survivors are called s0 and s1. */
function pools(data: PerfData): readonly (Space & { readonly attributes: Readonly<Record<string, string>> })[] {
  const pool = (space: Space, name: string, type: string): ReturnType<typeof pools>[number] => ({
    ...space,
    attributes: { 'jvm.memory.pool.name': name, 'jvm.memory.type': type },
  });
  const outside = [
    ['metaspace', 'Metaspace'],
    ['compressedclassspace', 'Compressed Class Space'],
  ].flatMap(([path, name]) => {
    const space = readSpace(data, `sun.gc.${path!}`);
    return space === null ? [] : [pool(space, name!, 'non_heap')];
  });
  return [...heapSpaces(data).map((space) => pool(space, space.name === 'space' ? 'old' : space.name, 'heap')), ...outside];
}

function generations(data: PerfData, what: string): readonly (number | null)[] {
  return upTo(GENERATIONS, (generation) => pages(data.number(`sun.gc.generation.${generation}.${what}`)));
}

/** Two collectors share the heap between their generations (`Copy:MSC`); one alone may give all of it to either. */
function heapLimit(data: PerfData): Reading {
  const limits = generations(data, 'maxCapacity').filter((limit) => limit !== null);
  if (limits.length === 0) return NOT_KEPT;
  const isShared = data.text('sun.gc.policy.name')?.includes(':') === true;
  return isShared ? known(total(limits)) : Math.max(...limits);
}

function loaded(data: PerfData): number | null {
  return total(['java.cls.loadedClasses', 'java.cls.sharedLoadedClasses'].map(data.number));
}

function unloaded(data: PerfData): number | null {
  return total(['java.cls.unloadedClasses', 'java.cls.sharedUnloadedClasses'].map(data.number));
}

function threadCount(data: PerfData): Reading {
  const [live, daemon] = ['java.threads.live', 'java.threads.daemon'].map(data.number);
  if (live == null || daemon == null) return NOT_KEPT;
  return [
    { value: live - daemon, attributes: { 'jvm.thread.daemon': 'false' } },
    { value: daemon, attributes: { 'jvm.thread.daemon': 'true' } },
  ];
}

function uptime(data: PerfData): Reading {
  const ticks = data.number('sun.os.hrt.ticks');
  return ticks === null ? NOT_KEPT : data.time(ticks) / 1e9;
}

/** Arguments are left out: they hold passwords often enough. */
function info(data: PerfData): Readonly<Record<string, string>> {
  const command = data.text('sun.rt.javaCommand')?.split(' ')[0];
  const version = /\((\d[\w.+-]{0,60})\)/.exec(data.text('sun.rt.internalVersion') ?? '')?.[1];
  return {
    'jvm.command': command ?? '?',
    'jvm.version': version ?? '?',
    'jvm.gc': data.text('sun.gc.policy.name') ?? collectors(data)[0]?.name ?? '?',
  };
}

function upTo<T>(count: number, at: (index: number) => T | null): readonly T[] {
  return Array.from({ length: count }, (_, index) => at(index)).filter((found): found is Awaited<T> & T => found !== null);
}

function total(values: readonly (number | null)[]): number | null {
  const numbers = values.filter((value) => value !== null);
  return numbers.length === 0 ? null : numbers.reduce((sum, value) => sum + value, 0);
}

function difference(a: number | null, b: number | null): Reading {
  return a === null || b === null ? NOT_KEPT : a - b;
}

function duration(data: PerfData, name: string): Reading {
  const ticks = data.number(name);
  return ticks === null ? NOT_KEPT : data.time(ticks);
}

function known(value: number | null): Reading {
  return value ?? NOT_KEPT;
}

function series(values: readonly (readonly [number | null, Readonly<Record<string, string>>])[]): Reading {
  const found = values.flatMap(([value, attributes]) => (value === null ? [] : [{ value, attributes }]));
  return found.length > 0 ? found : NOT_KEPT;
}
