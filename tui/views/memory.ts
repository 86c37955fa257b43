// The memory panel: what the VM was given, what that costs the host, and what the guest uses of its own limit, three bars never
// mixed; where it is going, and when it will be full.

import { COLLECTORS } from '../../src/model/collectors.ts';
import { formatSize } from '../../src/model/quantity.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import { findAbsence, findSeries, findValue, levels, rateOf, stepsFor, trendOf } from '../../src/vitals/history.ts';
import { areaLines, axisLine, bar } from '../chart.ts';
import { fact, factLines } from '../facts.ts';
import { formatSample, formatShare, formatSpan } from '../format.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { padEnd, span, textWidth, wrap } from '../text.ts';
import { findingLines } from './findings.ts';

const LABEL_CELLS = 9;
const CHART_ROWS = { least: 3, most: 12 };
const TREND_MS = 60_000;
/** A use that changes by less than this part of itself in a minute stands still for a person's purposes: allocators breathe. */
const STANDS_STILL = 0.02;
const SOON_SECONDS = { bad: 600, warning: 3600 };

/** How full a memory is, as a colour: a warning from 80 %, an alarm from 95 %. */
export function fullnessStyle(share: number): Style {
  return share >= 0.95 ? 'bad' : share >= 0.8 ? 'warning' : 'good';
}

/** The guest's use of its memory and the most that can be. `limit` null: not known. */
export interface Usage {
  readonly used: number;
  readonly limit: number | null;
}

/** Null while no probe measures it. */
export function findUsage(snapshot: Snapshot): Usage | null {
  const used = findValue(snapshot, 'unikernel.memory.used');
  const limit = findValue(snapshot, 'unikernel.memory.limit');
  return used === null ? null : { used, limit: limit !== null && limit > 0 ? limit : null };
}

/** The whole panel for this size; longer than `height` when there is more to say. */
export function memoryLines(snapshot: Snapshot, width: number, height: number): readonly Line[] {
  const findings = findingLines(snapshot, 'memory', width);
  const bars = barLines(snapshot, width);
  const facts = [...trendLines(snapshot, width), ...countLines(snapshot, width)];
  const heaps = heapLines(snapshot, width);
  const others = findings.length + bars.length + facts.length + heaps.length + 1;
  const rows = Math.max(CHART_ROWS.least, Math.min(CHART_ROWS.most, height - others));
  return [...findings, ...bars, ...facts.slice(0, 2), ...chartLines(snapshot, width, rows), ...facts.slice(2), ...heaps];
}

// --- bars

function barLines(snapshot: Snapshot, width: number): readonly Line[] {
  const allocated = findValue(snapshot, 'unikernel.memory.allocated') ?? snapshot.identity?.memoryBytes ?? null;
  const resident = findValue(snapshot, 'unikernel.memory.resident');
  const usage = findUsage(snapshot);
  const full = Math.max(1, allocated ?? 0, resident ?? 0, usage?.used ?? 0, usage?.limit ?? 0);
  const long = width >= 60;
  const labels = long ? ['allocated to the VM', 'resident on the host', 'used by the guest'] : ['given', 'on host', 'guest'];
  const line = (label: string, value: Line, drawn: (cells: number) => Line): Line => {
    const room = width - 1 - (long ? 22 : 8) - (long ? 34 : 17);
    return [span(` ${padEnd(label, long ? 22 : 8)}`), ...(room < 4 ? [] : drawn(room - 1)), span(' '), ...value];
  };
  const simple = (label: string, bytes: number | null, name: string, style: Style): Line =>
    bytes === null
      ? line(label, [span(`– ${findAbsence(snapshot, name) ?? 'not measured'}`, 'dim')], () => [])
      : line(label, [span(formatSize(bytes), 'strong')], (cells) => bar(bytes, 0, full, cells, style));
  return [
    simple(labels[0]!, allocated, 'unikernel.memory.allocated', 'dim'),
    simple(labels[1]!, resident, 'unikernel.memory.resident', 'note'),
    ...(usage === null ? guestAbsent(snapshot, labels[2]!, width, long) : [usedLine(usage, full, labels[2]!, line, long)]),
  ];
}

function usedLine(
  { used, limit }: Usage,
  full: number,
  label: string,
  line: (label: string, value: Line, drawn: (cells: number) => Line) => Line,
  long: boolean,
): Line {
  const style = limit === null ? 'good' : fullnessStyle(used / limit);
  const most = limit === null ? '' : long ? ` of ${formatSize(limit)} ` : ' ';
  const share = limit === null ? [] : [span(formatShare(used / limit), style === 'good' ? 'strong' : style)];
  return line(label, [span(formatSize(used), style === 'good' ? 'strong' : style), span(most, 'dim'), ...share], (cells) =>
    bar(used, limit ?? 0, full, cells, style),
  );
}

function guestAbsent(snapshot: Snapshot, label: string, width: number, long: boolean): readonly Line[] {
  const why = findAbsence(snapshot, 'unikernel.memory.used') ?? "no probe reads this guest's allocator";
  const head = padEnd(label, long ? 22 : 8);
  return wrap(`– ${why}`, width - head.length - 1, 3).map(
    (text, index): Line => [span(` ${index === 0 ? head : ' '.repeat(head.length)}`), span(text, 'dim')],
  );
}

// --- where it is going

/** Two lines at least: free, peak and trend; when it will be full, or why nobody can tell. */
function trendLines(snapshot: Snapshot, width: number): readonly Line[] {
  const used = findSeries(snapshot, 'unikernel.memory.used')[0];
  const free = findValue(snapshot, 'unikernel.memory.free');
  const peak = findValue(snapshot, 'unikernel.memory.used.peak');
  const trend = used === undefined ? null : trendOf(used, TREND_MS);
  const facts = factLines(
    null,
    [
      ...(free === null ? [] : [fact('free', formatSize(free))]),
      ...(peak === null ? [] : [fact('peak', formatSize(peak))]),
      ...(trend === null ? [] : [fact('trend', formatTrend(trend * 60, used?.latest.value ?? 0))]),
    ],
    width,
  );
  return [...facts, ...forecastLines(snapshot, width)];
}

function formatTrend(perMinute: number, used: number): string {
  if (Math.abs(perMinute) < used * STANDS_STILL) return 'level';
  return `${perMinute > 0 ? '+' : '−'}${formatSize(Math.abs(perMinute))}/min`;
}

/** `full in 14m at this pace`, coloured by how soon; else the reason why there is no forecast. */
function forecastLines(snapshot: Snapshot, width: number): readonly Line[] {
  const seconds = findValue(snapshot, EXHAUSTION);
  if (seconds !== null) {
    const style: Style = seconds < SOON_SECONDS.bad ? 'bad' : seconds < SOON_SECONDS.warning ? 'warning' : 'strong';
    return factLines(null, [fact('full in', `${formatSpan(seconds)}, at this pace`, style)], width);
  }
  const why = findAbsence(snapshot, EXHAUSTION);
  return why === null ? [] : wrap(`no forecast: ${why}`, width - 1, 2).map((text): Line => [span(` ${text}`, 'dim')]);
}

const EXHAUSTION = 'unikernel.memory.exhaustion.time';

function chartLines(snapshot: Snapshot, width: number, height: number): readonly Line[] {
  const [used] = findSeries(snapshot, 'unikernel.memory.used');
  if (used === undefined || used.latest.value === null) return [];
  const steps = stepsFor(used, width - LABEL_CELLS - 1);
  const values = levels(used, steps);
  const limit = findValue(snapshot, 'unikernel.memory.limit');
  const peak = Math.max(1, ...values.map((value) => value ?? 0));
  // Against its limit as soon as that is in sight, so that a small use is not drawn as nothing.
  const top = limit !== null && limit > 0 && peak >= limit / 4 ? limit : peak;
  const area = areaLines({
    values,
    top,
    height,
    labels: { top: formatSize(top), bottom: '0', width: LABEL_CELLS },
    styleOf: (value) => (limit === null || limit <= 0 ? 'spark' : fullnessStyle(value / limit)),
  });
  return [...area, axisLine(steps, LABEL_CELLS)];
}

// --- allocator and heaps

/** Shown above, or what the host counts and not the guest. */
const TOLD = /^unikernel\.memory\.(allocated|resident|proportional|balloon|used|free|limit|used\.peak|exhaustion\.time)$/;

/** What else the allocator counts: a counter with its pace, a gauge with its value; what failed is red as soon as it is not zero. */
function countLines(snapshot: Snapshot, width: number): readonly Line[] {
  const counts = [...snapshot.metrics.values()]
    .filter(({ latest }) => latest.name.startsWith('unikernel.memory.') && !TOLD.test(latest.name) && latest.value !== null)
    .sort((a, b) => (a.latest.name < b.latest.name ? -1 : 1));
  return factLines(null, counts.slice(0, 24).map(countFact), width);
}

function countFact(series: Series): Line {
  const { latest } = series;
  const attributes = Object.values(latest.attributes).join(' ');
  const label = `${latest.name.slice('unikernel.memory.'.length).replaceAll('.', ' ')}${attributes === '' ? '' : ` ${attributes}`}`;
  const rate = latest.kind === 'counter' ? rateOf([series]) : null;
  const pace = rate === null || rate < 0.5 ? '' : ` ${formatSample({ ...latest, value: Math.round(rate) }, true)}/s`;
  const failed = /fail/.test(label) && (latest.value ?? 0) > 0;
  return fact(label, `${formatSample(latest, true)}${pace}`, failed ? 'bad' : 'strong');
}

/** Heaps of language runtimes: part of what the guest uses, never added to it. */
function heapLines(snapshot: Snapshot, width: number): readonly Line[] {
  const heaps = COLLECTORS.flatMap(({ title, heapUsed, heapSize }) => {
    const used = findValue(snapshot, heapUsed);
    return used === null ? [] : [{ title, used, size: heapSize === heapUsed ? null : findValue(snapshot, heapSize) }];
  });
  return heaps.map(({ title, used, size }): Line => {
    const value = `${formatSize(used)}${size === null ? '' : ` of ${formatSize(size)}`}`;
    const room = width - 2 - Math.max(10, title.length + 6) - textWidth(value) - 1;
    return [
      span(` ${padEnd(`${title} heap`, Math.max(10, title.length + 6))}`),
      ...(room < 4 ? [] : bar(used, size ?? used, Math.max(1, used, size ?? 0), Math.min(room, 40), 'spark')),
      span(` ${value}`, 'strong'),
    ];
  });
}
