// One table: key → action. `?` and the bottom line are read from it, so neither can say what is not so.

import type { PlaybackChange } from '../src/model/playback.ts';
import type { Action } from './action.ts';
import type { PanelName } from './panels.ts';
import { PANELS } from './panels.ts';
import type { ScreenState } from './state.ts';

/** A key press: a name (`j`, `G`, `enter`, `ctrl-u`, `page-down`) and the text it types, null for keys that type none. */
export interface Key {
  readonly name: string;
  readonly text: string | null;
}

/** Where a binding holds. Inner contexts win over outer ones. */
export type Context =
  | PanelName
  | 'confirm'
  | 'overlay'
  | 'debugger'
  | 'list'
  | 'panels'
  | 'replay'
  | 'member'
  | 'fleet'
  | 'anywhere';

/** One row of the keymap; one without a label is explained by another. `bar` ranks it for the bottom line (lower first); without it only `?` shows it. */
export interface Binding {
  readonly keys: readonly string[];
  readonly label: string;
  readonly help: string;
  readonly in: readonly Context[];
  readonly bar?: number;
  readonly short?: string;
  readonly action: Action;
}

const HALT: Action = {
  type: 'confirm',
  question: 'Halt the guest? It stands still until you continue it.',
  action: { type: 'send', intent: { type: 'halt' }, say: 'halting …' },
};

function playback(keys: readonly string[], label: string, help: string, change: PlaybackChange): Binding {
  return { keys, label, help, in: ['replay'], action: { type: 'playback', change } };
}

/** Every key of the screen but text entry (see update.ts: editPrompt). */
export const KEYMAP: readonly Binding[] = [
  { keys: ['y', 'Y', 'enter'], label: 'y', help: 'yes, do it', in: ['confirm'], bar: 1, action: { type: 'answer', yes: true } },
  {
    keys: ['n', 'N', 'q', 'escape'],
    label: 'n Esc',
    help: 'no',
    in: ['confirm'],
    bar: 2,
    action: { type: 'answer', yes: false },
  },

  {
    keys: ['c'],
    label: 'c',
    help: 'continue the guest',
    short: 'continue',
    in: ['debugger'],
    bar: 1,
    action: { type: 'send', intent: { type: 'resume' }, say: 'continuing …' },
  },
  { keys: ['s'], label: 's', help: 'step one instruction', short: 'step', in: ['debugger'], bar: 2, action: { type: 'step' } },
  {
    keys: ['b'],
    label: 'b',
    help: 'set a breakpoint: a function, file:line or address',
    short: 'break',
    in: ['debugger'],
    bar: 3,
    action: { type: 'prompt', kind: 'command', text: 'b ' },
  },

  {
    keys: ['space'],
    label: 'Space',
    help: 'play, or stand still; at the end: from the start',
    short: 'play/still',
    in: ['replay'],
    bar: 1,
    action: { type: 'playback', change: { type: 'play-or-pause' } },
  },
  playback(['f'], '', 'play, or stand still', { type: 'play-or-pause' }),
  { ...playback(['['], '[ ]', '1 s back, 1 s on', { type: 'skip', ms: -1_000 }), short: '1 s', bar: 2 },
  playback([']'], '', '1 s on', { type: 'skip', ms: 1_000 }),
  playback(['{'], '{ }', '10 s back, 10 s on', { type: 'skip', ms: -10_000 }),
  playback(['}'], '', '10 s on', { type: 'skip', ms: 10_000 }),
  {
    ...playback([','], ', .', 'to the event before, after: console line, sample, finding, crash', {
      type: 'step',
      by: -1,
    }),
    ...{ short: 'event', bar: 2 },
  },
  playback(['.'], '', 'to the event after', { type: 'step', by: 1 }),
  { ...playback(['C'], 'C', 'to the crash; again: to the next one', { type: 'next-crash' }), short: 'crash', bar: 3 },
  { ...playback(['<'], '< >', 'slower, faster', { type: 'speed', by: -1 }), short: 'speed', bar: 4 },
  playback(['>'], '', 'faster', { type: 'speed', by: 1 }),
  playback(['0'], '0 $', 'to the start, to the end', { type: 'go', to: { from: 'start', ms: 0 } }),
  playback(['$'], '', 'to the end', { type: 'go', to: { from: 'end' } }),
  {
    keys: ['@'],
    label: '@',
    help: 'to a moment: 12.5s, -3s (before the crash), 14:03:12',
    in: ['replay'],
    action: { type: 'prompt', kind: 'command', text: 'at ' },
  },
  { keys: ['q'], label: 'q', help: 'quit', short: 'quit', in: ['replay'], bar: 0.5, action: { type: 'quit' } },

  {
    keys: ['enter', 'space'],
    label: 'Enter',
    help: 'open or close a stack; show the source of a frame',
    short: 'open',
    in: ['stacks'],
    bar: 4,
    action: { type: 'enter' },
  },
  {
    keys: ['u'],
    label: 'u',
    help: 'up to the caller: its source',
    short: 'caller',
    in: ['stacks', 'crash'],
    bar: 5,
    action: { type: 'jump', by: 1 },
  },
  {
    keys: ['d'],
    label: 'd',
    help: 'down to the callee: its source',
    short: 'callee',
    in: ['stacks', 'crash'],
    bar: 5,
    action: { type: 'jump', by: -1 },
  },
  {
    keys: ['enter'],
    label: 'Enter',
    help: 'show the stack of this thread',
    short: 'stack',
    in: ['threads'],
    bar: 4,
    action: { type: 'enter' },
  },
  {
    keys: ['enter'],
    label: 'Enter',
    help: 'show all that is known of this flow',
    short: 'details',
    in: ['network'],
    bar: 4,
    action: { type: 'enter' },
  },
  {
    keys: ['enter'],
    label: 'Enter',
    help: 'give this VM the whole screen',
    short: 'open',
    in: ['fleet'],
    bar: 4,
    action: { type: 'enter' },
  },
  {
    keys: ['0'],
    label: '0',
    help: 'back to all VMs (Esc does too when nothing is open)',
    short: 'VMs',
    in: ['member'],
    bar: 1,
    action: { type: 'fleet' },
  },
  {
    keys: ['s'],
    label: 's',
    help: 'sort by the next key',
    short: 'sort',
    in: ['threads', 'network', 'fleet'],
    bar: 5,
    action: { type: 'sort' },
  },
  { keys: ['S'], label: 'S', help: 'sort the other way round', in: ['threads', 'network', 'fleet'], action: { type: 'reverse' } },
  {
    keys: ['H'],
    label: 'H',
    help: 'halt the guest in the debugger (asks first)',
    short: 'halt',
    in: ['stacks', 'threads'],
    bar: 9,
    action: HALT,
  },
  {
    keys: ['w'],
    label: 'w',
    help: 'wrap long lines or cut them',
    short: 'wrap',
    in: ['console'],
    bar: 7,
    action: { type: 'wrap' },
  },
  {
    keys: ['p'],
    label: 'p',
    help: 'the crash before this one',
    short: 'earlier crash',
    in: ['crash'],
    bar: 3,
    action: { type: 'previous-crash' },
  },
  {
    keys: ['x', 'enter'],
    label: 'x',
    help: 'show memory at an address, symbol or register',
    short: 'go to address',
    in: ['bytes'],
    bar: 3,
    action: { type: 'prompt', kind: 'command', text: 'x ' },
  },
  {
    keys: ['ctrl-r', 'r'],
    label: 'r',
    help: 'read again',
    short: 'read again',
    in: ['stacks', 'bytes'],
    bar: 5,
    action: { type: 'reread' },
  },

  { keys: ['j', 'down'], label: 'j ↓', help: 'down', in: ['list', 'overlay'], action: { type: 'move', by: 1 } },
  { keys: ['k', 'up'], label: 'k ↑', help: 'up', in: ['list', 'overlay'], action: { type: 'move', by: -1 } },
  { keys: ['ctrl-d'], label: 'Ctrl-D', help: 'half a page down', in: ['list', 'overlay'], action: { type: 'page', by: 0.5 } },
  { keys: ['ctrl-u'], label: 'Ctrl-U', help: 'half a page up', in: ['list', 'overlay'], action: { type: 'page', by: -0.5 } },
  {
    keys: ['page-down', 'ctrl-f', 'space'],
    label: 'PgDn',
    help: 'a page down',
    in: ['list', 'overlay'],
    action: { type: 'page', by: 1 },
  },
  { keys: ['page-up', 'ctrl-b'], label: 'PgUp', help: 'a page up', in: ['list', 'overlay'], action: { type: 'page', by: -1 } },
  { keys: ['g', 'home'], label: 'g Home', help: 'to the start', in: ['list', 'overlay'], action: { type: 'edge', to: 'start' } },
  {
    keys: ['G', 'end'],
    label: 'G End',
    help: 'to the end; the console follows again',
    in: ['list', 'overlay'],
    action: { type: 'edge', to: 'end' },
  },

  {
    keys: ['tab'],
    label: 'Tab',
    help: 'next panel (Shift-Tab: the one before)',
    short: 'panel',
    in: ['panels'],
    bar: 6,
    action: { type: 'focus-neighbour', by: 1 },
  },
  { keys: ['shift-tab'], label: '', help: 'panel before', in: ['panels'], action: { type: 'focus-neighbour', by: -1 } },
  { keys: ['l', 'right'], label: 'l →', help: 'next tab in this place', in: ['panels'], action: { type: 'tab', by: 1 } },
  { keys: ['h', 'left'], label: 'h ←', help: 'tab before', in: ['panels'], action: { type: 'tab', by: -1 } },
  // A replay has another use for them.
  { keys: [']'], label: '', help: 'next tab', in: ['panels'], action: { type: 'tab', by: 1 } },
  { keys: ['['], label: '', help: 'tab before', in: ['panels'], action: { type: 'tab', by: -1 } },
  ...PANELS.map(
    ({ name, digit }): Binding => ({
      keys: [digit],
      // One line of the help speaks for all of them.
      label: digit === '1' ? '1 … 9' : digit === 'x' ? 'x' : '',
      help: digit === 'x' ? 'to the dump of guest memory' : 'to a panel by its number',
      in: ['panels'],
      action: { type: 'focus', panel: name },
    }),
  ),
  {
    keys: ['/'],
    label: '/',
    help: 'filter this list: words; ~regex; !not',
    short: 'filter',
    in: ['panels', 'fleet'],
    bar: 5,
    action: { type: 'prompt', kind: 'filter', text: '' },
  },
  { keys: ['n'], label: 'n', help: 'next match', in: ['panels'], action: { type: 'match', by: 1 } },
  { keys: ['N'], label: 'N', help: 'match before', in: ['panels'], action: { type: 'match', by: -1 } },
  {
    keys: ['e', '+'],
    label: 'e',
    help: 'expand this panel to the whole screen, and back',
    short: 'expand',
    in: ['panels'],
    bar: 7,
    action: { type: 'expand' },
  },
  {
    keys: ['f'],
    label: 'f',
    help: 'freeze the display; collecting goes on',
    short: 'freeze',
    in: ['panels'],
    bar: 8,
    action: { type: 'freeze' },
  },
  { keys: ['p'], label: 'p', help: 'show the last crash', in: ['panels'], action: { type: 'previous-crash' } },
  { keys: ['y'], label: 'y', help: 'raw JSON of what is selected', in: ['panels'], action: { type: 'raw' } },
  {
    keys: ['c'],
    label: 'c',
    help: 'copy what is selected (OSC 52)',
    short: 'copy',
    in: ['panels', 'overlay'],
    bar: 10,
    action: { type: 'copy' },
  },
  {
    keys: [':'],
    label: ':',
    help: 'a command',
    short: 'command',
    in: ['panels'],
    bar: 8,
    action: { type: 'prompt', kind: 'command', text: '' },
  },
  { keys: ['q', 'escape', '?'], label: 'Esc q', help: 'close', in: ['overlay'], bar: 1, action: { type: 'back' } },
  { keys: ['?', 'f1'], label: '?', help: 'this help', short: 'help', in: ['panels', 'fleet'], bar: 0, action: { type: 'help' } },
  { keys: ['escape'], label: 'Esc', help: 'close one layer', in: ['anywhere'], action: { type: 'back' } },
  {
    keys: ['q'],
    label: 'q',
    help: 'quit; the VM keeps running',
    short: 'quit',
    in: ['anywhere'],
    bar: 0,
    action: { type: 'quit' },
  },
  { keys: ['ctrl-c'], label: 'Ctrl-C', help: 'quit, asked twice', in: ['anywhere'], action: { type: 'interrupt' } },
  { keys: ['ctrl-l'], label: 'Ctrl-L', help: 'draw the screen anew', in: ['anywhere'], action: { type: 'redraw' } },
];

/** Contexts that hold now, innermost first. The debugger's keys hold in the stacks panel while it holds the guest; a replay has none. */
export function activeContexts(state: ScreenState, stopped: boolean): readonly Context[] {
  if (state.confirm !== null) return ['confirm'];
  const replay: readonly Context[] = state.playback === null ? [] : ['replay'];
  if (state.overlay !== null) return ['overlay', ...replay, 'anywhere'];
  const debug: readonly Context[] = stopped && state.playback === null && state.focus === 'stacks' ? ['debugger'] : [];
  const member: readonly Context[] = state.isMember ? ['member'] : [];
  return [...debug, ...replay, state.focus, 'list', 'panels', ...member, 'anywhere'];
}

/** The binding of a key in the innermost context that has one, or null. */
export function findBinding(contexts: readonly Context[], key: string): Binding | null {
  for (const context of contexts) {
    const binding = KEYMAP.find((candidate) => candidate.in.includes(context) && candidate.keys.includes(key));
    if (binding !== undefined) return binding;
  }
  return null;
}

/** Bindings that are not hidden by inner ones, inner contexts first: what `?` lists. */
export function activeBindings(contexts: readonly Context[]): readonly Binding[] {
  const reachable = contexts.flatMap((context) => KEYMAP.filter((binding) => binding.in.includes(context)));
  return [...new Set(reachable)].filter(
    (binding) => binding.label !== '' && binding.keys.some((key) => findBinding(contexts, key) === binding),
  );
}

/** Bindings for the bottom line, the most useful first. */
export function barBindings(contexts: readonly Context[]): readonly Binding[] {
  return activeBindings(contexts)
    .filter((binding) => binding.bar !== undefined)
    .sort((a, b) => (a.bar ?? 0) - (b.bar ?? 0));
}
