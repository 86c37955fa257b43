// The console panel. A console line is a block of rows: its text (wrapped), what its addresses mean, and behind the last line
// of a crash the symbolised stack. Only blocks that are on the screen are ever made: 10 000 lines cost as much as 30.

import type { Crash } from '../../src/model/crash.ts';
import type { ConsoleLine } from '../../src/model/event.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { Pattern } from '../filter.ts';
import { parsePattern } from '../filter.ts';
import type { ConsolePosition, ScreenState } from '../state.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { highlight, lineWidth, span, textWidth, wrap } from '../text.ts';
import { addressDigits, frameLine, frameText } from './frame-line.ts';

/** A row of the whole console: line number and row inside that line's block. */
type Anchor = NonNullable<ConsolePosition['top']>;

/** What is on the screen: its rows, the anchor of the first one, and whether the end is in view. */
export interface ConsoleWindow {
  readonly rows: readonly Line[];
  readonly top: Anchor | null;
  readonly atEnd: boolean;
}

/** Frames of a crash shown inside the console; the crash panel has them all. */
const INLINE_FRAMES = 24;

/** A console as it is laid out at one width: what blocks look like and which lines take part. */
interface Text {
  readonly lines: readonly ConsoleLine[];
  readonly width: number;
  readonly wrap: boolean;
  readonly pattern: Pattern | null;
  readonly marked: Pattern | null;
  readonly cursor: number | null;
  readonly crashes: readonly Crash[];
  readonly mainSource: string | null;
}

function layOut(snapshot: Snapshot, state: ScreenState, width: number): Text {
  const pattern = parsePattern(state.filters.console ?? '');
  return {
    lines: snapshot.console,
    width,
    wrap: state.console.wrap,
    pattern,
    marked: pattern ?? (state.console.cursor === null ? null : parsePattern(state.lastPattern)),
    cursor: state.console.cursor,
    crashes: snapshot.crashes.filter((crash) => crash.consoleLines !== null),
    mainSource: snapshot.console[0]?.source ?? null,
  };
}

/** The visible rows, at most `height` of them. */
export function consoleWindow(snapshot: Snapshot, state: ScreenState, width: number, height: number): ConsoleWindow {
  const text = layOut(snapshot, state, width);
  const top = state.console.top ?? endAnchor(text, height);
  if (top === null) return { rows: [], top: null, atEnd: true };
  const rows: Line[] = [];
  let skip = top.row;
  let index = indexOf(text.lines, top.line);
  for (; index < text.lines.length && rows.length < height; index += 1) {
    const block = blockOf(text, index);
    rows.push(...block.slice(skip));
    skip = 0;
  }
  const atEnd = rows.length <= height && nextIndex(text, index, 1) === null;
  return { rows: rows.slice(0, height), top, atEnd };
}

/** The position `by` rows away; following again when that shows the end. */
export function scrollConsole(
  snapshot: Snapshot,
  state: ScreenState,
  size: { readonly width: number; readonly height: number },
  by: number,
): ConsolePosition {
  const text = layOut(snapshot, state, size.width);
  const position = state.console;
  const from = position.top ?? endAnchor(text, size.height);
  if (from === null || (position.top === null && by >= 0)) return position;
  const top = by < 0 ? anchorAbove(text, from, -by) : anchorBelow(text, from, by);
  const end = endAnchor(text, size.height);
  if (end === null || !isBefore(top, end)) return followed(position);
  return { ...position, top, seen: position.top === null ? newestNumber(snapshot) : position.seen };
}

/** The console following its newest line. */
export function followed(position: ConsolePosition): ConsolePosition {
  return { ...position, top: null, cursor: null };
}

/** The position at the first line. */
export function consoleStart(snapshot: Snapshot, state: ScreenState): ConsolePosition {
  const first = snapshot.console[0];
  if (first === undefined) return state.console;
  const seen = state.console.top === null ? newestNumber(snapshot) : state.console.seen;
  return { ...state.console, top: { line: first.number, row: 0 }, seen };
}

/** The position that shows the next match of `pattern` after (or before) the last one found; null when there is none. */
export function findMatch(
  snapshot: Snapshot,
  state: ScreenState,
  size: { readonly width: number; readonly height: number },
  pattern: Pattern,
  by: 1 | -1,
): ConsolePosition | null {
  const { lines } = snapshot.console.length > 0 ? { lines: snapshot.console } : { lines: [] };
  const { top, cursor } = state.console;
  // Without an earlier match the search begins at the edge of what is seen.
  const first =
    cursor !== null ? indexOf(lines, cursor) + by : top !== null ? indexOf(lines, top.line) : by > 0 ? 0 : lines.length - 1;
  for (let index = first; index >= 0 && index < lines.length; index += by) {
    const line = lines[index]!;
    if (!pattern.matches(line.text)) continue;
    const text = layOut(snapshot, state, size.width);
    const context = anchorAbove(text, { line: line.number, row: 0 }, Math.floor(size.height / 3));
    const seen = top === null ? newestNumber(snapshot) : state.console.seen;
    return { ...state.console, cursor: line.number, top: context, seen };
  }
  return null;
}

/** Lines that came since following ended; 0 while it follows. */
function unseenLines(snapshot: Snapshot, position: ConsolePosition): number {
  return position.top === null ? 0 : Math.max(0, newestNumber(snapshot) - position.seen);
}

function newestNumber(snapshot: Snapshot): number {
  return snapshot.console.at(-1)?.number ?? 0;
}

/** The anchor that shows the last `height` rows; null for an empty console. */
function endAnchor(text: Text, height: number): Anchor | null {
  let missing = height;
  let anchor: Anchor | null = null;
  for (let index = nextIndex(text, text.lines.length - 1, -1); index !== null; index = nextIndex(text, index - 1, -1)) {
    const rows = blockOf(text, index).length;
    anchor = { line: text.lines[index]!.number, row: Math.max(0, rows - missing) };
    missing -= rows;
    if (missing <= 0) break;
  }
  return anchor;
}

function anchorAbove(text: Text, from: Anchor, by: number): Anchor {
  let { line, row } = from;
  let left = by;
  let index = indexOf(text.lines, line);
  while (left > row) {
    const above = nextIndex(text, index - 1, -1);
    if (above === null) return { line, row: 0 };
    left -= row;
    index = above;
    line = text.lines[index]!.number;
    row = blockOf(text, index).length;
  }
  return { line, row: row - left };
}

function anchorBelow(text: Text, from: Anchor, by: number): Anchor {
  let { line, row } = from;
  let left = by;
  let index = indexOf(text.lines, line);
  for (;;) {
    const rows = blockOf(text, index).length;
    if (row + left < rows) return { line, row: row + left };
    const below = nextIndex(text, index + 1, 1);
    if (below === null) return { line, row: Math.max(0, rows - 1) };
    left -= rows - row;
    index = below;
    line = text.lines[index]!.number;
    row = 0;
  }
}

function isBefore(a: Anchor, b: Anchor): boolean {
  return a.line < b.line || (a.line === b.line && a.row < b.row);
}

/** Index of the line numbered `number`, or of the first one after it. Numbers ascend. */
function indexOf(lines: readonly ConsoleLine[], number: number): number {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (lines[middle]!.number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The next index from `from` on, in direction `by`, whose line takes part; null when there is none. */
function nextIndex({ lines, pattern }: Text, from: number, by: 1 | -1): number | null {
  for (let index = from; index >= 0 && index < lines.length; index += by) {
    if (pattern === null || pattern.matches(lines[index]!.text)) return index;
  }
  return null;
}

/** All rows of one line; none when it does not take part. */
function blockOf(text: Text, index: number): readonly Line[] {
  const line = text.lines[index];
  if (line === undefined || (text.pattern !== null && !text.pattern.matches(line.text))) return [];
  const crash = text.crashes.find(({ consoleLines }) => consoleLines !== null && isWithin(line.number, consoleLines));
  const ending = text.crashes.filter(({ consoleLines }) => consoleLines?.last === line.number);
  return [...textRows(text, line, crash !== undefined), ...ending.flatMap((ended) => crashRows(ended, text.width))];
}

function isWithin(number: number, range: { readonly first: number; readonly last: number }): boolean {
  return number >= range.first && number <= range.last;
}

/** The text, then its notes: beside it where they fit, else on rows of their own. */
function textRows(text: Text, line: ConsoleLine, inCrash: boolean): readonly Line[] {
  const marker: Line = line.number === text.cursor ? [span('▶', 'key')] : [];
  const source: Line = line.source === text.mainSource ? [] : [span(`${line.source}│`, 'dim')];
  const lead = [...marker, ...source];
  const width = Math.max(8, text.width - lineWidth(lead));
  const style: Style = inCrash ? 'crash-text' : 'plain';
  const pieces = text.wrap ? wrap(line.text, width, 16, 0.7) : [line.text];
  const rows = pieces.map((piece, index): Line => {
    const body = text.marked === null ? [span(piece, style)] : highlight(piece, style, (from) => text.marked!.find(piece, from));
    return index === 0 ? [...lead, ...body] : body;
  });
  const notes = line.notes.map((note) => ({ from: line.text.slice(note.start, note.end), meaning: note.text }));
  if (notes.length === 0) return rows;
  const beside = `  ← ${notes.map(({ meaning }) => meaning).join(', ')}`;
  const last = rows.at(-1)!;
  if (lineWidth(last) + textWidth(beside) <= text.width) return [...rows.slice(0, -1), [...last, span(beside, 'note')]];
  return [
    ...rows,
    ...notes.map(({ from, meaning }): Line => [span('    ↳ ', 'dim'), span(`${from} `, 'dim'), span(meaning, 'note')]),
  ];
}

/** What the crash was, symbolised, in place. */
function crashRows(crash: Crash, width: number): readonly Line[] {
  const digits = addressDigits(crash.frames.map((frame) => frame.pc));
  const shown = crash.frames.slice(0, INLINE_FRAMES);
  const hidden = crash.frames.length - shown.length;
  const remarks = [
    ...(hidden > 0 ? [`${hidden} more frames`] : []),
    ...(crash.corrupted === null ? [] : [`text in doubt: ${crash.corrupted}`]),
    '5: registers and source',
  ];
  return [
    [span('┌ ', 'bad'), span(`✖ ${crash.kind}: `, 'bad'), span(crash.title, 'strong')],
    ...shown.map((frame): Line => [span('│ ', 'bad'), ...frameLine(frame, digits, width - 2)]),
    [span('└ ', 'bad'), span(remarks.join(' · '), 'dim')],
  ];
}

/** What the panel says while there is no line. */
export function emptyConsole(snapshot: Snapshot): readonly Line[] {
  const how = snapshot.identity?.console ?? null;
  return [[span('the guest has printed nothing yet', 'dim')], ...(how === null ? [] : [[span(`console: ${how}`, 'dim')]])];
}

/** Right end of the title: following, or how many lines are new below. */
export function consoleRemark(snapshot: Snapshot, state: ScreenState): Line {
  const unseen = unseenLines(snapshot, state.console);
  if (state.console.top === null) return [span(' following ', 'dim')];
  return unseen === 0 ? [span(' scrolled · G follows ', 'plain')] : [span(` ▼ ${unseen} new · G follows `, 'badge-warning')];
}

/** The visible lines as the guest printed them, with the stacks of crashes, for copies. */
export function consoleText(
  snapshot: Snapshot,
  state: ScreenState,
  size: { readonly width: number; readonly height: number },
): string {
  const text = layOut(snapshot, state, size.width);
  const { top } = consoleWindow(snapshot, state, size.width, size.height);
  if (top === null) return '';
  const copied: string[] = [];
  let rows = -top.row;
  for (let index = indexOf(text.lines, top.line); index < text.lines.length && rows < size.height; index += 1) {
    const block = blockOf(text, index);
    if (block.length === 0) continue;
    rows += block.length;
    const line = text.lines[index]!;
    copied.push(line.text);
    for (const crash of text.crashes) {
      if (crash.consoleLines?.last === line.number) copied.push(crash.title, ...crash.frames.map((frame) => frameText(frame)));
    }
  }
  return copied.join('\n');
}
