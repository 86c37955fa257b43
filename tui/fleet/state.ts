// What the overview of many VMs remembers, and the screen of each VM that was opened.

import type { Sort } from '../sorting.ts';
import { FIRST_KEY } from '../sorting.ts';
import type { ListPosition, ScreenState, Size } from '../state.ts';
import type { Style } from '../style.ts';

/** The pure state of a screen on many VMs. */
export interface FleetState {
  readonly size: Size;
  /** ms since the Unix epoch. */
  readonly now: number;
  readonly startedAt: number;
  /** The VM that has the screen; null = the overview. */
  readonly shown: string | null;
  /** The screens of VMs that were opened, by member: each keeps its place. */
  readonly screens: ReadonlyMap<string, ScreenState>;
  readonly position: ListPosition;
  readonly sort: Sort;
  readonly filter: string;
  /** Whether the filter is being typed. */
  readonly typing: boolean;
  readonly help: { readonly top: number } | null;
  readonly message: { readonly text: string; readonly style: Style; readonly until: number } | null;
  readonly quitArmedUntil: number;
  /** How much of each VM's trouble was told: its crashes and findings, by member. */
  readonly told: ReadonlyMap<string, string>;
}

/** The state that a screen on many VMs opens with. */
export function initialFleet({ size, now }: { readonly size: Size; readonly now: number }): FleetState {
  return {
    ...{ size, now, startedAt: now, shown: null, screens: new Map() },
    ...{ position: { key: null, index: 0, top: 0 }, sort: FIRST_KEY, filter: '', typing: false },
    ...{ help: null, message: null, quitArmedUntil: 0, told: new Map() },
  };
}
