// Moving through what a panel or a layer shows: by rows, pages, to the ends, from match to match.

import type { Snapshot } from '../src/model/snapshot.ts';
import { overlayLines } from './compose.ts';
import { parsePattern } from './filter.ts';
import { focusOn } from './focus.ts';
import { layoutScreen } from './layout.ts';
import type { Update } from './outcome.ts';
import { only, say } from './outcome.ts';
import { bodySize, drawingOf, listHeight, rowsOf } from './panel-rows.ts';
import { isDrawnPanel, isListPanel } from './panels.ts';
import type { ScreenState } from './state.ts';
import { displayed } from './state.ts';
import { dumpShape } from './views/bytes.ts';
import { consoleStart, findMatch, followed, scrollConsole } from './views/console.ts';
import { movePosition, resolvePosition } from './views/list.ts';

/** Rows of a page of what is focused. */
export function pageHeight(state: ScreenState, live: Snapshot): number {
  if (state.overlay !== null) return bodySize(state, 'overview').height;
  return isListPanel(state.focus) ? listHeight(state.focus, displayed(state, live), state) : bodySize(state, state.focus).height;
}

/** `by` rows down (up when negative). */
export function move(state: ScreenState, by: number, live: Snapshot): Update {
  const { overlay, focus } = state;
  const shown = displayed(state, live);
  if (overlay !== null) return only({ ...state, overlay: { ...overlay, top: overlayTop(state, live, by) } });
  if (focus === 'console') return only({ ...state, console: scrollConsole(shown, state, bodySize(state, focus), by) });
  if (focus === 'bytes') return moveMemory(state, by, live);
  if (isDrawnPanel(focus)) {
    const last = Math.max(0, drawingOf(focus, shown, state).length - bodySize(state, focus).height);
    const top = Math.max(0, Math.min(last, Math.min(state.tops[focus], last) + by));
    return only({ ...state, tops: { ...state.tops, [focus]: top } });
  }
  const position = movePosition(state.lists[focus], rowsOf(focus, shown, state), listHeight(focus, shown, state), by);
  return only({ ...state, lists: { ...state.lists, [focus]: position } });
}

function overlayTop(state: ScreenState, live: Snapshot, by: number): number {
  const height = (layoutScreen(state)?.body.height ?? 2) - 1;
  const last = Math.max(0, overlayLines(live, state).length - height);
  return Math.max(0, Math.min(last, Math.min(state.overlay?.top ?? 0, last) + by));
}

function moveMemory(state: ScreenState, by: number, live: Snapshot): Update {
  const { width, height } = bodySize(state, 'bytes');
  const { perRow } = dumpShape(width);
  const from = state.memoryAt ?? live.memory?.address ?? null;
  return from === null ? only(state) : showMemory(state, from + BigInt(by * perRow), height * perRow);
}

/** Asks for guest memory from `address` on, at least a screenful, and shows the panel. */
export function showMemory(state: ScreenState, address: bigint, length: number): Update {
  const from = address < 0n ? 0n : address;
  const { width, height } = bodySize(focusOn(state, 'bytes'), 'bytes');
  const screenful = height * dumpShape(width).perRow;
  return {
    ...only({ ...focusOn(state, 'bytes'), memoryAt: from }),
    intents: [{ type: 'show-memory', address: from, length: Math.max(length, screenful) }],
  };
}

/** To the first or the last row. */
export function toEdge(state: ScreenState, to: 'start' | 'end', live: Snapshot): Update {
  const shown = displayed(state, live);
  if (state.overlay === null && state.focus === 'console') {
    return only({ ...state, console: to === 'end' ? followed(state.console) : consoleStart(shown, state) });
  }
  // The ends of memory are nowhere anybody wants to go.
  if (state.overlay === null && state.focus === 'bytes') return only(state);
  return move(state, to === 'end' ? 1_000_000_000 : -1_000_000_000, live);
}

/** To the next (or previous) row that the filter, or the last one, matches. */
export function toMatch(state: ScreenState, by: 1 | -1, live: Snapshot): Update {
  const shown = displayed(state, live);
  const typed = state.filters[state.focus] || state.lastPattern;
  const pattern = parsePattern(typed);
  if (pattern === null) return say(state, 'nothing to look for: / first');
  if (state.focus === 'console') {
    const position = findMatch(shown, state, bodySize(state, 'console'), pattern, by);
    return position === null ? say(state, `no more matches of /${typed}`) : only({ ...state, console: position });
  }
  if (!isListPanel(state.focus)) return only(state);
  const rows = rowsOf(state.focus, shown, state);
  const { index } = resolvePosition(state.lists[state.focus], rows, rows.length);
  const order = Array.from({ length: rows.length }, (_, step) => (index + by * (step + 1) + rows.length * 2) % rows.length);
  const next = order.find((at) => pattern.matches(rows[at]!.text));
  return next === undefined ? say(state, `no match of /${typed}`) : move(state, next - index, live);
}
