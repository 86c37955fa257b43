// What is selected in the focused panel, as something that can be copied as text or shown as JSON.

import { seriesKey } from '../src/model/metric.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { GuestThread } from '../src/model/thread.ts';
import { formatJson, formatSample } from './format.ts';
import { bodySize } from './panel-rows.ts';
import type { ScreenState } from './state.ts';
import { consoleText, consoleWindow } from './views/console.ts';
import { crashText, findShownCrash } from './views/crash.ts';
import { frameText } from './views/frame-line.ts';
import type { Row } from './views/list.ts';
import { resolvePosition } from './views/list.ts';
import { memoryText } from './views/memory.ts';
import { metricRows } from './views/metrics.ts';
import { overviewRows } from './views/overview.ts';
import { stackRows, stackText } from './views/stacks.ts';
import { threadRows } from './views/threads.ts';

/** A selected thing; text and JSON are made only when asked for. */
export type Selection = { readonly title: string; readonly text: () => string; readonly json: () => string } & (
  | { readonly type: 'thread'; readonly thread: GuestThread }
  | { readonly type: 'other' }
);

function select(title: string, value: unknown, text: () => string): Selection {
  return { type: 'other', title, text, json: () => formatJson(value) };
}

/** Null where nothing is selected. */
export function findSelection(state: ScreenState, snapshot: Snapshot): Selection | null {
  switch (state.focus) {
    case 'console':
      return selectConsole(state, snapshot);
    case 'stacks': {
      const row = rowAt(state, 'stacks', stackRows(snapshot, state));
      if (row === null) return null;
      if (row.frame === null) return select(`stack of ${row.stack.name}`, row.stack, () => stackText(row.stack));
      const { frame } = row;
      return select(`frame #${frame.index} of ${row.stack.name}`, frame, () => frameText(frame));
    }
    case 'threads': {
      const thread = rowAt(state, 'threads', threadRows(snapshot, state))?.thread;
      if (thread === undefined) return null;
      const text = (): string => `${thread.id} ${thread.name} ${thread.state} ${thread.waitingFor ?? ''}`.trimEnd();
      return { type: 'thread', thread, title: `thread ${thread.name}`, text, json: () => formatJson(thread) };
    }
    case 'metrics': {
      const series = rowAt(state, 'metrics', metricRows(snapshot, state))?.series ?? null;
      if (series === null) return null;
      const key = seriesKey(series.latest);
      return select(
        key,
        series,
        () => `${key} ${series.latest.value === null ? (series.latest.absent ?? 'absent') : formatSample(series.latest)}`,
      );
    }
    case 'crash': {
      const crash = findShownCrash(snapshot, state);
      return crash === null ? null : select(crash.title, crash, () => crashText(crash));
    }
    case 'memory': {
      const { memory } = snapshot;
      return memory === null ? null : select(`memory at 0x${memory.address.toString(16)}`, memory, () => memoryText(memory));
    }
    case 'overview': {
      const { identity, vm, images, diagnostics } = snapshot;
      const rows = overviewRows(snapshot, 10_000);
      return select('overview', { identity, vm, images, diagnostics }, () => rows.map(({ text }) => text).join('\n'));
    }
  }
}

function selectConsole(state: ScreenState, snapshot: Snapshot): Selection | null {
  const size = bodySize(state, 'console');
  const { top } = consoleWindow(snapshot, state, size.width, size.height);
  if (top === null) return null;
  const lines = snapshot.console.filter(({ number }) => number >= top.line).slice(0, size.height);
  return select(`console from line ${top.line}`, lines, () => consoleText(snapshot, state, size));
}

function rowAt<R extends Row>(state: ScreenState, panel: 'stacks' | 'threads' | 'metrics', rows: readonly R[]): R | null {
  return rows[resolvePosition(state.lists[panel], rows, rows.length).index] ?? null;
}
