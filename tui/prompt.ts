// The line being typed at the bottom: a command or a filter, with completion and history.

import type { Snapshot } from '../src/model/snapshot.ts';
import type { Action } from './action.ts';
import { completeCommand, parseCommand } from './commands.ts';
import type { Key } from './keymap.ts';
import type { Prompt, ScreenState } from './state.ts';

/** The state after a key, and the action a finished command asks for. */
interface Edit {
  readonly state: ScreenState;
  readonly action: Action | null;
}

const HISTORY = 100;

/** A key while a line is typed: letters type, whatever they mean elsewhere. `action` is what Enter asked for. */
export function editPrompt(state: ScreenState, prompt: Prompt, key: Key, live: Snapshot): Edit {
  const typed = (text: string): Edit => {
    const next = { ...state, prompt: { ...prompt, text, back: 0 } };
    return done(prompt.kind === 'filter' ? filtered(next, text) : next);
  };
  switch (key.name) {
    case 'enter':
      return submit({ ...state, prompt: null }, prompt);
    case 'escape':
      return done(prompt.kind === 'filter' ? filtered({ ...state, prompt: null }, '') : { ...state, prompt: null });
    case 'backspace':
      return prompt.text === '' ? done({ ...state, prompt: null }) : typed(Array.from(prompt.text).slice(0, -1).join(''));
    case 'ctrl-u':
      return typed('');
    case 'ctrl-w':
      return typed(prompt.text.replace(/\S*\s*$/, ''));
    case 'tab':
      return prompt.kind === 'command' ? typed(completeCommand(prompt.text, live).text) : done(state);
    case 'up':
    case 'down':
      return recall(state, prompt, key.name === 'up' ? 1 : -1);
    default:
      return key.text === null || prompt.text.length >= 1000 ? done(state) : typed(prompt.text + key.text);
  }
}

function recall(state: ScreenState, prompt: Prompt, by: 1 | -1): Edit {
  if (prompt.kind !== 'command') return done(state);
  const back = Math.max(0, Math.min(state.history.length, prompt.back + by));
  const text = back === 0 ? '' : (state.history[state.history.length - back] ?? '');
  return done({ ...state, prompt: { ...prompt, back, text } });
}

function submit(state: ScreenState, prompt: Prompt): Edit {
  if (prompt.kind === 'filter') return done(filtered(state, prompt.text));
  const action = parseCommand(prompt.text);
  if (action === null) return done(state);
  const history = [...state.history.filter((line) => line !== prompt.text), prompt.text].slice(-HISTORY);
  return { state: { ...state, history }, action };
}

function done(state: ScreenState): Edit {
  return { state, action: null };
}

/** The focused panel filtered by `pattern`; empty takes the filter away. */
export function filtered(state: ScreenState, pattern: string): ScreenState {
  const filters = { ...state.filters, [state.focus]: pattern };
  const lastPattern = pattern === '' ? state.lastPattern : pattern;
  return { ...state, filters, lastPattern };
}
