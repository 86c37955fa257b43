// The GC panel: for each collector its pace, its pauses, and its heap over time with a mark wherever it collected.

import type { Collector } from '../../src/model/collectors.ts';
import { COLLECTORS } from '../../src/model/collectors.ts';
import { formatNanoseconds, formatSize } from '../../src/model/quantity.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Steps } from '../../src/vitals/history.ts';
import {
  addUp,
  findAbsence,
  findNanoseconds,
  findRate,
  findSeries,
  findValue,
  levels,
  rises,
  stepsFor,
  toNanoseconds,
} from '../../src/vitals/history.ts';
import { areaLines, axisLine, marks } from '../chart.ts';
import { fact, factLines } from '../facts.ts';
import { formatCount, formatShare } from '../format.ts';
import { sparkline } from '../sparkline.ts';
import type { Line } from '../text.ts';
import { span, wrap } from '../text.ts';
import { findingLines } from './findings.ts';

/** Collections are rare: their rate is told over a minute. */
export const GC_WINDOW_MS = 60_000;
const LABEL_CELLS = 9;
/** Below this height numbers need the rows more than the chart does. */
const LOW = 14;
const CHART_ROWS = { least: 3, most: 12 };

/** The whole panel for this size; longer than `height` when there is more to say. */
export function gcLines(snapshot: Snapshot, width: number, height: number): readonly Line[] {
  const findings = findingLines(snapshot, 'gc', width);
  const measured = COLLECTORS.filter((collector) => isMeasured(snapshot, collector));
  const silent = COLLECTORS.filter((collector) => !isMeasured(snapshot, collector)).flatMap((collector) =>
    whyNot(snapshot, collector, width),
  );
  if (measured.length === 0) return [...findings, ...(silent.length > 0 ? silent : nothing(snapshot))];
  const share = Math.floor((height - findings.length) / measured.length);
  return [...findings, ...measured.flatMap((collector) => blockLines(snapshot, collector, width, share)), ...silent];
}

function nothing({ identity }: Snapshot): readonly Line[] {
  return [
    [span(identity === null ? 'attaching …' : 'no garbage collector is known here', 'dim')],
    [span('(a runtime that has one is found by its symbols: --symbols ELF)', 'dim')],
  ];
}

/** Whether anything of a collector has a value. */
export function isMeasured(snapshot: Snapshot, { cycles, heapUsed }: Collector): boolean {
  return findValue(snapshot, cycles) !== null || findValue(snapshot, heapUsed) !== null;
}

function whyNot(snapshot: Snapshot, { title, cycles, heapUsed }: Collector, width: number): readonly Line[] {
  const why = findAbsence(snapshot, cycles) ?? findAbsence(snapshot, heapUsed);
  return why === null ? [] : wrap(`${title} – ${why}`, width - 1, 4).map((text): Line => [span(` ${text}`, 'dim')]);
}

function blockLines(snapshot: Snapshot, collector: Collector, width: number, height: number): readonly Line[] {
  const head = paceLines(snapshot, collector, width);
  const facts = [
    ...pauseLines(snapshot, collector, width),
    ...heapLines(snapshot, collector, width),
    ...absentLines(snapshot, collector, width),
  ];
  // Below the area: marks, pauses and the axis; a low place has room for the marks alone.
  const isLow = height < LOW;
  const rows = Math.max(CHART_ROWS.least, Math.min(CHART_ROWS.most, height - head.length - facts.length - 3));
  return [...head, ...chartLines(snapshot, collector, { width, height: rows, isLow }), ...facts];
}

function paceLines(snapshot: Snapshot, collector: Collector, width: number): readonly Line[] {
  const cycles = findValue(snapshot, collector.cycles);
  const minor = findValue(snapshot, collector.minorCycles);
  const perMinute = (name: string | null): string => {
    const rate = findRate(snapshot, name, GC_WINDOW_MS);
    return rate === null ? '' : `  ${formatRate(rate * 60)}/min`;
  };
  const series = findSeries(snapshot, collector.allocated)[0];
  const allocating = findRate(snapshot, collector.allocated);
  return factLines(
    span(`${collector.title}  `, 'strong'),
    [
      ...(cycles === null
        ? []
        : [fact(minor === null ? 'cycles' : 'major', `${formatCount(cycles)}${perMinute(collector.cycles)}`)]),
      ...(minor === null ? [] : [fact('minor', `${formatCount(minor)}${perMinute(collector.minorCycles)}`)]),
      ...(allocating === null || series === undefined ? [] : [fact('allocates', formatAmount(allocating, series.latest.unit))]),
    ],
    width,
  );
}

/** `12.4`, `0.5`, `1 204`: what happens a minute. */
function formatRate(value: number): string {
  return value >= 100 ? formatCount(Math.round(value)) : value.toFixed(value >= 10 || value === 0 ? 0 : 1);
}

function formatAmount(perSecond: number, unit: string): string {
  if (unit === 'By') return `${formatSize(perSecond)}/s`;
  return `${formatCount(Math.round(perSecond))} ${unit.replace(/[{}]/g, '')}s/s`;
}

function pauseLines(snapshot: Snapshot, collector: Collector, width: number): readonly Line[] {
  const last = findNanoseconds(snapshot, collector.pauseLast);
  const total = findNanoseconds(snapshot, collector.pauseTime);
  const [time] = findSeries(snapshot, collector.pauseTime);
  const rate = findRate(snapshot, collector.pauseTime, GC_WINDOW_MS);
  // Nanoseconds of pause in a second of time.
  const share = rate === null || time === undefined ? null : toNanoseconds(rate, time.latest.unit) / 1e9;
  const quantiles = findSeries(snapshot, collector.pauses)
    .flatMap(({ latest }) =>
      latest.value === null
        ? []
        : [{ quantile: Number(latest.attributes.quantile), ns: toNanoseconds(latest.value, latest.unit) }],
    )
    .filter(({ quantile }) => quantile >= 0 && quantile <= 1)
    .sort((a, b) => a.quantile - b.quantile)
    .slice(0, 8);
  return factLines(
    span(' pauses  ', 'dim'),
    [
      ...(last === null ? [] : [fact('last', formatNanoseconds(last), last >= LONG_PAUSE_NS ? 'warning' : 'strong')]),
      ...(total === null ? [] : [fact('total', formatNanoseconds(total))]),
      ...(share === null
        ? []
        : [fact('of the time', formatShare(share), share >= 0.1 ? 'bad' : share >= 0.02 ? 'warning' : 'strong')]),
      ...quantiles.map(({ quantile, ns }) => fact(quantileName(quantile), formatNanoseconds(ns))),
    ],
    width,
  );
}

/** A tenth of a second is what a person waiting notices. */
const LONG_PAUSE_NS = 1e8;

function quantileName(quantile: number): string {
  if (quantile === 0 || quantile === 1) return quantile === 0 ? 'min' : 'max';
  return `p${String(Number((quantile * 100).toFixed(2)))}`;
}

function heapLines(snapshot: Snapshot, collector: Collector, width: number): readonly Line[] {
  const used = findValue(snapshot, collector.heapUsed);
  const sizes = [
    ['used', used],
    ['live', findValue(snapshot, collector.heapLive)],
    ['size', collector.heapSize === collector.heapUsed ? null : findValue(snapshot, collector.heapSize)],
    ['next at', findValue(snapshot, collector.goal)],
    ['limit', findValue(snapshot, collector.limit)],
  ] as const;
  return factLines(
    span(' heap    ', 'dim'),
    sizes.flatMap(([label, value]) => (value === null ? [] : [fact(label, formatSize(value))])),
    width,
  );
}

function namesOf({
  cycles,
  minorCycles,
  pauseTime,
  pauseLast,
  pauses,
  heapUsed,
  heapLive,
  ...sizes
}: Collector): ReadonlySet<string> {
  const { heapSize, goal, limit, allocated } = sizes;
  const names = [cycles, minorCycles, pauseTime, pauseLast, pauses, heapUsed, heapLive, heapSize, goal, limit, allocated];
  return new Set(names.filter((name) => name !== null));
}

/** What this collector might tell and does not, reasons that are the same told once. */
function absentLines(snapshot: Snapshot, collector: Collector, width: number): readonly Line[] {
  const reasons = new Map<string, string[]>();
  for (const name of namesOf(collector)) {
    const why = findAbsence(snapshot, name);
    if (why !== null) reasons.set(why, [...(reasons.get(why) ?? []), name.split('.').slice(-2).join('.')]);
  }
  return [...reasons].flatMap(([why, what]) =>
    wrap(`– ${what.join(', ')}: ${why}`, width - 1, 3).map((text): Line => [span(` ${text}`, 'dim')]),
  );
}

interface ChartSize {
  readonly width: number;
  readonly height: number;
  readonly isLow: boolean;
}

function chartLines(snapshot: Snapshot, collector: Collector, { width, height, isLow }: ChartSize): readonly Line[] {
  const all = findSeries(snapshot, collector.heapUsed);
  const steps = stepsFor(all[0] ?? findSeries(snapshot, collector.cycles)[0], width - LABEL_CELLS - 1);
  const values = addUp(all.map((series) => levels(series, steps)));
  const goal = findValue(snapshot, collector.goal);
  const top = Math.max(1, goal ?? 0, ...values.map((value) => value ?? 0));
  const area = areaLines({
    values,
    top,
    height,
    labels: { top: formatSize(top), bottom: '0', width: LABEL_CELLS },
    styleOf: () => 'spark',
    line: goal,
  });
  const below = collectionLines(snapshot, collector, steps);
  return [...(all.length === 0 ? [] : area), ...(isLow ? below.slice(0, 1) : [...below, axisLine(steps, LABEL_CELLS)])];
}

/** Under the area: where it collected, and for how long it paused. */
function collectionLines(snapshot: Snapshot, collector: Collector, steps: Steps): readonly Line[] {
  const risesOf = (name: string | null): readonly (number | null)[] =>
    addUp(findSeries(snapshot, name).map((series) => rises(series, steps)));
  const major = marks(risesOf(collector.cycles), '▴');
  const minor = marks(risesOf(collector.minorCycles), '·').padEnd(major.length);
  const both = Array.from(major, (mark, index) => (mark === ' ' ? (minor[index] ?? ' ') : mark)).join('');
  // No pause is a gap, so that a short one is not taken for none.
  const pauses = risesOf(collector.pauseTime).map((value) => (value === 0 ? null : value));
  const label = (text: string): Line => [span(text.padStart(LABEL_CELLS), 'dim'), span('│', 'rule')];
  return [
    [...label('cycles'), span(both, 'note')],
    ...(findSeries(snapshot, collector.pauseTime).length > 0
      ? [[...label('pauses'), span(sparkline(pauses, steps.count), 'warning')]]
      : []),
  ];
}
