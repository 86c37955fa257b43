// Which metrics of memory grew before the end, from their recent past in a snapshot.

import type { OutOfMemory } from '../model/heap.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';

/** So many are told. */
const MOST = 5;
/** Less than a tenth of what it ended at is no growth that ends a guest. */
const LEAST_SHARE = 0.1;
/** Beside the one that grew most, less than this part of it explains nothing. */
const WORTH_TELLING = 0.05;
/** A series has come as far as it got when it is this near to its end. */
const NEARLY = 0.99;
/** What a guest has left, and what it was given, are no use of memory. */
const NOT_USE = /(?:^|\.)(?:free|available|limit|goal|released|idle|peak|max|watermark)(?:\.|$)/;

type Growth = OutOfMemory['growth'][number];

/** Gauges in bytes that rose, the one that rose most first: from their lowest point to where they ended. Times in ms. */
export function findGrowth(metrics: Snapshot['metrics']): readonly Growth[] {
  const found = [...metrics].flatMap(([key, series]) => {
    const { kind, unit, name } = series.latest;
    const growth = kind === 'gauge' && unit === 'By' && !NOT_USE.test(name) ? growthOf(key, series) : null;
    return growth === null ? [] : [growth];
  });
  const sorted = found.sort((a, b) => b.to - b.from - (a.to - a.from));
  const most = sorted[0] === undefined ? 0 : sorted[0].to - sorted[0].from;
  return sorted.filter(({ from, to }) => to - from >= most * WORTH_TELLING).slice(0, MOST);
}

function growthOf(key: string, { latest, times, values }: Series): Growth | null {
  const points = values.flatMap((value, index) => (value === null ? [] : [{ at: times[index] ?? 0, value }]));
  const last = points.at(-1);
  if (last === undefined) return null;
  const lowest = points.reduce((low, point) => (point.value < low.value ? point : low));
  const grown = last.value - lowest.value;
  if (!(grown > 0) || grown < last.value * LEAST_SHARE) return null;
  // What has stood still at its top since (a guest that starves in silence) does not count as time of growing.
  const top = points.find(({ at, value }) => at >= lowest.at && value >= last.value * NEARLY) ?? last;
  return { series: key, unit: latest.unit, from: lowest.value, to: last.value, overMs: top.at - lowest.at };
}
