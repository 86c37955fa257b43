// A line chart as inline SVG: levels over time up to the end of a run, and the moment of the crash.

import { html, type Markup } from './markup.ts';

/** A line. Points oldest first, times in ms; null = not known then. */
export interface PlotLine {
  readonly name: string;
  readonly times: readonly number[];
  readonly values: readonly (number | null)[];
  /** `limit`: dashed, what must not be reached. */
  readonly kind: 'area' | 'line' | 'limit' | 'bars';
}

/** A chart. */
export interface Plot {
  readonly title: string;
  readonly lines: readonly PlotLine[];
  readonly format: (value: number) => string;
  /** Whether only whole numbers make sense as marks. */
  readonly whole: boolean;
}

/** The time that all charts of a page show, ms; `crashAt` null: it did not crash. */
export interface PlotSpan {
  readonly from: number;
  readonly to: number;
  readonly crashAt: number | null;
}

const WIDTH = 420;
const HEIGHT = 170;
const LEFT = 62;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;

/** The chart. */
export function plotFigure({ title, lines, format, whole }: Plot, span: PlotSpan): Markup {
  const top = niceTop(largest(lines), whole);
  const x = (time: number): number => LEFT + ((time - span.from) / Math.max(1, span.to - span.from)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number => HEIGHT - BOTTOM - (Math.max(0, value) / top) * (HEIGHT - TOP - BOTTOM);
  const steps = whole && top < 4 ? [0, top] : [0, top / 2, top];
  return html`<figure><figcaption>${title}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
${steps.map((value) => html`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(value))}" y2="${round(y(value))}"/><text class="y" x="${LEFT - 6}" y="${round(y(value) + 3.5)}">${format(value)}</text>`)}
${timeMarks(span).map(({ at, label, side }) => html`<text class="x ${side}" x="${round(x(at))}" y="${HEIGHT - 6}">${label}</text>`)}
${lines.map((line, index) => drawLine(line, index, x, y))}
${span.crashAt === null ? null : html`<line class="death" x1="${round(x(span.crashAt))}" x2="${round(x(span.crashAt))}" y1="${TOP - 6}" y2="${HEIGHT - BOTTOM}"><title>the crash</title></line>`}
</svg>
<div class="legend">${lines.map(({ name, kind, values }, index) => html`<span class="key c${index % COLOURS} ${kind}">${name}${lastOf(values, format)}</span> `)}</div></figure>
`;
}

const COLOURS = 6;

function drawLine(
  { name, times, values, kind }: PlotLine,
  index: number,
  x: (at: number) => number,
  y: (v: number) => number,
): Markup {
  const points = times.flatMap((time, at) => {
    const value = values[at] ?? null;
    return value === null || !Number.isFinite(value) ? [null] : [{ x: round(x(time)), y: round(y(value)) }];
  });
  const floor = round(y(0));
  const colour = `c${index % COLOURS}`;
  if (kind === 'bars') {
    const d = points
      .flatMap((point) => (point === null || point.y === floor ? [] : [`M${point.x} ${floor}V${point.y}`]))
      .join('');
    return html`<path class="${colour} bars" d="${d}"><title>${name}</title></path>`;
  }
  const runs = runsOf(points);
  const path = runs.map((run) => `M${run.map((point) => `${point.x} ${point.y}`).join('L')}`).join('');
  const under = runs
    .map((run) => `M${run[0]!.x} ${floor}L${run.map((p) => `${p.x} ${p.y}`).join('L')}L${run.at(-1)!.x} ${floor}Z`)
    .join('');
  const area = kind === 'area' ? html`<path class="${colour} under" d="${under}"/>` : null;
  return html`${area}<path class="${colour} ${kind}" d="${path}"><title>${name}</title></path>`;
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Stretches without a hole; a single point is drawn a hair wide. */
function runsOf(points: readonly (Point | null)[]): readonly (readonly Point[])[] {
  const runs: Point[][] = [];
  let open: Point[] | null = null;
  for (const point of points) {
    if (point === null) open = null;
    else if (open === null) runs.push((open = [point]));
    else open.push(point);
  }
  return runs.map((run) => (run.length === 1 ? [run[0]!, { x: run[0]!.x + 1, y: run[0]!.y }] : run));
}

function largest(lines: readonly PlotLine[]): number {
  let most = 0;
  for (const { values } of lines)
    for (const value of values) if (value !== null && Number.isFinite(value) && value > most) most = value;
  return most;
}

/** A little above the largest value; of whole numbers one that halves. */
function niceTop(value: number, whole: boolean): number {
  if (value <= 0) return 1;
  if (!whole) return value * 1.05;
  return value <= 3 ? Math.ceil(value) : Math.ceil(value / 2) * 2;
}

/** The ends, and the middle: before the crash, else after the start. */
function timeMarks({
  from,
  to,
  crashAt,
}: PlotSpan): readonly { readonly at: number; readonly label: string; readonly side: string }[] {
  const label = (at: number): string => {
    const seconds = Math.abs(at - (crashAt ?? from)) / 1000;
    const words = seconds >= 100 ? `${(seconds / 60).toFixed(1)} min` : `${seconds.toFixed(1)} s`;
    return `${crashAt === null ? '+' : '−'}${words}`;
  };
  const isAtEnd = crashAt !== null && to - crashAt <= (to - from) / 20;
  return [
    { at: from, label: label(from), side: 'first' },
    { at: (from + to) / 2, label: label((from + to) / 2), side: 'middle' },
    { at: to, label: isAtEnd ? 'crash' : label(to), side: 'last' },
  ];
}

function lastOf(values: readonly (number | null)[], format: (value: number) => string): string {
  const last = values.findLast((value) => value !== null) ?? null;
  return last === null ? '' : ` ${format(last)}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
