// The screen's one transition: (state, input, snapshot) → new state, wishes for the guest, effects on the world. Pure.

import { isSamePlace } from '../src/model/event.ts';
import type { Frame } from '../src/model/frame.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import { followShares, NO_SHARES } from '../src/vitals/cpu-shares.ts';
import type { Action } from './action.ts';
import { overlayLines } from './compose.ts';
import { focusNeighbour, focusOn, focusTab } from './focus.ts';
import type { Key } from './keymap.ts';
import { activeContexts, findBinding } from './keymap.ts';
import { layoutScreen } from './layout.ts';
import { move, pageHeight, showMemory, toEdge, toMatch } from './moving.ts';
import type { Update } from './outcome.ts';
import { only, QUIT_ARMED_MS, say } from './outcome.ts';
import { getPanel } from './panels.ts';
import { editPrompt, filtered } from './prompt.ts';
import { findSelection } from './selection.ts';
import type { Sort } from './sorting.ts';
import { nextSort } from './sorting.ts';
import type { ScreenState, Size } from './state.ts';
import { displayed } from './state.ts';
import { followed } from './views/console.ts';
import { crashRows, findSelectedFrame } from './views/crash.ts';
import { findingStyle } from './views/findings.ts';
import { resolvePosition } from './views/list.ts';
import { FLOW_SORTS } from './views/network.ts';
import { stackRows } from './views/stacks.ts';
import { THREAD_SORTS } from './views/threads.ts';

/** What reaches the screen: keys, a new size, the clock, and news of the guest. */
export type Input =
  | { readonly type: 'key'; readonly key: Key }
  | { readonly type: 'resize'; readonly size: Size }
  | { readonly type: 'clock'; readonly now: number }
  | { readonly type: 'guest' };

/** Carries out one input. `live` is the session's newest snapshot. */
export function update(state: ScreenState, input: Input, live: Snapshot): Update {
  switch (input.type) {
    case 'resize':
      return only({ ...state, size: input.size });
    case 'clock':
      return only({ ...state, now: input.now });
    case 'guest': {
      const here =
        state.playback !== null && state.playback.jumps !== state.jumps ? landed(state, state.playback.jumps, live) : state;
      return withListing(noticed({ ...here, cpu: followShares(here.cpu, live) }, live), live);
    }
    case 'key':
      return withListing(pressed(state, input.key, live), live);
  }
}

/** A replay stands elsewhere: what is seen there is no news, and what has not been printed yet cannot be scrolled to. */
function landed(state: ScreenState, jumps: number, live: Snapshot): ScreenState {
  const newest = live.console.at(-1)?.number ?? 0;
  const { top, cursor } = state.console;
  const isBehind = (top !== null && top.line > newest) || (cursor !== null && cursor > newest);
  return {
    ...{ ...state, jumps, cpu: NO_SHARES, crash: null },
    console: isBehind ? followed(state.console) : state.console,
    toldCrash: live.crashes.at(-1) ?? null,
    toldDiagnostic: live.diagnostics.at(-1) ?? null,
    toldFindings: new Set(live.findings.map(({ check }) => check)),
  };
}

/** News worth a word: a crash always, else the newest remark. */
function noticed(state: ScreenState, live: Snapshot): Update {
  const crash = live.crashes.at(-1) ?? null;
  const remark = live.diagnostics.at(-1) ?? null;
  const toldFindings = new Set(live.findings.map(({ check }) => check));
  const told = { ...state, toldCrash: crash, toldDiagnostic: remark, toldFindings };
  if (crash !== null && crash !== state.toldCrash) {
    const where = state.focus === 'crash' ? '' : '  (5 shows it)';
    return say(told, `✖ ${crash.kind}: ${crash.title}${where}`, 'bad');
  }
  const finding = live.findings.find(({ check }) => !state.toldFindings.has(check));
  if (finding !== undefined) return say(told, `! ${finding.message}`, findingStyle(finding));
  return remark === null || remark === state.toldDiagnostic ? only(told) : say(told, `! ${remark.message}`, 'warning');
}

function pressed(state: ScreenState, key: Key, live: Snapshot): Update {
  // Any key but a second Ctrl-C takes the first one back, and clears what was said.
  const calm = key.name === 'ctrl-c' ? state : { ...state, quitArmedUntil: 0, message: null };
  if (calm.prompt !== null && key.name !== 'ctrl-c') {
    const { state: edited, action } = editPrompt(calm, calm.prompt, key, live);
    return action === null ? only(edited) : apply(edited, action, live);
  }
  const binding = findBinding(activeContexts(calm, live.vm.status === 'debug'), key.name);
  return binding === null ? only(calm) : apply(calm, binding.action, live);
}

/** The crash panel shows the source of its selected frame: asked for once, when it comes to be on the screen. */
function withListing(result: Update, live: Snapshot): Update {
  const { state } = result;
  const visible = layoutScreen(state)?.panels.some(({ panel }) => panel === 'crash') ?? false;
  const frame = visible ? findSelectedFrame(displayed(state, live), state) : null;
  if (frame === null) return result;
  const known = [state.listingAsked, live.listing?.place ?? null];
  if (known.some((place) => place !== null && isSamePlace(place, frame))) return result;
  const asked = askListing(state, frame);
  return { ...result, ...asked, intents: [...result.intents, ...asked.intents] };
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
        `press Ctrl-C again or q to quit${staying(state)}`,
        'warning',
      );
    case 'redraw':
      return { ...only(state), effects: [{ type: 'redraw' }] };
    case 'fleet':
      return { ...only(state), effects: [{ type: 'fleet' }] };
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
    case 'jump':
      return jump(state, displayed(state, live), action.by);
    case 'enter':
      return enter(state, live);
    case 'expand':
      return only({ ...state, expanded: !state.expanded });
    case 'freeze':
      return freeze(state, live);
    case 'wrap':
      return only({ ...state, console: { ...state.console, wrap: !state.console.wrap } });
    case 'sort':
      return sort(state, (before, keys) => nextSort(before, keys));
    case 'reverse':
      return sort(state, (before) => ({ ...before, reversed: !before.reversed }));
    case 'prompt':
      if (action.kind === 'filter' && state.focus === 'bytes')
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
        ...only({ ...focusOn(state, 'bytes'), memoryAt: null }),
        intents: [{ type: 'show-memory-of', expression: action.expression, length: action.length }],
      };
    case 'evaluate':
      return {
        ...only({ ...state, overlay: { kind: 'evaluations', top: Number.MAX_SAFE_INTEGER, asked: action.expression } }),
        intents: [{ type: 'evaluate', expression: action.expression }],
      };
    case 'playback':
      return { ...only(state), intents: [{ type: 'playback', change: action.change }] };
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
  if (state.isMember) return { ...only(state), effects: [{ type: 'fleet' }] };
  return say(state, `q quits${staying(state)}`);
}

function staying({ playback }: ScreenState): string {
  return playback === null ? '; the VM keeps running' : '';
}

function freeze(state: ScreenState, live: Snapshot): Update {
  if (state.playback !== null) return { ...only(state), intents: [{ type: 'playback', change: { type: 'play-or-pause' } }] };
  if (state.frozen !== null) return say({ ...state, frozen: null }, 'the display goes on');
  return say({ ...state, frozen: live }, 'the display is frozen, collecting goes on; f again lets it go on');
}

// --- acting on what is selected

function enter(state: ScreenState, live: Snapshot): Update {
  const shown = displayed(state, live);
  if (state.focus === 'stacks') return enterStack(state, shown);
  if (state.focus === 'network') {
    const selection = findSelection(state, shown);
    return selection?.type === 'flow'
      ? only({ ...state, overlay: { kind: 'flow', top: 0, id: selection.flow.id } })
      : only(state);
  }
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

/** Changes how the focused list is sorted; the selection goes to its top. */
function sort(state: ScreenState, change: (before: Sort, keys: number) => Sort): Update {
  const panel = state.focus;
  if (panel !== 'threads' && panel !== 'network') return only(state);
  const keys = panel === 'threads' ? THREAD_SORTS : FLOW_SORTS;
  const lists = { ...state.lists, [panel]: { key: null, index: 0, top: 0 } };
  return only({ ...state, lists, sorts: { ...state.sorts, [panel]: change(state.sorts[panel], keys) } });
}

/** Opens or closes the selected row; an opened frame asks for its source. */
function enterStack(state: ScreenState, shown: Snapshot): Update {
  const rows = stackRows(shown, state);
  const row = rows[resolvePosition(state.lists.stacks, rows, rows.length).index];
  if (row === undefined || (row.frame === null && row.key.includes('/'))) return only(state);
  const toggled = new Set(state.toggled);
  const opens = !toggled.delete(row.key);
  if (opens) toggled.add(row.key);
  if (!opens || row.frame === null) return only({ ...state, toggled });
  return { ...only(state), ...askListing({ ...state, toggled }, row.frame) };
}

function askListing(state: ScreenState, { pc, file, line }: Frame): Pick<Update, 'state' | 'intents'> {
  const place = { pc, file, line };
  return { state: { ...state, listingAsked: place }, intents: [{ type: 'show-listing', place }] };
}

/** Goes to the caller (1) or the callee (−1) of the selected frame and shows the source there instead. */
function jump(state: ScreenState, shown: Snapshot, by: 1 | -1): Update {
  const end = by > 0 ? 'this is the outermost frame known' : 'this is the innermost frame';
  if (state.focus === 'crash') {
    const rows = crashRows(shown, state);
    const index = resolvePosition(state.lists.crash, rows, rows.length).index + by;
    const row = rows[index];
    return row === undefined
      ? say(state, end)
      : only({ ...state, lists: { ...state.lists, crash: { ...state.lists.crash, key: row.key, index } } });
  }
  const rows = stackRows(shown, state);
  const row = rows[resolvePosition(state.lists.stacks, rows, rows.length).index];
  if (row === undefined) return only(state);
  const [head, current] = row.key.split('/');
  // The row under the last frame says why the stack ends there.
  const next = current === undefined ? (by > 0 ? 0 : -1) : current === 'end' ? -1 : Number(current) + by;
  const frame = row.stack.frames[next];
  if (frame === undefined) return say(state, end);
  const toggled = new Set(state.toggled);
  toggled.delete(`${head!}/${current ?? ''}`);
  // A thread's stack is closed at first, a vCPU's open.
  if (current === undefined && rows[rows.indexOf(row) + 1]?.key.startsWith(`${head!}/`) !== true) {
    if (!toggled.delete(head!)) toggled.add(head!);
  }
  const key = `${head!}/${frame.index}`;
  toggled.add(key);
  const lists = { ...state.lists, stacks: { ...state.lists.stacks, key } };
  return { ...only(state), ...askListing({ ...state, toggled, lists }, frame) };
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
