// What all panels have in common: the rows of a list panel, by name, and the size of a panel's body.

import type { Snapshot } from '../src/model/snapshot.ts';
import { parsePattern } from './filter.ts';
import { bodyOf, findPanel, layoutScreen } from './layout.ts';
import type { DrawnPanel, ListPanel, PanelName } from './panels.ts';
import type { ScreenState } from './state.ts';
import type { Line } from './text.ts';
import { lineText } from './text.ts';
import { crashFrameHeight, crashRows } from './views/crash.ts';
import { gcLines } from './views/gc.ts';
import type { Row } from './views/list.ts';
import { memoryLines } from './views/memory.ts';
import { metricRows } from './views/metrics.ts';
import { networkRows } from './views/network.ts';
import { overviewRows } from './views/overview.ts';
import { stackRows } from './views/stacks.ts';
import { threadRows } from './views/threads.ts';

/** All rows of a list panel, drawn only when asked. */
export function rowsOf(name: ListPanel, snapshot: Snapshot, state: ScreenState): readonly Row[] {
  switch (name) {
    case 'stacks':
      return stackRows(snapshot, state);
    case 'metrics':
      return metricRows(snapshot, state);
    case 'threads':
      return threadRows(snapshot, state);
    case 'network':
      return networkRows(snapshot, state, bodySize(state, 'network').width);
    case 'crash':
      return crashRows(snapshot, state);
    case 'overview':
      return matching(overviewRows(snapshot, bodySize(state, 'overview').width), state.filters.overview);
  }
}

/** All lines of a panel that is one drawing. */
export function drawingOf(name: DrawnPanel, snapshot: Snapshot, state: ScreenState): readonly Line[] {
  const { width, height } = bodySize(state, name);
  const pattern = parsePattern(state.filters[name] ?? '');
  const lines = name === 'gc' ? gcLines(snapshot, width, height) : memoryLines(snapshot, width, height);
  return pattern === null ? lines : lines.filter((line) => pattern.matches(lineText(line)));
}

function matching(rows: readonly Row[], filter: string | undefined): readonly Row[] {
  const pattern = parsePattern(filter ?? '');
  return pattern === null ? rows : rows.filter((row) => pattern.matches(row.text));
}

/** Width and height of a panel's body; of the whole screen's body when the panel is not on it. */
export function bodySize(state: ScreenState, name: PanelName): { readonly width: number; readonly height: number } {
  const layout = layoutScreen(state);
  if (layout === null) return { width: state.size.columns, height: 1 };
  const { width, height } = bodyOf(findPanel(layout, name) ?? layout.body);
  return { width, height: Math.max(1, height) };
}

/** Rows of a list that are visible at once. */
export function listHeight(name: ListPanel, snapshot: Snapshot, state: ScreenState): number {
  const { height } = bodySize(state, name);
  // Three lines say what the crash was; the frames share the rest with the source.
  return name === 'crash' ? crashFrameHeight(crashRows(snapshot, state).length, height - 3) : height;
}
