// Terminal cells: how wide text is, where it is cut, and the last gate that nothing but printable characters passes.
// Widths are those of single code points (string-width, UAX #11): marks of width 0 are dropped and joined emoji fall apart
// into their parts, so that a screen never depends on how a terminal shapes clusters.

import stringWidth from 'string-width';
import type { Style } from './style.ts';

/** A run of text in one style. */
export interface Span {
  readonly text: string;
  readonly style: Style;
}

/** One row of a screen or panel, left to right. */
export type Line = readonly Span[];

/** One terminal cell. The cell after a character of width 2 holds the empty string. */
export interface Cell {
  readonly char: string;
  readonly style: Style;
}

const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;
// C0, DEL, C1; soft hyphen; bidi marks, embeddings and isolates; line and paragraph separators; BOM; lone surrogates.
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\xad\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]/u;
const SUBSTITUTE = '·';

const widths = new Map<string, number>();

function characterWidth(character: string): number {
  if (character >= ' ' && character <= '~') return 1;
  const known = widths.get(character);
  if (known !== undefined) return known;
  const width = UNPRINTABLE.test(character) ? 1 : Math.min(2, stringWidth(character, { ambiguousIsNarrow: true }));
  if (widths.size > 20_000) widths.clear();
  widths.set(character, width);
  return width;
}

/** A span; `plain` unless told. */
export function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}

/** Cells that `text` takes. */
export function textWidth(text: string): number {
  if (PRINTABLE_ASCII.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** Cells that `line` takes. */
export function lineWidth(line: Line): number {
  return line.reduce((sum, { text }) => sum + textWidth(text), 0);
}

/** The longest beginning of `text` that fits into `width` cells, without a mark. */
function headOf(text: string, width: number): string {
  if (PRINTABLE_ASCII.test(text)) return text.slice(0, Math.max(0, width));
  let used = 0;
  let end = 0;
  for (const character of text) {
    used += characterWidth(character);
    if (used > width) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** `text` cut to `width` cells; a cut is shown by `…` at its end. */
export function truncate(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  return width <= 0 ? '' : `${headOf(text, width - 1)}…`;
}

/** `text` cut to `width` cells at its start (names whose end tells more): `…rest`. */
export function truncateStart(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  if (width <= 0) return '';
  const characters = Array.from(text);
  let used = 1;
  let from = characters.length;
  while (from > 0 && used + characterWidth(characters[from - 1]!) <= width) {
    from -= 1;
    used += characterWidth(characters[from]!);
  }
  return `…${characters.slice(from).join('')}`;
}

/** `text` as exactly `width` cells, cut or padded on the right. */
export function padEnd(text: string, width: number): string {
  const cut = truncate(text, width);
  return cut + ' '.repeat(Math.max(0, width - textWidth(cut)));
}

/** `text` as exactly `width` cells, cut or padded on the left. */
export function padStart(text: string, width: number): string {
  const cut = truncate(text, width);
  return ' '.repeat(Math.max(0, width - textWidth(cut))) + cut;
}

/**
 * `text` broken into pieces of at most `width` cells, at most `limit` of them; the last one shows a cut by `…`. Never empty. A piece
 * ends behind a word when that leaves it `least` full: of prose much room may be left, of a log little.
 */
export function wrap(text: string, width: number, limit = 64, least = 0.3): readonly string[] {
  const pieces: string[] = [];
  let rest = text;
  while (textWidth(rest) > width && pieces.length < limit - 1) {
    const head = beforeWord(headOf(rest, width), rest, least);
    if (head === '') break;
    pieces.push(head);
    rest = rest.slice(head.length);
  }
  return [...pieces, truncate(rest, width)];
}

/** `head` cut back to its last space, so that words and options stay whole; a word that is long itself is cut behind a `,` or `/` in it. */
function beforeWord(head: string, text: string, least: number): string {
  if (text[head.length] === ' ') return head;
  const space = head.lastIndexOf(' ');
  if (space >= head.length * least) return head.slice(0, space + 1);
  const joint = Math.max(head.lastIndexOf(','), head.lastIndexOf('/'), head.lastIndexOf(';'));
  return joint >= head.length * Math.max(0.5, least) ? head.slice(0, joint + 1) : head;
}

/** `line` as exactly `width` cells: cut with `…`, or padded with `fill` style. */
export function fit(line: Line, width: number, fill: Style = 'plain'): Line {
  const fitted: Span[] = [];
  let left = width;
  const total = lineWidth(line);
  if (total <= width) return total === width ? line : [...line, span(' '.repeat(width - total), fill)];
  for (const { text, style } of line) {
    const cells = textWidth(text);
    if (cells < left) {
      fitted.push({ text, style });
      left -= cells;
    } else {
      const cut = cells === left ? truncate(`${text} `, left) : truncate(text, left);
      fitted.push({ text: padEnd(cut, left), style });
      break;
    }
  }
  return fitted;
}

/** `left` and `right` at the two ends of `width` cells; `left` gives way when both do not fit. */
export function justify(left: Line, right: Line, width: number, fill: Style = 'plain'): Line {
  const space = width - lineWidth(right);
  return space <= 0 ? fit(right, width, fill) : [...fit(left, space, fill), ...right];
}

/** The same text, all in one style: a selected row. */
export function restyle(line: Line, style: Style): Line {
  return line.map(({ text }) => ({ text, style }));
}

/** The text alone. */
export function lineText(line: Line): string {
  return line.map(({ text }) => text).join('');
}

/** `text` with every place that contains `needle` (already lower-case when `ignoreCase`) marked in `style`. */
export function highlight(text: string, style: Style, find: (from: number) => { start: number; end: number } | null): Line {
  const spans: Span[] = [];
  let at = 0;
  for (let count = 0; count < 64; count += 1) {
    const match = find(at);
    if (match === null || match.end <= match.start) break;
    if (match.start > at) spans.push(span(text.slice(at, match.start), style));
    spans.push(span(text.slice(match.start, match.end), 'match'));
    at = match.end;
  }
  return at < text.length || spans.length === 0 ? [...spans, span(text.slice(at), style)] : spans;
}

/** The gate to the terminal: exactly `width` cells, each one printable code point (or empty, behind a wide one). */
export function toCells(line: Line, width: number): readonly Cell[] {
  const cells: Cell[] = [];
  for (const { text, style } of line) {
    for (const character of text) {
      const cellsTaken = characterWidth(character);
      if (cellsTaken === 0) continue;
      if (cells.length + cellsTaken > width) return padCells(cells, width, style);
      cells.push({ char: UNPRINTABLE.test(character) ? SUBSTITUTE : character, style });
      if (cellsTaken === 2) cells.push({ char: '', style });
    }
  }
  return padCells(cells, width, 'plain');
}

function padCells(cells: Cell[], width: number, style: Style): readonly Cell[] {
  while (cells.length < width) cells.push({ char: ' ', style });
  return cells;
}
