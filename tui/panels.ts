// The panels: their names, digit keys, titles, and the place each appears in.

/** A panel, in the order of its digit key: 1 console … 7 overview. */
export type PanelName = 'console' | 'stacks' | 'metrics' | 'threads' | 'crash' | 'memory' | 'overview';

/** Panels made of rows with a selected one. */
export type ListPanel = Exclude<PanelName, 'console' | 'memory'>;

/** A place on the screen that shows one of its panels at a time. */
export type Slot = 'main' | 'side' | 'low';

/** Facts of a panel. */
export interface Panel {
  readonly name: PanelName;
  readonly digit: string;
  readonly title: string;
  readonly slot: Slot;
}

/** All panels. */
export const PANELS: readonly Panel[] = [
  { name: 'console', digit: '1', title: 'Console', slot: 'main' },
  { name: 'stacks', digit: '2', title: 'Stacks', slot: 'side' },
  { name: 'metrics', digit: '3', title: 'Metrics', slot: 'low' },
  { name: 'threads', digit: '4', title: 'Threads', slot: 'side' },
  { name: 'crash', digit: '5', title: 'Crash', slot: 'main' },
  { name: 'memory', digit: '6', title: 'Memory', slot: 'main' },
  { name: 'overview', digit: '7', title: 'Overview', slot: 'main' },
];

/** Facts of the panel called `name`. */
export function getPanel(name: PanelName): Panel {
  return PANELS.find((panel) => panel.name === name)!;
}

/** Whether a panel is a list of rows with a selected one. */
export function isListPanel(name: PanelName): name is ListPanel {
  return name !== 'console' && name !== 'memory';
}
