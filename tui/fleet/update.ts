// The one transition of a screen on many VMs: keys go to the overview, or to the screen of the VM that is shown. Pure.

import type { FleetMember } from '../../src/model/fleet.ts';
import type { Intent } from '../../src/model/intent.ts';
import type { Action } from '../action.ts';
import type { Key } from '../keymap.ts';
import { findBinding } from '../keymap.ts';
import type { Effect } from '../outcome.ts';
import { MESSAGE_MS, QUIT_ARMED_MS } from '../outcome.ts';
import { nextSort } from '../sorting.ts';
import { initialState } from '../state.ts';
import type { Style } from '../style.ts';
import type { Input } from '../update.ts';
import { update } from '../update.ts';
import { helpLines } from '../views/help.ts';
import { movePosition, resolvePosition } from '../views/list.ts';
import { vmRows, vmsVisible } from './draw.ts';
import type { FleetState } from './state.ts';
import { VM_SORTS } from './vm-facts.ts';

/** The outcome of one input; each intent names the VM it is for. */
export interface FleetUpdate {
  readonly state: FleetState;
  readonly intents: readonly { readonly id: string; readonly intent: Intent }[];
  readonly effects: readonly Effect[];
}

/** Carries out one input. */
export function updateFleet(state: FleetState, input: Input, members: readonly FleetMember[]): FleetUpdate {
  const current =
    input.type === 'resize' ? { ...state, size: input.size } : input.type === 'clock' ? { ...state, now: input.now } : state;
  const heard = input.type === 'guest' ? hear(current, members) : current;
  const shown = members.find(({ id }) => id === heard.shown) ?? null;
  if (shown?.session != null) return updateShown(heard, input, shown, shown.session.snapshot());
  return input.type === 'key' ? pressed(heard, input.key, members) : only(heard);
}

function only(state: FleetState): FleetUpdate {
  return { state, intents: [], effects: [] };
}

function say(state: FleetState, text: string, style: Style): FleetState {
  return { ...state, message: { text, style, until: state.now + MESSAGE_MS } };
}

// --- one VM

type Snapshot = Parameters<typeof update>[2];

function updateShown(state: FleetState, input: Input, { id }: FleetMember, live: Snapshot): FleetUpdate {
  const before = state.screens.get(id);
  if (before === undefined) return only({ ...state, shown: null });
  const result = update({ ...before, now: state.now, size: state.size }, input, live);
  const leaves = result.effects.some(({ type }) => type === 'fleet');
  const screens = new Map(state.screens).set(id, result.state);
  return {
    state: { ...state, screens, shown: leaves ? null : id },
    intents: result.intents.map((intent) => ({ id, intent })),
    effects: result.effects.filter(({ type }) => type !== 'fleet'),
  };
}

/** Gives the VM the screen, where it was when it was left. */
function open(state: FleetState, member: FleetMember | undefined): FleetUpdate {
  if (member === undefined) return only(state);
  if (member.session === null) return only(say(state, member.failure ?? `${member.name} is being attached`, 'warning'));
  const known = state.screens.get(member.id) ?? {
    ...initialState({ size: state.size, now: state.now, title: member.name, isMember: true }),
    startedAt: state.startedAt,
  };
  const screens = new Map(state.screens).set(member.id, { ...known, size: state.size, now: state.now });
  return only({ ...state, screens, shown: member.id, position: { ...state.position, key: member.id } });
}

// --- news

/** A crash or an alarm of a VM that nobody looks at is said at the bottom of whatever is on the screen. */
function hear(state: FleetState, members: readonly FleetMember[]): FleetState {
  const told = new Map<string, string>();
  let news: { readonly text: string; readonly style: Style } | null = null;
  for (const { id, name, session } of members) {
    const snapshot = session?.snapshot();
    if (snapshot === undefined) continue;
    const crash = snapshot.crashes.at(-1) ?? null;
    const alarm = snapshot.findings.findLast(({ severity }) => severity === 'critical') ?? null;
    const sign = `${snapshot.crashes.length} ${alarm?.check ?? ''}`;
    told.set(id, sign);
    if (sign === (state.told.get(id) ?? '0 ') || id === state.shown) continue;
    const where = state.shown === null ? '' : '  (0 shows all VMs)';
    if (crash !== null) news = { text: `✖ ${name}: ${crash.kind}: ${crash.title}${where}`, style: 'bad' };
    else if (alarm !== null) news = { text: `! ${name}: ${alarm.message}${where}`, style: 'bad' };
  }
  const heard = { ...state, told };
  if (news === null) return heard;
  const screen = state.shown === null ? undefined : state.screens.get(state.shown);
  if (screen === undefined || state.shown === null) return say(heard, news.text, news.style);
  const message = { ...news, until: state.now + MESSAGE_MS };
  return { ...heard, screens: new Map(state.screens).set(state.shown, { ...screen, message }) };
}

// --- the overview

function pressed(state: FleetState, key: Key, members: readonly FleetMember[]): FleetUpdate {
  const calm = key.name === 'ctrl-c' ? state : { ...state, quitArmedUntil: 0, message: null };
  if (calm.typing && key.name !== 'ctrl-c') return only(typed(calm, key));
  const binding = findBinding(calm.help === null ? ['fleet', 'list', 'anywhere'] : ['overlay', 'anywhere'], key.name);
  return binding === null ? only(calm) : apply(calm, binding.action, members);
}

function typed(state: FleetState, { name, text }: Key): FleetState {
  if (name === 'enter') return { ...state, typing: false };
  if (name === 'escape') return { ...state, typing: false, filter: '' };
  if (name === 'ctrl-u') return { ...state, filter: '' };
  if (name === 'backspace') {
    return state.filter === ''
      ? { ...state, typing: false }
      : { ...state, filter: Array.from(state.filter).slice(0, -1).join('') };
  }
  return text === null || state.filter.length >= 200 ? state : { ...state, filter: state.filter + text };
}

function apply(state: FleetState, action: Action, members: readonly FleetMember[]): FleetUpdate {
  switch (action.type) {
    case 'quit':
      return { ...only(state), effects: [{ type: 'quit' }] };
    case 'interrupt':
      if (state.quitArmedUntil > state.now) return { ...only(state), effects: [{ type: 'quit' }] };
      return only({
        ...say(state, 'press Ctrl-C again or q to quit; the VMs keep running', 'warning'),
        quitArmedUntil: state.now + QUIT_ARMED_MS,
      });
    case 'redraw':
      return { ...only(state), effects: [{ type: 'redraw' }] };
    case 'back':
      if (state.help !== null) return only({ ...state, help: null });
      if (state.filter !== '') return only({ ...state, filter: '' });
      return only(say(state, 'q quits; the VMs keep running', 'plain'));
    case 'help':
      return only({ ...state, help: { top: 0 } });
    case 'move':
      return only(move(state, action.by, members));
    case 'page':
      return only(move(state, Math.trunc(action.by * vmsVisible(state)) || Math.sign(action.by), members));
    case 'edge':
      return only(move(state, action.to === 'end' ? 1_000_000 : -1_000_000, members));
    case 'sort':
      return only({ ...state, sort: nextSort(state.sort, VM_SORTS.length) });
    case 'reverse':
      return only({ ...state, sort: { ...state.sort, reversed: !state.sort.reversed } });
    case 'prompt':
      return only({ ...state, typing: true });
    case 'enter': {
      const rows = vmRows(members, state);
      return open(state, rows[resolvePosition(state.position, rows, rows.length).index]?.facts.member);
    }
    default:
      return only(state);
  }
}

function move(state: FleetState, by: number, members: readonly FleetMember[]): FleetState {
  if (state.help !== null) {
    const last = Math.max(0, helpLines(['fleet', 'list', 'anywhere'], state.size.columns).length - (state.size.rows - 2));
    return { ...state, help: { top: Math.max(0, Math.min(last, state.help.top + by)) } };
  }
  return { ...state, position: movePosition(state.position, vmRows(members, state), vmsVisible(state), by) };
}
