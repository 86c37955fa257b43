// `gc`: for each garbage collector in the guest its pace, its pauses, its heap, and whether it runs at all.

import { COLLECTORS, type Collector } from '../../model/collectors.ts';
import { formatCount, formatNanoseconds, formatShare, formatSize } from '../../model/quantity.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { findAbsence, findNanoseconds, findRate, findSeries, findValue } from '../../vitals/history.ts';
import type { View } from './view.ts';

/** One collector; times in ns, sizes in bytes, null = not known. */
interface Collection {
  readonly runtime: string;
  readonly cycles: number | null;
  readonly cyclesPerMinute: number | null;
  readonly minorCycles: number | null;
  readonly minorCyclesPerMinute: number | null;
  readonly pauseLast: number | null;
  readonly pauseTime: number | null;
  /** Of the time since we look. */
  readonly pauseShare: number | null;
  /** By quantile. */
  readonly pauses: Readonly<Record<string, number>>;
  readonly heapUsed: number | null;
  readonly heapLive: number | null;
  readonly heapSize: number | null;
  readonly goal: number | null;
  readonly limit: number | null;
  readonly allocatedPerSecond: number | null;
  /** Why the goal is not known. */
  readonly goalAbsent: string | null;
}

export const gc: View = {
  name: 'gc',
  doc: 'show the garbage collectors in the guest: whether they run, their pauses, their heaps',
  notes: `
Rates are of the time while this looks (--watch shows them settle). What is not said is not kept by that runtime.
Findings (a collector that never runs, one that does nothing else) are printed last.`,
  settleMs: 2100,
  captures: false,
  lines: ({ snapshot }) => {
    const known = findCollections(snapshot);
    const findings = snapshot.findings.filter(({ check }) => check.startsWith('gc-')).map(({ message }) => `! ${message}`);
    if (known.length > 0) return [...known.flatMap(collectionLines), ...findings];
    const why = COLLECTORS.flatMap(({ title, cycles }) => {
      const reason = findAbsence(snapshot, cycles);
      return reason === null ? [] : [`${title}: ${reason}`];
    });
    return why.length > 0
      ? why
      : ['no garbage collector is known in this guest: a runtime is found by its symbols (--symbols ELF)'];
  },
  document: ({ snapshot }) => ({
    collectors: findCollections(snapshot),
    findings: snapshot.findings.filter(({ check }) => check.startsWith('gc-')),
    absent: Object.fromEntries(
      COLLECTORS.flatMap(({ title, cycles }) => {
        const reason = findAbsence(snapshot, cycles);
        return reason === null ? [] : [[title, reason]];
      }),
    ),
  }),
};

function findCollections(snapshot: Snapshot): readonly Collection[] {
  return COLLECTORS.filter(
    ({ cycles, heapUsed }) => findValue(snapshot, cycles) !== null || findValue(snapshot, heapUsed) !== null,
  ).map((collector) => collectionOf(collector, snapshot));
}

function collectionOf(collector: Collector, snapshot: Snapshot): Collection {
  const perMinute = (name: string | null): number | null => {
    const rate = findRate(snapshot, name);
    return rate === null ? null : rate * 60;
  };
  const pauseRate = findRate(snapshot, collector.pauseTime);
  const pauseUnit = findSeries(snapshot, collector.pauseTime)[0]?.latest.unit;
  return {
    runtime: collector.title,
    cycles: findValue(snapshot, collector.cycles),
    cyclesPerMinute: perMinute(collector.cycles),
    minorCycles: findValue(snapshot, collector.minorCycles),
    minorCyclesPerMinute: perMinute(collector.minorCycles),
    pauseLast: findNanoseconds(snapshot, collector.pauseLast),
    pauseTime: findNanoseconds(snapshot, collector.pauseTime),
    pauseShare:
      pauseRate === null ? null : pauseUnit === 's' ? pauseRate : pauseUnit === 'ms' ? pauseRate / 1e3 : pauseRate / 1e9,
    pauses: Object.fromEntries(
      findSeries(snapshot, collector.pauses).flatMap(({ latest }) =>
        latest.value === null ? [] : [[latest.attributes['quantile'] ?? '', latest.value]],
      ),
    ),
    heapUsed: findValue(snapshot, collector.heapUsed),
    heapLive: findValue(snapshot, collector.heapLive),
    heapSize: findValue(snapshot, collector.heapSize),
    goal: findValue(snapshot, collector.goal),
    limit: findValue(snapshot, collector.limit),
    allocatedPerSecond: findRate(snapshot, collector.allocated),
    goalAbsent: collector.goal === null ? null : findAbsence(snapshot, collector.goal),
  };
}

function collectionLines(collection: Collection): readonly string[] {
  const { runtime, cycles, cyclesPerMinute, minorCycles, minorCyclesPerMinute, pauses } = collection;
  const paced = (count: number | null, rate: number | null, what: string): string | null =>
    count === null ? null : `${formatCount(count)} ${what}${rate === null ? '' : ` (${formatCount(Math.round(rate))}/min)`}`;
  const size = (label: string, bytes: number | null): string | null => (bytes === null ? null : `${label} ${formatSize(bytes)}`);
  const time = (label: string, ns: number | null): string | null => (ns === null ? null : `${label} ${formatNanoseconds(ns)}`);
  const { pauseShare } = collection;
  const rows = [
    ['', paced(cycles, cyclesPerMinute, 'collections'), paced(minorCycles, minorCyclesPerMinute, 'minor')],
    [
      'pauses',
      time('last', collection.pauseLast),
      ...Object.entries(pauses)
        .sort(([a], [b]) => Number(a) - Number(b))
        .map(([quantile, ns]) => time(quantile === '1' ? 'max' : `p${Number(quantile) * 100}`, ns)),
      time('all', collection.pauseTime),
      pauseShare === null ? null : `${formatShare(pauseShare)} of the time`,
    ],
    [
      'heap',
      size('used', collection.heapUsed),
      size('live', collection.heapLive),
      size('held', collection.heapSize),
      collection.goal === null
        ? collection.goalAbsent === null
          ? null
          : `no goal: ${collection.goalAbsent}`
        : size('next collection at', collection.goal),
      size('limit', collection.limit),
    ],
    ['', collection.allocatedPerSecond === null ? null : `allocating ${formatSize(collection.allocatedPerSecond)}/s`],
  ];
  return rows.flatMap(([label, ...facts], index) => {
    const known = facts.filter((fact) => fact !== null);
    return known.length === 0 ? [] : [`${(index === 0 ? runtime : '').padEnd(8)}${(label ?? '').padEnd(8)}${known.join(' · ')}`];
  });
}
