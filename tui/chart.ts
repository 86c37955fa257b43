// Charts of block elements: an area over time with its scale at the left, and bars. Eight levels a row; an absent value is a gap.

import type { Steps } from '../src/vitals/history.ts';
import { formatAge } from './format.ts';
import type { Style } from './style.ts';
import type { Line } from './text.ts';
import { padStart, span } from './text.ts';

const EIGHTHS = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** What an area chart shows. */
export interface Area {
  readonly values: readonly (number | null)[];
  /** The value at the top; the bottom is zero. */
  readonly top: number;
  readonly height: number;
  /** Written beside the top row and the bottom row. */
  readonly labels: { readonly top: string; readonly bottom: string; readonly width: number };
  readonly styleOf: (value: number) => Style;
  /** A level to draw a line at, where the area does not reach. */
  readonly line?: number | null;
}

/** `height` lines of `labels.width + 1 + values.length` cells. */
export function areaLines({ values, top, height, labels, styleOf, line = null }: Area): readonly Line[] {
  const level = (value: number): number => (top <= 0 ? 0 : Math.round((value / top) * height * 8));
  const lineRow = line === null || top <= 0 || line > top ? -1 : Math.min(height - 1, Math.floor((line / top) * height));
  return Array.from({ length: height }, (_, from): Line => {
    const row = height - 1 - from;
    const label = row === height - 1 ? labels.top : row === 0 ? labels.bottom : '';
    const cells = values.map((value) => {
      const filled = value === null ? 0 : Math.max(value > 0 && row === 0 ? 1 : 0, Math.min(8, level(value) - row * 8));
      if (filled > 0) return span(EIGHTHS[filled] ?? '█', styleOf(value ?? 0));
      return span(row === lineRow ? '╌' : ' ', 'dim');
    });
    return [span(padStart(label, labels.width), 'dim'), span('│', 'rule'), ...joined(cells)];
  });
}

/** Neighbours of one style become one span: fewer, longer pieces draw faster. */
function joined(cells: Line): Line {
  const spans: { text: string; style: Style }[] = [];
  for (const { text, style } of cells) {
    const last = spans.at(-1);
    if (last?.style === style) last.text += text;
    else spans.push({ text, style });
  }
  return spans;
}

/** `└ 2m ago ───────────── now`. */
export function axisLine({ stepMs, count }: Steps, labelCells: number): Line {
  const from = ` ${formatAge(stepMs * count)} ago `;
  const stroke = '─'.repeat(Math.max(0, count - from.length - 5));
  return [span(' '.repeat(labelCells)), span('└', 'rule'), span(from, 'dim'), span(stroke, 'rule'), span(' now ', 'dim')];
}

/** A mark in each cell where something happened, as one string. */
export function marks(values: readonly (number | null)[], mark: string): string {
  return values.map((value) => (value !== null && value > 0 ? mark : ' ')).join('');
}

/** `███████▌░░░░░`: `value` of `limit` of `full`, `full` being the whole width. What lies behind the limit is blank. */
export function bar(value: number, limit: number, full: number, width: number, style: Style): Line {
  const cells = (amount: number): number => (full <= 0 ? 0 : Math.max(0, Math.min(width, (amount / full) * width)));
  // A little is not nothing.
  const eighths = Math.max(value > 0 ? 1 : 0, Math.round(cells(value) * 8));
  const whole = Math.floor(eighths / 8);
  const part = PARTS[eighths % 8] ?? '';
  const rest = Math.max(0, Math.round(cells(Math.max(limit, value))) - whole - part.length);
  return [
    span('█'.repeat(whole) + part, style),
    span('░'.repeat(rest), 'dim'),
    span(' '.repeat(Math.max(0, width - whole - part.length - rest))),
  ];
}

const PARTS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;
