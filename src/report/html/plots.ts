// Which charts tell of a run's memory and garbage collection before its end.

import { COLLECTORS, type Collector } from '../../model/collectors.ts';
import { seriesKey } from '../../model/metric.ts';
import { formatCount, formatNanoseconds, formatSize } from '../../model/quantity.ts';
import type { Report } from '../../model/report.ts';
import type { Series } from '../../model/snapshot.ts';
import { toNanoseconds } from '../../vitals/history.ts';
import type { Markup } from './markup.ts';
import { type Plot, type PlotLine, type PlotSpan, plotFigure } from './plot.ts';

/** So many charts of what grew before memory ran out. */
const GROWTH_SHOWN = 4;

/** The charts of a report; empty where nothing was measured twice. */
export function plotFigures(report: Report): readonly Markup[] {
  const span = spanOf(report);
  if (span === null) return [];
  const plots = [
    memoryPlot(report),
    ...COLLECTORS.flatMap((collector) => collectorPlots(collector, report)),
    ...growthPlots(report),
  ].filter((plot) => plot.lines.some(({ values }) => values.some((value) => value !== null && value > 0)));
  return plots.map((plot) => plotFigure(plot, span));
}

function spanOf({ history, crash, seenAt, launch }: Report): PlotSpan | null {
  let [from, to] = [Infinity, -Infinity];
  for (const { times } of history) {
    from = Math.min(from, times[0] ?? Infinity);
    to = Math.max(to, times.at(-1) ?? -Infinity);
  }
  if (!(from < to)) return null;
  if (crash === null) return { from, to, crashAt: null };
  // A crash is seen soon after the last sample; a time that lies elsewhere is another clock's. A run in CI ends with its crash.
  const known = [launch === null ? null : launch.startedAt + launch.durationMs, seenAt];
  const crashAt = known.find((at) => at !== null && at >= from && at <= to + (to - from) + 60_000) ?? to;
  return { from, to: Math.max(to, crashAt), crashAt };
}

function memoryPlot({ history }: Report): Plot {
  return {
    title: 'Memory of the guest',
    lines: [
      ...lineOf(history, 'unikernel.memory.used', 'used', 'area'),
      ...lineOf(history, 'unikernel.memory.limit', 'limit', 'limit'),
      ...lineOf(history, 'unikernel.memory.resident', 'resident on the host', 'line'),
    ],
    format: formatSize,
    whole: false,
  };
}

function collectorPlots(collector: Collector, { history }: Report): readonly Plot[] {
  const { title, heapUsed, heapLive, heapSize, goal, limit, cycles, minorCycles, pauseTime } = collector;
  const pauses = pauseTime === null ? [] : lineOf(history, pauseTime, 'paused', 'bars').map(toRises);
  const unit = history.find(({ latest }) => latest.name === pauseTime)?.latest.unit ?? 'ns';
  return [
    {
      title: `${title} heap`,
      lines: [
        ...lineOf(history, heapUsed, 'used', 'area'),
        ...lineOf(history, heapLive, 'live after collection', 'line'),
        ...lineOf(history, goal, 'next collection at', 'line'),
        ...lineOf(history, heapSize, 'held', 'line'),
        ...lineOf(history, limit, 'limit', 'limit'),
      ],
      format: formatSize,
      whole: false,
    },
    {
      title: `${title} collections, all so far`,
      lines: [...lineOf(history, cycles, 'collections', 'line'), ...lineOf(history, minorCycles, 'minor', 'line')],
      format: formatCount,
      whole: true,
    },
    {
      title: `${title} pauses, by sample`,
      lines: pauses,
      format: (value) => formatNanoseconds(toNanoseconds(value, unit)),
      whole: false,
    },
  ];
}

/** What the post-mortem says grew, where no chart shows it yet. */
function growthPlots({ history, outOfMemory }: Report): readonly Plot[] {
  const grown = new Set((outOfMemory?.growth ?? []).map(({ series }) => series));
  return history
    .filter(({ latest }) => (grown.has(seriesKey(latest)) || grown.has(latest.name)) && !CHARTED.has(latest.name))
    .slice(0, GROWTH_SHOWN)
    .map(({ latest, times, values }) => ({
      title: seriesKey(latest),
      lines: [{ name: latest.name, times, values, kind: 'area' as const }],
      format: latest.unit === 'By' ? formatSize : formatCount,
      whole: false,
    }));
}

const CHARTED = new Set([
  ...['unikernel.memory.used', 'unikernel.memory.limit', 'unikernel.memory.resident'],
  ...COLLECTORS.flatMap(({ heapUsed, heapLive, heapSize, goal, limit }) => [heapUsed, heapLive, heapSize, goal, limit]),
]);

/** All series of a metric, summed where they were read together; none where nobody measured it. */
function lineOf(history: readonly Series[], metric: string | null, name: string, kind: PlotLine['kind']): readonly PlotLine[] {
  const all = history.filter(({ latest }) => latest.name === metric);
  if (all.length === 0) return [];
  const sums = new Map<number, number | null>();
  for (const { times, values } of all)
    times.forEach((time, at) => {
      const value = values[at] ?? null;
      const known = sums.get(time) ?? null;
      sums.set(time, value === null ? known : (known ?? 0) + value);
    });
  // A limit of nothing is one that is not known yet: an allocator that has not been given its memory.
  const points = [...sums]
    .sort(([a], [b]) => a - b)
    .map(([time, value]) => [time, kind === 'limit' && value === 0 ? null : value] as const);
  return [{ name, kind, times: points.map(([time]) => time), values: points.map(([, value]) => value) }];
}

/** A counter's increase since the sample before; what began anew counts from nothing. */
function toRises(line: PlotLine): PlotLine {
  const values = line.values.map((value, index) => {
    const before = index === 0 ? null : (line.values[index - 1] ?? null);
    return value === null || before === null ? null : value >= before ? value - before : value;
  });
  return { ...line, values };
}
