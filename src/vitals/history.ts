// What a metric's recent past tells: increase, rate, trend, and the past in equal steps of time, as charts need it. Series of one
// metric (two cards, four vCPUs) are read as their sum.

import type { Series, Snapshot } from '../model/snapshot.ts';

/** All series of a metric, those with a value first. */
export function findSeries(snapshot: Snapshot, name: string | null): readonly Series[] {
  return name === null ? [] : (seriesByName(snapshot.metrics).get(name) ?? []);
}

type Metrics = Snapshot['metrics'];

const indices = new WeakMap<Metrics, ReadonlyMap<string, readonly Series[]>>();

/** A guest may have thousands of series, a panel asks for dozens of names: they are sorted out once for each sample. */
function seriesByName(metrics: Metrics): ReadonlyMap<string, readonly Series[]> {
  const known = indices.get(metrics);
  if (known !== undefined) return known;
  const index = new Map<string, Series[]>();
  for (const series of metrics.values()) {
    const all = index.get(series.latest.name);
    if (all === undefined) index.set(series.latest.name, [series]);
    else all.push(series);
  }
  for (const all of index.values()) all.sort((a, b) => Number(a.latest.value === null) - Number(b.latest.value === null));
  indices.set(metrics, index);
  return index;
}

/** The sum of the newest values of a metric's series in the metric's own unit; null when none has one. */
export function findValue(snapshot: Snapshot, name: string | null): number | null {
  const known = findSeries(snapshot, name).flatMap(({ latest }) => latest.value ?? []);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

/** Why a metric has no value: its own words; null when it has one, or nobody measures it. */
export function findAbsence(snapshot: Snapshot, name: string): string | null {
  const [first] = findSeries(snapshot, name);
  return first === undefined || first.latest.value !== null ? null : (first.latest.absent ?? 'not measured');
}

const NANOSECONDS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** The newest value of a metric of time in nanoseconds, whatever its unit. */
export function findNanoseconds(snapshot: Snapshot, name: string | null): number | null {
  const [first] = findSeries(snapshot, name);
  const value = findValue(snapshot, name);
  return value === null || first === undefined ? null : value * (NANOSECONDS[first.latest.unit] ?? 1);
}

/** Nanoseconds of one sample of a metric of time. */
export function toNanoseconds(value: number, unit: string): number {
  return value * (NANOSECONDS[unit] ?? 1);
}

/** How much a counter rose within the last `windowMs`, and in how many milliseconds; a counter that began anew is counted from there. */
export function increaseOf(series: Series, windowMs: number): { readonly by: number; readonly ms: number } | null {
  const { times, values } = series;
  const newest = times.length - 1;
  let by = 0;
  let from = newest;
  for (let at = newest; at > 0 && (times[newest] ?? 0) - (times[at - 1] ?? 0) <= windowMs; at -= 1) {
    const now = values[at] ?? null;
    const before = values[at - 1] ?? null;
    if (now === null || before === null) break;
    by += now >= before ? now - before : 0;
    from = at - 1;
  }
  const ms = (times[newest] ?? 0) - (times[from] ?? 0);
  return ms > 0 ? { by, ms } : null;
}

/** Rates are told over so long: long enough for a collection a few seconds, short enough to follow a person's doing. */
const RATE_WINDOW_MS = 15_000;

/** Increase a second of all of a counter's series together; null before there are two samples. */
export function findRate(snapshot: Snapshot, name: string | null, windowMs = RATE_WINDOW_MS): number | null {
  return rateOf(findSeries(snapshot, name), windowMs);
}

/** Increase a second of these series together. */
export function rateOf(all: readonly Series[], windowMs = RATE_WINDOW_MS): number | null {
  const rates = all.flatMap((series) => {
    const increase = increaseOf(series, windowMs);
    return increase === null ? [] : [(increase.by / increase.ms) * 1000];
  });
  return rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0);
}

/** A trend needs so many samples over so long before it is more than noise. */
const TREND_SAMPLES = 10;
const TREND_MS = 8_000;

/** Slope of a gauge by least squares over the last `windowMs`, a second; null while there is too little to tell. */
export function trendOf(series: Series, windowMs: number): number | null {
  const newest = series.times.at(-1) ?? 0;
  const points: { readonly x: number; readonly y: number }[] = [];
  series.times.forEach((time, index) => {
    const value = series.values[index] ?? null;
    if (value !== null && newest - time <= windowMs) points.push({ x: (time - newest) / 1000, y: value });
  });
  if (points.length < TREND_SAMPLES || -(points[0]?.x ?? 0) * 1000 < TREND_MS) return null;
  const mean = (pick: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + pick(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const spread = mean((point) => (point.x - x) ** 2);
  return spread === 0 ? null : mean((point) => (point.x - x) * (point.y - y)) / spread;
}

/** Widths of a step, ms: so that a chart holds still while it moves on. */
const STEP_SECONDS = [0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 60, 120, 300, 600, 1800, 3600];
const STEPS = STEP_SECONDS.map((seconds) => seconds * 1000);

/** The past in steps of one width; the newest is last. */
export interface Steps {
  readonly stepMs: number;
  /** Number of the newest step since the epoch: steps end at full multiples of their width. */
  readonly last: number;
  readonly count: number;
}

/** The finest steps in which all that is kept of `series` fits into `count`, and no finer than it was sampled. */
export function stepsFor(series: Series | undefined, count: number): Steps {
  const times = series?.times ?? [];
  const newest = times.at(-1) ?? 0;
  const span = newest - (times[0] ?? newest);
  // 5 % more than the mean: samples that come a little late leave no gaps.
  const interval = times.length > 1 ? (span / (times.length - 1)) * 0.95 : 1000;
  const stepMs = STEPS.find((step) => step >= interval && span / step <= count) ?? STEPS.at(-1)!;
  return { stepMs, last: Math.floor(newest / stepMs), count: Math.max(0, count) };
}

/** Samples that come a little late leave no hole: a level holds for so many steps until the next one. */
const HOLDS_STEPS = 3;

/** The largest value of a gauge in each step; null where there is none. */
export function levels(series: Series | undefined, steps: Steps): readonly (number | null)[] {
  const cells = [...gather(series, steps, (known, value) => (known === null ? value : Math.max(known, value)))];
  const ends = new Set(absentSteps(series, steps));
  for (let from = 0; from < cells.length; from += 1) {
    const value = cells[from] ?? null;
    const next = cells.findIndex((cell, index) => index > from && cell !== null);
    if (value === null || next < 0 || next - from > HOLDS_STEPS) continue;
    for (let at = from + 1; at < next && !ends.has(at); at += 1) cells[at] = value;
  }
  return cells;
}

/** Cells in which somebody looked and there was no value. */
function absentSteps(series: Series | undefined, { stepMs, last, count }: Steps): readonly number[] {
  return (series?.times ?? []).flatMap((time, index) =>
    series?.values[index] === null ? [Math.floor(time / stepMs) - last + count - 1] : [],
  );
}

/** What a counter rose in each step; null where nothing is known of it. */
export function rises(series: Series | undefined, steps: Steps): readonly (number | null)[] {
  if (series === undefined) return gather(series, steps, (_known, value) => value);
  const values = series.values.map((value, index) => {
    const before = index === 0 ? null : (series.values[index - 1] ?? null);
    return value === null || before === null ? null : value >= before ? value - before : 0;
  });
  return gather({ ...series, values }, steps, (known, value) => (known ?? 0) + value);
}

function gather(
  series: Series | undefined,
  { stepMs, last, count }: Steps,
  join: (known: number | null, value: number) => number,
): readonly (number | null)[] {
  const cells: (number | null)[] = Array.from({ length: count }, () => null);
  series?.times.forEach((time, index) => {
    const value = series.values[index] ?? null;
    const cell = Math.floor(time / stepMs) - last + count - 1;
    if (value !== null && Number.isFinite(value) && cell >= 0 && cell < count) cells[cell] = join(cells[cell] ?? null, value);
  });
  return cells;
}

/** Cell by cell, the sum of what is known. */
export function addUp(rows: readonly (readonly (number | null)[])[]): readonly (number | null)[] {
  return (rows[0] ?? []).map((_, index) => {
    const known = rows.flatMap((row) => row[index] ?? []);
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
  });
}
