// Screens as text: for goldens and for claims about what is seen.

import type { Intent } from '../../src/model/intent.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { drawScreen } from '../../tui/compose.ts';
import type { Effect } from '../../tui/outcome.ts';
import type { ScreenState } from '../../tui/state.ts';
import { initialState } from '../../tui/state.ts';
import type { Palette } from '../../tui/style.ts';
import { attributesOf } from '../../tui/style.ts';
import type { Line } from '../../tui/text.ts';
import { toCells } from '../../tui/text.ts';
import { update } from '../../tui/update.ts';
import { NOW } from './guest.ts';

/** A fresh screen state, one minute and five seconds after it was opened. */
export function openState(columns = 80, rows = 24): ScreenState {
  return { ...initialState({ size: { columns, rows }, now: NOW - 65_000 }), now: NOW };
}

/** The cells of a screen as text, trailing spaces cut. */
export function screenText(snapshot: Snapshot, state: ScreenState): string {
  return linesText(drawScreen(snapshot, state), state.size.columns);
}

/** The cells of drawn lines as text, trailing spaces cut. */
export function linesText(lines: readonly Line[], columns: number): string {
  return lines.map((line) => cellText(line, columns)).join('\n');
}

function cellText(line: Line, width: number): string {
  return toCells(line, width)
    .map(({ char }) => char)
    .join('')
    .trimEnd();
}

/** The same with visible SGR codes, as a terminal of this palette would get them. */
export function screenAnsi(snapshot: Snapshot, state: ScreenState, palette: Palette): string {
  return linesAnsi(drawScreen(snapshot, state), state.size.columns, palette);
}

/** The same of drawn lines. */
export function linesAnsi(lines: readonly Line[], columns: number, palette: Palette): string {
  return lines
    .map((line) => {
      let last = '';
      const text = toCells(line, columns).map(({ char, style }) => {
        const { foreground, background, bold, underline, inverse } = attributesOf(style, palette);
        const codes = [
          ...(bold ? [1] : []),
          ...(underline ? [4] : []),
          ...(inverse ? [7] : []),
          ...(foreground === null ? [] : [foreground < 8 ? 30 + foreground : 82 + foreground]),
          ...(background === null ? [] : [40 + background]),
        ].join(';');
        const change = codes === last ? '' : `‹${codes}›`;
        last = codes;
        return change + char;
      });
      return text.join('').trimEnd();
    })
    .join('\n');
}

/** What keys lead to: names as in the keymap; a text in quotes (`'"main"'`) is typed letter by letter. */
export function press(
  state: ScreenState,
  snapshot: Snapshot,
  ...keys: readonly string[]
): { state: ScreenState; intents: Intent[]; effects: Effect[] } {
  const result = { state, intents: [] as Intent[], effects: [] as Effect[] };
  for (const key of keys.flatMap((name) => (name.startsWith('"') ? Array.from(name.slice(1, -1)) : [name]))) {
    const text = Array.from(key).length === 1 ? key : key === 'space' ? ' ' : null;
    const next = update(result.state, { type: 'key', key: { name: key === ' ' ? 'space' : key, text } }, snapshot);
    result.state = next.state;
    result.intents.push(...next.intents);
    result.effects.push(...next.effects);
  }
  return result;
}
