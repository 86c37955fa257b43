// What one input leads to: the new state, wishes for the guest, effects on the world.

import type { Intent } from '../src/model/intent.ts';
import type { ScreenState } from './state.ts';
import type { Style } from './style.ts';

/** What only the terminal can do. */
export type Effect =
  | { readonly type: 'quit' }
  | { readonly type: 'copy'; readonly text: string }
  | { readonly type: 'beep' }
  /** From one VM back to all of them. */
  | { readonly type: 'fleet' }
  | { readonly type: 'redraw' };

/** The outcome of one input. */
export interface Update {
  readonly state: ScreenState;
  readonly intents: readonly Intent[];
  readonly effects: readonly Effect[];
}

/** So long a message stands at the bottom. */
export const MESSAGE_MS = 6000;

/** So long after the first Ctrl-C the second one quits. */
export const QUIT_ARMED_MS = 3000;

/** The new state and nothing else. */
export function only(state: ScreenState): Update {
  return { state, intents: [], effects: [] };
}

/** The same with a message at the bottom, for six seconds or until the next key. */
export function say(state: ScreenState, text: string, style: Style = 'plain'): Update {
  return only({ ...state, message: { text, style, until: state.now + MESSAGE_MS } });
}
