// The screen's one transition: (state, input, snapshot) → new state, wishes for the guest, effects on the world. Pure.

import type { Intent } from '../src/model/intent.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { Action } from './action.ts';
import { completeCommand, parseCommand } from './commands.ts';
import { overlayLines } from './compose.ts';
import { parsePattern } from './filter.ts';
import type { Key } from './keymap.ts';
import { activeContexts, findBinding } from './keymap.ts';
import { layoutScreen } from './layout.ts';
import { bodySize, listHeight, rowsOf } from './panel-rows.ts';
import type { PanelName } from './panels.ts';
import { getPanel, isListPanel, PANELS } from './panels.ts';
import { findSelection } from './selection.ts';
import type { Prompt, ScreenState, Size } from './state.ts';
import { displayed } from './state.ts';
import type { Style } from './style.ts';
import { consoleStart, findMatch, followed, scrollConsole } from './views/console.ts';
import { findSelectedFrame } from './views/crash.ts';
import { movePosition, resolvePosition } from './views/list.ts';
import { dumpShape } from './views/memory.ts';
import { stackRows } from './views/stacks.ts';

/** What reaches the screen: keys, a new size, the clock, and news of the guest. */
export type Input =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'resize'; readonly size: Size }
  | { readonly type: 'clock'; readonly now: number }
  | { readonly type: 'guest' };

/** What only the terminal can do. */
export type Effect =
  | { readonly type: 'quit' }
  | { readonly type: 'copy'; readonly text: string }
  | { readonly type: 'beep' }
  | { readonly type: 'redraw' };

/** The outcome of one input. */
export interface Update {
  readonly state: ScreenState;
  readonly intents: readonly Intent[];
  readonly effects: readonly Effect[];
}

const MESSAGE_MS = 6000;
const QUIT_ARMED_MS = 3000;
const HISTORY = 100;

/** Carries out one input. `live` is the session's newest snapshot. */
export function update(state: ScreenState, input: Input, live: Snapshot): Update {
  switch (input.type) {
    case 'resize':
      return only({ ...state, size: input.size });
    case 'clock':
      return only({ ...state, now: input.now });
    case 'guest':
      return withListing(noticed(state, live), live);
    case 'key':
      return withListing(pressed(state, input.key, live), live);
  }
}

function only(state: ScreenState): Update {
  return { state, intents: [], effects: [] };
}

function say(state: ScreenState, text: string, style: Style = 'plain'): Update {
  return only({ ...state, message: { text, style, until: state.now + MESSAGE_MS } });
}

/** News worth a word: a crash always, else the newest remark. */
function noticed(state: ScreenState, live: Snapshot): Update {
  const crash = live.crashes.at(-1) ?? null;
  const remark = live.diagnostics.at(-1) ?? null;
  const told = { ...state, toldCrash: crash, toldDiagnostic: remark };
  if (crash !== null && crash !== state.toldCrash) {
    const where = state.focus === 'crash' ? '' : '  (5 shows it)';
    return say(told, `✖ ${crash.kind}: ${crash.title}${where}`, 'bad');
  }
  return remark === null || remark === state.toldDiagnostic ? only(told) : say(told, `! ${remark.message}`, 'warning');
}

function pressed(state: ScreenState, key: Key, live: Snapshot): Update {
  // Any key but a second Ctrl-C takes the first one back, and clears what was said.
  const calm = key.name === 'ctrl-c' ? state : { ...state, quitArmedUntil: 0, message: null };
  if (calm.prompt !== null && key.name !== 'ctrl-c') return editPrompt(calm, calm.prompt, key, live);
  const binding = findBinding(activeContexts(calm, live.vm.status === 'debug'), key.name);
  return binding === null ? only(calm) : apply(calm, binding.action, live);
}

/** The crash panel shows the source of its selected frame: asked for once, when it comes to be on the screen. */
function withListing(result: Update, live: Snapshot): Update {
  const { state } = result;
  const visible = layoutScreen(state)?.panels.some(({ panel }) => panel === 'crash') ?? false;
  const pc = visible ? (findSelectedFrame(displayed(state, live), state)?.pc ?? null) : null;
  if (pc === null || pc === state.listingAsked || pc === live.listing?.pc) return result;
  return { ...result, state: { ...state, listingAsked: pc }, intents: [...result.intents, { type: 'show-listing', pc }] };
}

/** Carries out one action. */
function apply(state: ScreenState, action: Action, live: Snapshot): Update {
  switch (action.type) {
    case 'quit':
      return { ...only(state), effects: [{ type: 'quit' }] };
    case 'interrupt':
      if (state.quitArmedUntil > state.now) return { ...only(state), effects: [{ type: 'quit' }] };
      return say(
        { ...state, prompt: null, quitArmedUntil: state.now + QUIT_ARMED_MS },
        'press Ctrl-C again or q to quit; the VM keeps running',
        'warning',
      );
    case 'redraw':
      return { ...only(state), effects: [{ type: 'redraw' }] };
    case 'back':
      return back(state);
    case 'focus':
      return only(focusOn(state, action.panel));
    case 'focus-neighbour':
      return only(focusNeighbour(state, action.by));
    case 'tab':
      return only(focusTab(state, action.by));
    case 'move':
      return move(state, action.by, live);
    case 'page':
      return move(state, Math.trunc(action.by * pageHeight(state, live)) || Math.sign(action.by), live);
    case 'edge':
      return toEdge(state, action.to, live);
    case 'enter':
      return enter(state, live);
    case 'expand':
      return only({ ...state, expanded: !state.expanded });
    case 'freeze':
      return freeze(state, live);
    case 'wrap':
      return only({ ...state, console: { ...state.console, wrap: !state.console.wrap } });
    case 'prompt':
      if (action.kind === 'filter' && state.focus === 'memory')
        return say(state, 'memory cannot be filtered; x goes to an address');
      return only({ ...state, prompt: { kind: action.kind, text: action.text, back: 0 } });
    case 'filter':
      return only(filtered(state, action.pattern));
    case 'match':
      return toMatch(state, action.by, live);
    case 'previous-crash':
      return previousCrash(state, live);
    case 'help':
      return only({ ...state, overlay: { kind: 'help', top: 0 } });
    case 'registers':
      return only({ ...state, overlay: { kind: 'registers', top: 0 } });
    case 'raw':
      return raw(state, live);
    case 'copy':
      return copy(state, live);
    case 'reread':
      return reread(state, live);
    case 'step':
      return step(state, live);
    case 'memory':
      return showMemory(state, action.address, action.length);
    case 'memory-of':
      return {
        ...only({ ...focusOn(state, 'memory'), memoryAt: null }),
        intents: [{ type: 'show-memory-of', expression: action.expression, length: action.length }],
      };
    case 'evaluate':
      return {
        ...only({ ...state, overlay: { kind: 'evaluations', top: Number.MAX_SAFE_INTEGER, asked: action.expression } }),
        intents: [{ type: 'evaluate', expression: action.expression }],
      };
    case 'send': {
      const said = action.say === null ? only(state) : say(state, action.say);
      return { ...said, intents: [action.intent] };
    }
    case 'confirm':
      return only({ ...state, confirm: { question: action.question, action: action.action } });
    case 'answer': {
      const asked = state.confirm?.action;
      const answered = { ...state, confirm: null };
      return action.yes && asked !== undefined ? apply(answered, asked, live) : only(answered);
    }
    case 'say':
      return { ...say(state, action.text, action.style), effects: [{ type: 'beep' }] };
  }
}

// --- layers and focus

/** Closes the innermost layer; at the top it says how to leave, since Esc never quits. */
function back(state: ScreenState): Update {
  if (state.overlay !== null) return only({ ...state, overlay: null });
  if ((state.filters[state.focus] ?? '') !== '') return only(filtered(state, ''));
  if (state.expanded) return only({ ...state, expanded: false });
  if (state.frozen !== null) return only({ ...state, frozen: null });
  if (state.console.cursor !== null) return only({ ...state, console: { ...state.console, cursor: null } });
  if (getPanel(state.focus).slot === 'main' && state.focus !== 'console') return only(focusOn(state, 'console'));
  return say(state, 'q quits; the VM keeps running');
}

function focusOn(state: ScreenState, panel: PanelName): ScreenState {
  return { ...state, focus: panel, shown: { ...state.shown, [getPanel(panel).slot]: panel } };
}

/** Among the panels that share the screen when none has all of it, so that Tab turns pages when one has. */
function focusNeighbour(state: ScreenState, by: 1 | -1): ScreenState {
  const panels = layoutScreen({ ...state, expanded: false, focus: 'stacks' })?.panels ?? [];
  const at = panels.findIndex(({ slot }) => slot === getPanel(state.focus).slot);
  const next = panels[(at + by + panels.length) % panels.length];
  return next === undefined ? state : focusOn(state, next.panel);
}

function focusTab(state: ScreenState, by: 1 | -1): ScreenState {
  const { slot } = getPanel(state.focus);
  const tabs = PANELS.filter((panel) => panel.slot === slot).map(({ name }) => name);
  return focusOn(state, tabs[(tabs.indexOf(state.focus) + by + tabs.length) % tabs.length]!);
}

function freeze(state: ScreenState, live: Snapshot): Update {
  if (state.frozen !== null) return say({ ...state, frozen: null }, 'the display goes on');
  return say({ ...state, frozen: live }, 'the display is frozen, collecting goes on; f again lets it go on');
}

// --- moving

function pageHeight(state: ScreenState, live: Snapshot): number {
  if (state.overlay !== null) return bodySize(state, 'overview').height;
  return isListPanel(state.focus) ? listHeight(state.focus, displayed(state, live), state) : bodySize(state, state.focus).height;
}

function move(state: ScreenState, by: number, live: Snapshot): Update {
  const { overlay, focus } = state;
  const shown = displayed(state, live);
  if (overlay !== null) return only({ ...state, overlay: { ...overlay, top: overlayTop(state, live, by) } });
  if (focus === 'console') return only({ ...state, console: scrollConsole(shown, state, bodySize(state, focus), by) });
  if (focus === 'memory') return moveMemory(state, by, live);
  const position = movePosition(state.lists[focus], rowsOf(focus, shown, state), listHeight(focus, shown, state), by);
  return only({ ...state, lists: { ...state.lists, [focus]: position } });
}

function overlayTop(state: ScreenState, live: Snapshot, by: number): number {
  const height = (layoutScreen(state)?.body.height ?? 2) - 1;
  const last = Math.max(0, overlayLines(live, state).length - height);
  return Math.max(0, Math.min(last, Math.min(state.overlay?.top ?? 0, last) + by));
}

function moveMemory(state: ScreenState, by: number, live: Snapshot): Update {
  const { width, height } = bodySize(state, 'memory');
  const { perRow } = dumpShape(width);
  const from = state.memoryAt ?? live.memory?.address ?? null;
  return from === null ? only(state) : showMemory(state, from + BigInt(by * perRow), height * perRow);
}

function showMemory(state: ScreenState, address: bigint, length: number): Update {
  const from = address < 0n ? 0n : address;
  const { width, height } = bodySize(focusOn(state, 'memory'), 'memory');
  const screenful = height * dumpShape(width).perRow;
  return {
    ...only({ ...focusOn(state, 'memory'), memoryAt: from }),
    intents: [{ type: 'show-memory', address: from, length: Math.max(length, screenful) }],
  };
}

function toEdge(state: ScreenState, to: 'start' | 'end', live: Snapshot): Update {
  const shown = displayed(state, live);
  if (state.overlay === null && state.focus === 'console') {
    return only({ ...state, console: to === 'end' ? followed(state.console) : consoleStart(shown, state) });
  }
  // The ends of memory are nowhere anybody wants to go.
  if (state.overlay === null && state.focus === 'memory') return only(state);
  return move(state, to === 'end' ? 1_000_000_000 : -1_000_000_000, live);
}

// --- acting on what is selected

function enter(state: ScreenState, live: Snapshot): Update {
  const shown = displayed(state, live);
  if (state.focus === 'stacks') return enterStack(state, shown);
  if (state.focus === 'threads') {
    const selection = findSelection(state, shown);
    if (selection?.type !== 'thread') return only(state);
    const key = `thread:${selection.thread.id}`;
    const known = shown.stacks.some((stack) => stack.kind === 'thread' && stack.id === selection.thread.id);
    if (!known) return say(state, `the stack of ${selection.thread.name} has not been read`);
    const toggled = new Set([...state.toggled, key]);
    return only({ ...focusOn(state, 'stacks'), toggled, lists: { ...state.lists, stacks: { key, index: 0, top: 0 } } });
  }
  return only(state);
}

/** Opens or closes the selected row; an opened frame asks for its source. */
function enterStack(state: ScreenState, shown: Snapshot): Update {
  const rows = stackRows(shown, state);
  const row = rows[resolvePosition(state.lists.stacks, rows, rows.length).index];
  if (row === undefined || (row.frame === null && row.key.includes('/'))) return only(state);
  const toggled = new Set(state.toggled);
  const opens = !toggled.delete(row.key);
  if (opens) toggled.add(row.key);
  const asks = opens && row.frame !== null;
  return { ...only({ ...state, toggled }), intents: asks ? [{ type: 'show-listing', pc: row.frame.pc }] : [] };
}

function step(state: ScreenState, live: Snapshot): Update {
  if (live.vm.status !== 'debug') return say(state, 'the guest runs: :halt first', 'warning');
  return { ...only(state), intents: [{ type: 'step', vcpu: live.stop?.vcpu ?? 0 }] };
}

function reread(state: ScreenState, live: Snapshot): Update {
  if (state.focus === 'stacks') return { ...only(state), intents: [{ type: 'refresh-stacks' }] };
  const at = state.memoryAt ?? live.memory?.address ?? null;
  return at === null ? only(state) : showMemory(state, at, live.memory?.bytes.length ?? 0);
}

function previousCrash(state: ScreenState, live: Snapshot): Update {
  const count = displayed(state, live).crashes.length;
  if (count === 0) return say(state, 'no crash so far');
  const crash = state.focus !== 'crash' ? null : (state.crash ?? count - 1) <= 0 ? null : (state.crash ?? count - 1) - 1;
  const lists = { ...state.lists, crash: { key: null, index: 0, top: 0 } };
  return only({ ...focusOn(state, 'crash'), crash, lists });
}

function raw(state: ScreenState, live: Snapshot): Update {
  const selection = findSelection(state, displayed(state, live));
  if (selection === null) return say(state, 'nothing is selected here');
  return only({ ...state, overlay: { kind: 'text', top: 0, title: selection.title, lines: selection.json().split('\n') } });
}

function copy(state: ScreenState, live: Snapshot): Update {
  const text = state.overlay === null ? (findSelection(state, displayed(state, live))?.text() ?? '') : overlayText(state, live);
  if (text === '') return say(state, 'nothing to copy here');
  const lines = text.split('\n').length;
  return {
    ...say(state, `copied ${lines} ${lines === 1 ? 'line' : 'lines'} (if the terminal allows OSC 52)`),
    effects: [{ type: 'copy', text }],
  };
}

function overlayText(state: ScreenState, live: Snapshot): string {
  return overlayLines(live, state)
    .map((line) =>
      line
        .map(({ text }) => text)
        .join('')
        .trimEnd(),
    )
    .join('\n');
}

// --- filter and matches

function filtered(state: ScreenState, pattern: string): ScreenState {
  const filters = { ...state.filters, [state.focus]: pattern };
  const lastPattern = pattern === '' ? state.lastPattern : pattern;
  return { ...state, filters, lastPattern };
}

function toMatch(state: ScreenState, by: 1 | -1, live: Snapshot): Update {
  const shown = displayed(state, live);
  const typed = state.filters[state.focus] || state.lastPattern;
  const pattern = parsePattern(typed);
  if (pattern === null) return say(state, 'nothing to look for: / first');
  if (state.focus === 'console') {
    const position = findMatch(shown, state, bodySize(state, 'console'), pattern, by);
    return position === null ? say(state, `no more matches of /${typed}`) : only({ ...state, console: position });
  }
  if (!isListPanel(state.focus)) return only(state);
  const rows = rowsOf(state.focus, shown, state);
  const { index } = resolvePosition(state.lists[state.focus], rows, rows.length);
  const order = Array.from({ length: rows.length }, (_, step) => (index + by * (step + 1) + rows.length * 2) % rows.length);
  const next = order.find((at) => pattern.matches(rows[at]!.text));
  return next === undefined ? say(state, `no match of /${typed}`) : move(state, next - index, live);
}

// --- typing

/** Keys while a line is typed: letters type, whatever they mean elsewhere. */
function editPrompt(state: ScreenState, prompt: Prompt, key: Key, live: Snapshot): Update {
  const typed = (text: string): Update => {
    const next = { ...state, prompt: { ...prompt, text, back: 0 } };
    return only(prompt.kind === 'filter' ? filtered(next, text) : next);
  };
  switch (key.name) {
    case 'enter':
      return submit({ ...state, prompt: null }, prompt, live);
    case 'escape':
      return only(prompt.kind === 'filter' ? filtered({ ...state, prompt: null }, '') : { ...state, prompt: null });
    case 'backspace':
      return prompt.text === '' ? only({ ...state, prompt: null }) : typed(Array.from(prompt.text).slice(0, -1).join(''));
    case 'ctrl-u':
      return typed('');
    case 'ctrl-w':
      return typed(prompt.text.replace(/\S*\s*$/, ''));
    case 'tab':
      return prompt.kind === 'command' ? typed(completeCommand(prompt.text, live).text) : only(state);
    case 'up':
    case 'down':
      return recall(state, prompt, key.name === 'up' ? 1 : -1);
    default:
      return key.text === null || prompt.text.length >= 1000 ? only(state) : typed(prompt.text + key.text);
  }
}

function recall(state: ScreenState, prompt: Prompt, by: 1 | -1): Update {
  if (prompt.kind !== 'command') return only(state);
  const back = Math.max(0, Math.min(state.history.length, prompt.back + by));
  const text = back === 0 ? '' : (state.history[state.history.length - back] ?? '');
  return only({ ...state, prompt: { ...prompt, back, text } });
}

function submit(state: ScreenState, prompt: Prompt, live: Snapshot): Update {
  if (prompt.kind === 'filter') return only(filtered(state, prompt.text));
  const action = parseCommand(prompt.text);
  if (action === null) return only(state);
  const history = [...state.history.filter((line) => line !== prompt.text), prompt.text].slice(-HISTORY);
  return apply({ ...state, history }, action, live);
}
