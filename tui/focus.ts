// Which panel the keys go to, and which panels that brings onto the screen.

import { layoutScreen } from './layout.ts';
import type { PanelName } from './panels.ts';
import { getPanel, PANELS } from './panels.ts';
import type { ScreenState } from './state.ts';

/** The panel takes its place on the screen and the focus. */
export function focusOn(state: ScreenState, panel: PanelName): ScreenState {
  return { ...state, focus: panel, shown: { ...state.shown, [getPanel(panel).slot]: panel } };
}

/** Among the panels that share the screen when none has all of it, so that Tab turns pages when one has. */
export function focusNeighbour(state: ScreenState, by: 1 | -1): ScreenState {
  const panels = layoutScreen({ ...state, expanded: false, focus: 'stacks' })?.panels ?? [];
  const at = panels.findIndex(({ slot }) => slot === getPanel(state.focus).slot);
  const next = panels[(at + by + panels.length) % panels.length];
  return next === undefined ? state : focusOn(state, next.panel);
}

/** The next (or previous) panel of the same place. */
export function focusTab(state: ScreenState, by: 1 | -1): ScreenState {
  const { slot } = getPanel(state.focus);
  const tabs = PANELS.filter((panel) => panel.slot === slot).map(({ name }) => name);
  return focusOn(state, tabs[(tabs.indexOf(state.focus) + by + tabs.length) % tabs.length]!);
}
