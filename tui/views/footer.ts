// The bottom line: what is being typed or asked, else the last message, else the keys that matter now.

import type { Snapshot } from '../../src/model/snapshot.ts';
import { completeCommand } from '../commands.ts';
import type { Context } from '../keymap.ts';
import { activeContexts, barBindings } from '../keymap.ts';
import type { ScreenState } from '../state.ts';
import type { Line } from '../text.ts';
import { fit, lineWidth, span, truncateStart } from '../text.ts';

/** Exactly one row. */
export function drawFooter(live: Snapshot, state: ScreenState, width: number): Line {
  if (state.confirm !== null)
    return fit([span(` ${state.confirm.question} `, 'badge-warning'), span(' '), ...keys(live, state, width)], width);
  if (state.prompt !== null) return fit(promptLine(state, live, width), width);
  const { message } = state;
  if (message !== null && message.until > state.now) return fit([span(` ${message.text}`, message.style)], width);
  return fit(keys(live, state, width), width);
}

function promptLine({ prompt }: ScreenState, live: Snapshot, width: number): Line {
  if (prompt === null) return [];
  const mark = prompt.kind === 'command' ? ':' : '/';
  const hint = prompt.kind === 'command' ? commandHint(prompt.text, live) : 'words · ~regex · !not · Enter keeps, Esc drops';
  return [span(` ${mark}`, 'key'), span(truncateStart(prompt.text, width - 4)), span(' ', 'cursor'), span(`  ${hint}`, 'dim')];
}

function commandHint(text: string, live: Snapshot): string {
  return completeCommand(text, live).hint;
}

function keys(live: Snapshot, state: ScreenState, width: number): Line {
  return drawBar(activeContexts(state, live.vm.status === 'debug'), width);
}

/** The keys that matter in these contexts, as many as fit. */
export function drawBar(contexts: readonly Context[], width: number): Line {
  const bar: Line[] = barBindings(contexts).map(({ label, short, help }) => [
    span(` ${label}`, 'key'),
    span(` ${short ?? help} `, 'plain'),
  ]);
  const shown: Line[] = [];
  let used = 0;
  for (const item of bar) {
    used += lineWidth(item);
    if (used > width) break;
    shown.push(item);
  }
  return fit(shown.flat(), width);
}
