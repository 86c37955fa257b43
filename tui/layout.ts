// Where panels lie. Narrow terminals: the console above, stacks and metrics side by side below. From 120 columns: the console
// left, stacks over metrics right. Crash, memory and overview take the whole body where the console's place would be too narrow.

import type { PanelName, Slot } from './panels.ts';
import { getPanel } from './panels.ts';
import type { ScreenState, Size } from './state.ts';

/** Cells, from the top left corner of the screen. */
export interface Rect {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** A panel and its place; the first row of `rect` is its title. */
export interface PlacedPanel {
  readonly slot: Slot;
  readonly panel: PanelName;
  readonly rect: Rect;
}

/** The whole screen. `panels` never overlap; a column between neighbours is left for the divider. */
export interface ScreenLayout {
  readonly header: Rect;
  readonly footer: Rect;
  readonly body: Rect;
  readonly panels: readonly PlacedPanel[];
}

/** Below this the screen only says that it is too small. */
export const SMALLEST: Size = { columns: 60, rows: 15 };

const WIDE = 120;
const ONE_LINE_HEADER = 150;

/** Null when the terminal is too small. */
export function layoutScreen(
  state: Pick<ScreenState, 'size' | 'focus' | 'shown' | 'expanded' | 'playback'>,
): ScreenLayout | null {
  const { columns, rows } = state.size;
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return null;
  // A time bar has a line of its own.
  const headerHeight = columns >= ONE_LINE_HEADER && state.playback === null ? 1 : 2;
  const body = { left: 0, top: headerHeight, width: columns, height: rows - headerHeight - 1 };
  return {
    header: { left: 0, top: 0, width: columns, height: headerHeight },
    footer: { left: 0, top: rows - 1, width: columns, height: 1 },
    body,
    panels: placePanels(state, body),
  };
}

function placePanels({ focus, shown, expanded }: Pick<ScreenState, 'focus' | 'shown' | 'expanded'>, body: Rect): PlacedPanel[] {
  const place = (slot: Slot, rect: Rect): PlacedPanel => ({ slot, panel: shown[slot], rect });
  const slot = getPanel(focus).slot;
  const wide = body.width >= WIDE;
  if (expanded || (!wide && slot === 'main' && focus !== 'console')) return [place(slot, body)];
  const [main, rest] = wide ? splitColumns(body, 0.58) : splitRows(body, 0.57);
  const [side, low] = wide ? splitRows(rest, 0.42) : splitColumns(rest, 0.56);
  // A whole-body panel left behind by moving the focus elsewhere gives the place back to the console.
  const mainPanel = wide ? shown.main : 'console';
  return [{ slot: 'main', panel: mainPanel, rect: main }, place('side', side), place('low', low)];
}

function splitRows(rect: Rect, share: number): [Rect, Rect] {
  const upper = Math.ceil(rect.height * share);
  return [
    { ...rect, height: upper },
    { ...rect, top: rect.top + upper, height: rect.height - upper },
  ];
}

/** Leaves one column for the divider. */
function splitColumns(rect: Rect, share: number): [Rect, Rect] {
  const left = Math.floor((rect.width - 1) * share);
  return [
    { ...rect, width: left },
    { ...rect, left: rect.left + left + 1, width: rect.width - left - 1 },
  ];
}

/** Where `panel` lies now, or null when it is not on the screen. */
export function findPanel(layout: ScreenLayout, panel: PanelName): Rect | null {
  return layout.panels.find((placed) => placed.panel === panel)?.rect ?? null;
}

/** Rows below the title. */
export function bodyOf(rect: Rect): Rect {
  return { ...rect, top: rect.top + 1, height: Math.max(0, rect.height - 1) };
}
