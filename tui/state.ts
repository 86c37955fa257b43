// What the screen itself remembers: focus, scroll positions, prompts. Everything about the guest is in the Snapshot.

import type { Crash } from '../src/model/crash.ts';
import type { Diagnostic } from '../src/model/diagnostic.ts';
import type { ListingPlace } from '../src/model/event.ts';
import type { Playback } from '../src/model/playback.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { CpuShares } from '../src/vitals/cpu-shares.ts';
import { NO_SHARES } from '../src/vitals/cpu-shares.ts';
import type { Action } from './action.ts';
import type { DrawnPanel, ListPanel, PanelName, Slot } from './panels.ts';
import type { Sort } from './sorting.ts';
import { FIRST_KEY } from './sorting.ts';
import type { Style } from './style.ts';

/** Columns and rows of the terminal. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Where a list stands: the selected row by its key (its index when the key is gone) and the first row shown. */
export interface ListPosition {
  readonly key: string | null;
  readonly index: number;
  readonly top: number;
}

/** The console's position: the first visible row (line number and row inside that line's block), or null while it follows. */
export interface ConsolePosition {
  readonly top: { readonly line: number; readonly row: number } | null;
  /** Newest line number when following ended: what came later is new. */
  readonly seen: number;
  /** Line found last by n/N. */
  readonly cursor: number | null;
  readonly wrap: boolean;
}

/** A layer over the panels. Only `text` holds its own lines, the others are drawn from the snapshot and the keymap. */
type Overlay =
  | { readonly kind: 'help'; readonly top: number }
  | { readonly kind: 'registers'; readonly top: number }
  | { readonly kind: 'evaluations'; readonly top: number; readonly asked: string }
  | { readonly kind: 'flow'; readonly top: number; readonly id: string }
  | { readonly kind: 'text'; readonly top: number; readonly title: string; readonly lines: readonly string[] };

/** Lists that the user sorts. */
type SortedPanel = 'threads' | 'network';

/** A line being typed. `back` counts how far Up went into the history. */
export interface Prompt {
  readonly kind: 'command' | 'filter';
  readonly text: string;
  readonly back: number;
}

/** The pure state of a screen. */
export interface ScreenState {
  readonly size: Size;
  /** ms since the Unix epoch. */
  readonly now: number;
  readonly startedAt: number;
  readonly title: string | null;
  /** Whether this is one VM of several: `0` goes back to them. */
  readonly isMember: boolean;
  /** Where the session is being recorded, or null. */
  readonly recording: string | null;
  /** Where the replay stands; null for a session that is none. */
  readonly playback: Playback | null;
  /** The jumps of the replay that the screen has followed. */
  readonly jumps: number;
  readonly focus: PanelName;
  readonly shown: Readonly<Record<Slot, PanelName>>;
  readonly expanded: boolean;
  /** The snapshot on display while frozen. */
  readonly frozen: Snapshot | null;
  readonly console: ConsolePosition;
  readonly lists: Readonly<Record<ListPanel, ListPosition>>;
  /** First row shown of a panel that is one drawing. */
  readonly tops: Readonly<Record<DrawnPanel, number>>;
  readonly sorts: Readonly<Record<SortedPanel, Sort>>;
  readonly cpu: CpuShares;
  /** Row keys whose open/closed state differs from the default. */
  readonly toggled: ReadonlySet<string>;
  readonly filters: Readonly<Partial<Record<PanelName, string>>>;
  /** Last pattern, kept for n/N after its filter is gone. */
  readonly lastPattern: string;
  /** Index into snapshot.crashes; null = the newest. */
  readonly crash: number | null;
  /** Start of the memory asked for last; null before, and while an expression is being looked up. */
  readonly memoryAt: bigint | null;
  readonly listingAsked: ListingPlace | null;
  readonly prompt: Prompt | null;
  readonly history: readonly string[];
  readonly confirm: { readonly question: string; readonly action: Action } | null;
  readonly overlay: Overlay | null;
  readonly message: { readonly text: string; readonly style: Style; readonly until: number } | null;
  /** Until when a second Ctrl-C quits. */
  readonly quitArmedUntil: number;
  /** The newest crash and remark that have been told; counts would not do, the lists are bounded. */
  readonly toldCrash: Crash | null;
  readonly toldDiagnostic: Diagnostic | null;
  /** Names of the checks whose findings have been told, until they are over. */
  readonly toldFindings: ReadonlySet<string>;
}

const AT_START: ListPosition = { key: null, index: 0, top: 0 };

/** The state a screen opens with. */
export function initialState(options: {
  readonly size: Size;
  readonly now: number;
  readonly title?: string | null;
  readonly recording?: string | null;
  readonly isMember?: boolean;
}): ScreenState {
  return {
    size: options.size,
    now: options.now,
    startedAt: options.now,
    title: options.title ?? null,
    recording: options.recording ?? null,
    playback: null,
    jumps: 0,
    isMember: options.isMember ?? false,
    focus: 'console',
    shown: { main: 'console', side: 'stacks', low: 'metrics' },
    expanded: false,
    frozen: null,
    console: { top: null, seen: 0, cursor: null, wrap: true },
    lists: {
      ...{ stacks: AT_START, metrics: AT_START, threads: AT_START },
      ...{ crash: AT_START, overview: AT_START, network: AT_START },
    },
    tops: { memory: 0, gc: 0 },
    sorts: { threads: FIRST_KEY, network: FIRST_KEY },
    cpu: NO_SHARES,
    toggled: new Set(),
    filters: {},
    lastPattern: '',
    crash: null,
    memoryAt: null,
    listingAsked: null,
    prompt: null,
    history: [],
    confirm: null,
    overlay: null,
    message: null,
    quitArmedUntil: 0,
    toldCrash: null,
    toldDiagnostic: null,
    toldFindings: new Set(),
  };
}

/** What the panels show: the frozen snapshot if there is one, but always the live VM state and the answers to what was asked. */
export function displayed(state: ScreenState, live: Snapshot): Snapshot {
  if (state.frozen === null) return live;
  const { vm, stop, memory, listing, evaluations } = live;
  return { ...state.frozen, vm, stop, memory, listing, evaluations };
}

/** The time ages are told against: now for a live guest, the moment shown of a replay, the last event of one that is over. */
export function referenceTime(state: ScreenState, snapshot: Snapshot): number {
  if (state.playback !== null) return Math.max(state.playback.at, snapshot.at);
  const kind = snapshot.identity?.kind ?? 'live';
  return kind === 'live' || kind === 'rsp' ? state.now : snapshot.at;
}
