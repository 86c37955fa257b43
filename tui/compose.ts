// The whole screen as lines of cells: header, panels side by side, footer, and a layer over them. Pure: the same snapshot,
// state and size always give the same screen.

import type { Snapshot } from '../src/model/snapshot.ts';
import { activeContexts } from './keymap.ts';
import type { PlacedPanel, Rect, ScreenLayout } from './layout.ts';
import { bodyOf, layoutScreen, SMALLEST } from './layout.ts';
import { drawingOf, rowsOf } from './panel-rows.ts';
import type { DrawnPanel, PanelName, Slot } from './panels.ts';
import { getPanel, isDrawnPanel, PANELS } from './panels.ts';
import type { ScreenState } from './state.ts';
import { displayed, referenceTime } from './state.ts';
import type { Style } from './style.ts';
import type { Line, Span } from './text.ts';
import { fit, justify, lineWidth, span } from './text.ts';
import { bytesRemark, drawBytes } from './views/bytes.ts';
import { consoleRemark, consoleWindow, emptyConsole } from './views/console.ts';
import { crashRemark, drawCrash } from './views/crash.ts';
import { evaluationLines } from './views/evaluations.ts';
import { drawFooter } from './views/footer.ts';
import { helpLines } from './views/help.ts';
import { drawList, fillRows } from './views/list.ts';
import { emptyMetrics } from './views/metrics.ts';
import { flowLines, networkRemark } from './views/network.ts';
import { registerLines } from './views/registers.ts';
import { emptyStacks, stacksRemark } from './views/stacks.ts';
import { drawStatusBar } from './views/status-bar.ts';
import { emptyThreads, threadsRemark } from './views/threads.ts';

/** Exactly `state.size.rows` lines, each of `state.size.columns` cells. */
export function drawScreen(live: Snapshot, state: ScreenState): readonly Line[] {
  const layout = layoutScreen(state);
  if (layout === null) return drawTooSmall(state);
  const header = fillRows(drawStatusBar(live, state, layout.header), layout.header);
  const body = state.overlay === null ? drawPanels(displayed(state, live), state, layout) : drawOverlay(live, state, layout.body);
  return [...header, ...body, drawFooter(live, state, layout.footer.width)];
}

function drawTooSmall({ size }: ScreenState): readonly Line[] {
  const words = `${size.columns}×${size.rows} is too small: ${SMALLEST.columns}×${SMALLEST.rows} or more, please (q quits)`;
  return fillRows([[span(words)]], { width: size.columns, height: size.rows });
}

function drawPanels(snapshot: Snapshot, state: ScreenState, { body, panels }: ScreenLayout): readonly Line[] {
  const drawn = panels.map((placed) => ({ rect: placed.rect, lines: drawPanel(snapshot, state, placed) }));
  return Array.from({ length: body.height }, (_, row) => joinRow(drawn, body, body.top + row));
}

/** One row of the body: its panels from left to right, with dividers in the columns between. */
function joinRow(drawn: readonly { readonly rect: Rect; readonly lines: readonly Line[] }[], body: Rect, y: number): Line {
  const here = drawn.filter(({ rect }) => y >= rect.top && y < rect.top + rect.height).sort((a, b) => a.rect.left - b.rect.left);
  const joined: Span[] = [];
  for (const { rect, lines } of here) {
    if (rect.left > 0) joined.push(span(rect.top !== y ? '│' : here.every((other) => other.rect.top === y) ? '┬' : '├', 'rule'));
    joined.push(...(lines[y - rect.top] ?? []));
  }
  return fit(joined, body.width);
}

function drawPanel(snapshot: Snapshot, state: ScreenState, placed: PlacedPanel): readonly Line[] {
  const focused = placed.panel === state.focus;
  return [drawTitle(snapshot, state, placed, focused), ...drawBody(snapshot, state, placed.panel, bodyOf(placed.rect), focused)];
}

function drawBody(snapshot: Snapshot, state: ScreenState, panel: PanelName, area: Rect, focused: boolean): readonly Line[] {
  if (panel === 'console') {
    const { rows } = consoleWindow(snapshot, state, area.width, area.height);
    return fillRows(rows.length > 0 ? rows : emptyOf(panel, snapshot, state), area);
  }
  if (panel === 'bytes') return drawBytes(snapshot, area);
  if (isDrawnPanel(panel)) return drawDrawing(panel, snapshot, state, area);
  if (panel === 'crash') return drawCrash(snapshot, state, area, focused);
  const rows = rowsOf(panel, snapshot, state);
  return drawList(rows, state.lists[panel], area, focused, emptyOf(panel, snapshot, state));
}

function drawDrawing(panel: DrawnPanel, snapshot: Snapshot, state: ScreenState, area: Rect): readonly Line[] {
  const lines = drawingOf(panel, snapshot, state);
  const top = Math.max(0, Math.min(state.tops[panel], lines.length - area.height));
  return fillRows(lines.length > 0 ? lines.slice(top) : emptyOf(panel, snapshot, state), area);
}

function emptyOf(panel: PanelName, snapshot: Snapshot, state: ScreenState): readonly Line[] {
  const filter = state.filters[panel] ?? '';
  if (filter !== '') return [[span(`nothing matches /${filter}`, 'dim')]];
  if (panel === 'console') return emptyConsole(snapshot);
  if (panel === 'stacks') return emptyStacks(snapshot);
  return panel === 'threads' ? emptyThreads() : emptyMetrics();
}

/** `━ 1 Console ━ 5 Crash ✖2 ━━━ following ━`: the panels of this place, the shown one bold; heavy while it has the focus. */
function drawTitle(snapshot: Snapshot, state: ScreenState, { slot, panel, rect }: PlacedPanel, focused: boolean): Line {
  const [stroke, style] = focused ? (['━', 'rule-focused'] as const) : (['─', 'rule'] as const);
  const tabs = PANELS.filter((candidate) => candidate.slot === slot || candidate.name === panel).flatMap((tab): Line => {
    const count = tab.name === 'crash' && snapshot.crashes.length > 0 ? ` ✖${snapshot.crashes.length}` : '';
    const shown = tab.name === panel;
    return [
      span(stroke, style),
      span(` ${tab.digit} ${tab.title}`, shown ? (focused ? 'tab-focused' : 'tab-shown') : 'tab'),
      span(`${count} `, 'bad'),
    ];
  });
  const filter = state.filters[panel] ?? '';
  const chip: Line = filter === '' ? [] : [span(` /${filter} `, 'match')];
  const end = span(stroke, style);
  const right: Line = [...chip, ...remarkOf(panel, snapshot, state), end];
  const short: Line = [
    span(stroke, style),
    span(` ${getPanel(panel).digit} ${getPanel(panel).title} `, focused ? 'tab-focused' : 'tab-shown'),
  ];
  const tight = tightTabs(slot, panel, [stroke, style], focused);
  const tried: readonly (readonly [Line, Line])[] = [
    [tabs, right],
    [tight, right],
    [short, right],
    [tight, [...chip, end]],
  ];
  const [left, rest] = tried.find(([a, b]) => lineWidth(a) + lineWidth(b) <= rect.width) ?? [short, [...chip, end]];
  const line = span(stroke.repeat(Math.max(0, rect.width - lineWidth(left) - lineWidth(rest))), style);
  return justify([...left, line], rest, rect.width);
}

/** `━ 8 GC 3 Metrics 6 Memory 9 Net`: the shown one first, the others where a narrow place has room for them. */
function tightTabs(slot: Slot, panel: PanelName, [stroke, style]: readonly [string, Style], focused: boolean): Line {
  const others = PANELS.filter((candidate) => candidate.slot === slot && candidate.name !== panel);
  const { digit, title } = getPanel(panel);
  return [
    span(stroke, style),
    span(` ${digit} ${title}`, focused ? 'tab-focused' : 'tab-shown'),
    ...others.map((tab) => span(` ${tab.digit} ${tab.title}`, 'tab')),
    span(' '),
  ];
}

function remarkOf(panel: PanelName, snapshot: Snapshot, state: ScreenState): Line {
  switch (panel) {
    case 'console':
      return consoleRemark(snapshot, state);
    case 'stacks':
      return stacksRemark(snapshot, state);
    case 'crash':
      return crashRemark(snapshot, state);
    case 'bytes':
      return bytesRemark(snapshot, state);
    case 'threads':
      return threadsRemark(snapshot, state);
    case 'network':
      return networkRemark(snapshot, state);
    default:
      return [];
  }
}

const OVERLAY_TITLES = { help: 'Help', registers: 'Registers', evaluations: 'Evaluated by gdb', flow: 'Flow' } as const;

/** Lines of the layer that is open. */
export function overlayLines(live: Snapshot, state: ScreenState): readonly Line[] {
  const { overlay } = state;
  if (overlay === null) return [];
  const width = state.size.columns - 2;
  if (overlay.kind === 'registers') return registerLines(live, width);
  if (overlay.kind === 'help') return helpLines(activeContexts({ ...state, overlay: null }, live.vm.status === 'debug'), width);
  if (overlay.kind === 'flow') return flowLines(live, overlay.id, referenceTime(state, live), width);
  if (overlay.kind === 'evaluations') return evaluationLines(live, overlay.asked, width);
  return overlay.lines.map((text) => [span(text)]);
}

function drawOverlay(live: Snapshot, state: ScreenState, rect: Rect): readonly Line[] {
  const lines = overlayLines(live, state);
  const height = rect.height - 1;
  const top = Math.min(state.overlay?.top ?? 0, Math.max(0, lines.length - height));
  const { overlay } = state;
  const name = overlay?.kind === 'text' ? overlay.title : OVERLAY_TITLES[overlay?.kind ?? 'help'];
  const more = lines.length > height ? ` ${top + 1}–${Math.min(lines.length, top + height)} of ${lines.length} ` : '';
  const left: Line = [span('━', 'rule-focused'), span(` ${name} `, 'tab-focused')];
  const right: Line = [span(more, 'dim'), span(' Esc closes ', 'dim'), span('━', 'rule-focused')];
  const stroke = span('━'.repeat(Math.max(0, rect.width - lineWidth(left) - lineWidth(right))), 'rule-focused');
  const shown = lines.slice(top, top + height).map((line): Line => [span(' '), ...line]);
  return [justify([...left, stroke], right, rect.width), ...fillRows(shown, { width: rect.width, height })];
}
