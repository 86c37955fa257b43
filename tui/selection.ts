// What is selected in the focused panel, as something that can be copied as text or shown as JSON.

import type { Flow } from '../src/model/flow.ts';
import { seriesKey } from '../src/model/metric.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { GuestThread } from '../src/model/thread.ts';
import { formatJson, formatSample } from './format.ts';
import { bodySize, drawingOf } from './panel-rows.ts';
import type { ScreenState } from './state.ts';
import { lineText } from './text.ts';
import { bytesText } from './views/bytes.ts';
import { consoleText, consoleWindow } from './views/console.ts';
import { crashText, findShownCrash } from './views/crash.ts';
import { frameText } from './views/frame-line.ts';
import type { Row } from './views/list.ts';
import { resolvePosition } from './views/list.ts';
import { metricRows } from './views/metrics.ts';
import { networkRows } from './views/network.ts';
import { overviewRows } from './views/overview.ts';
import { stackRows, stackText } from './views/stacks.ts';
import { threadRows } from './views/threads.ts';

/** A selected thing; text and JSON are made only when asked for. */
export type Selection = { readonly title: string; readonly text: () => string; readonly json: () => string } & (
  | { readonly type: 'thread'; readonly thread: GuestThread }
  | { readonly type: 'flow'; readonly flow: Flow }
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
      if (thread == null) return null;
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
    case 'gc':
    case 'memory': {
      const panel = state.focus;
      const wanted = panel === 'gc' ? /[._](gc|memory)[._]/ : /^unikernel\.memory\./;
      const series = [...snapshot.metrics].filter(([key]) => wanted.test(key)).map(([, value]) => value);
      const text = (): string =>
        drawingOf(panel, snapshot, state)
          .map((line) => lineText(line).trimEnd())
          .join('\n');
      return select(panel, series, text);
    }
    case 'network': {
      const row = rowAt(state, 'network', networkRows(snapshot, state, bodySize(state, 'network').width));
      if (row === null) return null;
      const text = (): string => lineText(row.draw(200)).trim();
      if (row.flow !== null)
        return { type: 'flow', flow: row.flow, title: `flow ${row.flow.id}`, text, json: () => formatJson(row.flow) };
      return select(row.text, row.socket ?? row.text, text);
    }
    case 'crash': {
      const crash = findShownCrash(snapshot, state);
      return crash === null ? null : select(crash.title, crash, () => crashText(crash));
    }
    case 'bytes': {
      const { memory } = snapshot;
      return memory === null ? null : select(`memory at 0x${memory.address.toString(16)}`, memory, () => bytesText(memory));
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

function rowAt<R extends Row>(
  state: ScreenState,
  panel: 'stacks' | 'threads' | 'metrics' | 'network',
  rows: readonly R[],
): R | null {
  return rows[resolvePosition(state.lists[panel], rows, rows.length).index] ?? null;
}
