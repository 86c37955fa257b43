// The metrics panel: name, sparkline, value with its unit, age; grouped. An absent metric is dim and says why.

import type { Sample } from '../../src/model/metric.ts';
import { seriesKey } from '../../src/model/metric.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import { parsePattern } from '../filter.ts';
import { formatAge, formatSample, STALE_AFTER_MS } from '../format.ts';
import { increments, sparkline } from '../sparkline.ts';
import type { ScreenState } from '../state.ts';
import { referenceTime } from '../state.ts';
import type { Line } from '../text.ts';
import { padEnd, padStart, span, textWidth, truncate, truncateStart } from '../text.ts';
import type { Row } from './list.ts';

/** A row and the series it shows; null for a group's heading. */
export interface MetricRow extends Row {
  readonly series: Series | null;
}

/** From this width on values say what they count, not only how many. */
const ROOMY = 60;

type Group = 'VM' | 'Memory' | 'GC' | 'Network' | 'Other' | 'Not to be had';

/** The first pattern that matches a name decides its group; collection comes before memory, `go.memory.gc.cycles` is about GC. */
const GROUPS: readonly (readonly [Group, RegExp])[] = [
  ['GC', /(^|[._])(gc|collections?|pause|stw|goroutine)([._]|$)/],
  ['Network', /(^|[._])(network|net|tcp|udp|ip|packets?|lwip)([._]|$)/],
  ['Memory', /(^|[._])(memory|mem|heap|alloc|allocator|allocated|resident|rss|used|free|arena|pages?)([._]|$)/],
  ['VM', /^(vm|vcpu|qemu|process|system|kvm)[._]|(^|[._])(cpu|vcpu|uptime|ticks?|halted)([._]|$)/],
];
const ORDER: readonly Group[] = ['VM', 'Memory', 'GC', 'Network', 'Other', 'Not to be had'];

/** Absent metrics come last, together: what can be read must not be pushed out of sight by what cannot. */
function groupOf({ name, value }: Sample): Group {
  if (value === null) return 'Not to be had';
  return GROUPS.find(([, pattern]) => pattern.test(name))?.[0] ?? 'Other';
}

/** Series of all metrics in their groups. */
export function metricRows(snapshot: Snapshot, state: ScreenState): readonly MetricRow[] {
  const pattern = parsePattern(state.filters.metrics ?? '');
  const now = referenceTime(state, snapshot);
  const all = [...snapshot.metrics.values()].filter(({ latest }) => pattern === null || pattern.matches(seriesKey(latest)));
  return ORDER.flatMap((group): readonly MetricRow[] => {
    const members = all.filter(({ latest }) => groupOf(latest) === group).sort(byName);
    if (members.length === 0) return [];
    const heading: MetricRow = {
      key: `group:${group}`,
      series: null,
      text: group,
      draw: () => [span(group, 'strong')],
      heading: true,
    };
    return [heading, ...members.map((series) => rowOf(series, now, all))];
  });
}

function byName(a: Series, b: Series): number {
  return seriesKey(a.latest) < seriesKey(b.latest) ? -1 : 1;
}

function rowOf(series: Series, now: number, all: readonly Series[]): MetricRow {
  const key = seriesKey(series.latest);
  return { key, series, text: key, draw: (width) => metricLine(series, now, all, width) };
}

/** `heap.used ▁▂▄▆█  12.4 MiB  1s`: the value and its age are never cut, the sparkline gives way first. */
function metricLine(series: Series, now: number, all: readonly Series[], width: number): Line {
  const { latest, at } = series;
  const attributes = Object.values(latest.attributes).join(' ');
  const name = attributes === '' ? latest.name : `${latest.name} ${attributes}`;
  if (latest.value === null) return absentLine(name, latest.absent, width);
  const age = now - at;
  const stale = age > STALE_AFTER_MS;
  const bare = width < ROOMY;
  const value = formatSample(latest, bare);
  const valueWidth = all.reduce((most, other) => Math.max(most, textWidth(formatSample(other.latest, bare))), 0);
  const ageWidth = 4;
  const sparkWidth = width >= 44 ? Math.min(40, Math.floor(width / 4)) : width >= 30 ? 5 : 0;
  const nameWidth = Math.max(0, width - 1 - valueWidth - ageWidth - (sparkWidth === 0 ? 0 : sparkWidth + 1) - 1);
  const history = latest.kind === 'counter' ? increments(series.values) : series.values;
  return [
    span(' '),
    span(padEnd(shortName(name, nameWidth), nameWidth), stale ? 'dim' : 'plain'),
    ...(sparkWidth === 0 ? [] : [span(' '), span(sparkline(history, sparkWidth), stale ? 'dim' : 'spark')]),
    span(' '),
    span(padStart(value, valueWidth), stale ? 'dim' : 'strong'),
    span(padStart(formatAge(age), ageWidth), 'dim'),
  ];
}

function absentLine(name: string, why: string | null, width: number): Line {
  const shown = shortName(name, Math.max(10, Math.floor(width * 0.45)));
  return [span(' '), span(`${shown} `, 'dim'), span(truncate(`– ${why ?? 'not measured'}`, width - textWidth(shown) - 2), 'dim')];
}

/**
 * A dotted name that is too long has its first parts cut down to three letters or one, as few as must be: `uni.mem.heap.used`,
 * `u.m.heap.used net0`. Its end and its attributes say most; where even that does not fit, its start is cut.
 */
export function shortName(name: string, width: number): string {
  if (textWidth(name) <= width) return name;
  const [dotted = '', ...attributes] = name.split(' ');
  const parts = dotted.split('.').slice(0, 12);
  let best: string | null = null;
  for (let ones = 0; ones < parts.length; ones += 1) {
    for (let threes = ones; threes < parts.length; threes += 1) {
      const short = parts.map((part, index) => part.slice(0, index < ones ? 1 : index < threes ? 3 : part.length)).join('.');
      const whole = [short, ...attributes].join(' ');
      if (textWidth(whole) <= width && (best === null || whole.length > best.length)) best = whole;
    }
  }
  return best ?? truncateStart(name, width);
}

/** What the panel says while there is nothing to show. */
export function emptyMetrics(): readonly Line[] {
  return [[span('no metric has been read yet', 'dim')]];
}
