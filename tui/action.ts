// What a key or a command means to the screen. The keymap and the command table produce these, update() carries them out.

import type { Intent } from '../src/model/intent.ts';
import type { PlaybackChange } from '../src/model/playback.ts';
import type { PanelName } from './panels.ts';
import type { Style } from './style.ts';

/** One thing a user can do. */
export type Action =
  | { readonly type: 'quit' }
  /** From one VM back to all of them. */
  | { readonly type: 'fleet' }
  /** Ctrl-C: asks first. */
  | { readonly type: 'interrupt' }
  /** Esc: closes the innermost layer. */
  | { readonly type: 'back' }
  | { readonly type: 'focus'; readonly panel: PanelName }
  | { readonly type: 'focus-neighbour'; readonly by: 1 | -1 }
  | { readonly type: 'tab'; readonly by: 1 | -1 }
  | { readonly type: 'move'; readonly by: number }
  /** In heights of the panel. */
  | { readonly type: 'page'; readonly by: number }
  | { readonly type: 'edge'; readonly to: 'start' | 'end' }
  | { readonly type: 'enter' }
  /** To the caller (1) or the callee (−1) of the selected frame. */
  | { readonly type: 'jump'; readonly by: 1 | -1 }
  | { readonly type: 'expand' }
  | { readonly type: 'freeze' }
  | { readonly type: 'wrap' }
  /** By the panel's next key, or the other way round. */
  | { readonly type: 'sort' }
  | { readonly type: 'reverse' }
  | { readonly type: 'prompt'; readonly kind: 'command' | 'filter'; readonly text: string }
  | { readonly type: 'filter'; readonly pattern: string }
  | { readonly type: 'match'; readonly by: 1 | -1 }
  | { readonly type: 'previous-crash' }
  | { readonly type: 'help' }
  | { readonly type: 'registers' }
  | { readonly type: 'raw' }
  | { readonly type: 'copy' }
  | { readonly type: 'reread' }
  | { readonly type: 'step' }
  | { readonly type: 'memory'; readonly address: bigint; readonly length: number }
  | { readonly type: 'memory-of'; readonly expression: string; readonly length: number }
  | { readonly type: 'evaluate'; readonly expression: string }
  /** Of a replay. */
  | { readonly type: 'playback'; readonly change: PlaybackChange }
  | { readonly type: 'send'; readonly intent: Intent; readonly say: string | null }
  | { readonly type: 'confirm'; readonly question: string; readonly action: Action }
  | { readonly type: 'answer'; readonly yes: boolean }
  | { readonly type: 'redraw' }
  | { readonly type: 'say'; readonly text: string; readonly style: Style };
