// The panels: their names, keys, titles, and the place each appears in.

/** A panel. `bytes` is a dump of guest memory, `memory` how much of it is used. */
export type PanelName =
  | 'console'
  | 'stacks'
  | 'metrics'
  | 'threads'
  | 'crash'
  | 'memory'
  | 'overview'
  | 'gc'
  | 'network'
  | 'bytes';

/** Panels that are one drawing, which scrolls when it is higher than its place. */
export type DrawnPanel = 'memory' | 'gc';

/** Panels made of rows with a selected one. */
export type ListPanel = Exclude<PanelName, 'console' | 'bytes' | DrawnPanel>;

/** A place on the screen that shows one of its panels at a time. */
export type Slot = 'main' | 'side' | 'low';

/** Facts of a panel. */
export interface Panel {
  readonly name: PanelName;
  /** The key that goes there: a digit, but for the dump. */
  readonly digit: string;
  readonly title: string;
  readonly slot: Slot;
}

/** All panels; those of one place in the order of its tabs. */
export const PANELS: readonly Panel[] = [
  { name: 'console', digit: '1', title: 'Console', slot: 'main' },
  { name: 'stacks', digit: '2', title: 'Stacks', slot: 'side' },
  { name: 'metrics', digit: '3', title: 'Metrics', slot: 'low' },
  { name: 'threads', digit: '4', title: 'Threads', slot: 'side' },
  { name: 'crash', digit: '5', title: 'Crash', slot: 'main' },
  { name: 'memory', digit: '6', title: 'Memory', slot: 'low' },
  { name: 'overview', digit: '7', title: 'Overview', slot: 'main' },
  { name: 'gc', digit: '8', title: 'GC', slot: 'low' },
  { name: 'network', digit: '9', title: 'Net', slot: 'low' },
  { name: 'bytes', digit: 'x', title: 'Bytes', slot: 'main' },
];

/** Facts of the panel called `name`. */
export function getPanel(name: PanelName): Panel {
  return PANELS.find((panel) => panel.name === name)!;
}

/** Whether a panel is a list of rows with a selected one. */
export function isListPanel(name: PanelName): name is ListPanel {
  return name !== 'console' && name !== 'bytes' && !isDrawnPanel(name);
}

/** Whether a panel is one drawing that scrolls. */
export function isDrawnPanel(name: PanelName): name is DrawnPanel {
  return name === 'memory' || name === 'gc';
}
