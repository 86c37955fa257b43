// What the terminal can do, from the environment.

import type { Palette } from './style.ts';

/** How to draw on this terminal. */
export interface Environment {
  /** The terminfo entry blessed is given. */
  readonly terminal: string;
  readonly palette: Palette;
  readonly unicode: boolean;
  readonly tmux: boolean;
}

type Variables = Readonly<Record<string, string | undefined>>;

/** Terminals that are not supersets of what xterm-256color describes; they have 8 colours or none. */
const PLAIN_TERMINALS = /^(linux|vt\d+|ansi|cons25)/;

/**
 * Reads TERM, NO_COLOR, TMUX and the locale. Folklore: blessed draws garbage with the entries screen-256color and
 * tmux-256color (its terminfo compiler), and does not know newer ones (alacritty, xterm-kitty, foot, …) at all: every terminal
 * that understands xterm's sequences is given xterm-256color, of which we use 16 colours. Test: environment.test.ts.
 */
export function readEnvironment(variables: Variables): Environment {
  const term = (variables['TERM'] ?? '').toLowerCase();
  const plain = PLAIN_TERMINALS.test(term);
  return {
    terminal: plain ? term : 'xterm-256color',
    palette: (variables['NO_COLOR'] ?? '') !== '' ? 'none' : plain ? 'eight' : 'sixteen',
    unicode: isUnicode(variables),
    tmux: (variables['TMUX'] ?? '') !== '',
  };
}

/** A locale that names another character set says no; none at all (containers) says nothing: terminals of today are UTF-8. */
function isUnicode(variables: Variables): boolean {
  const locale = variables['LC_ALL'] || variables['LC_CTYPE'] || variables['LANG'] || '';
  return locale === '' || /utf-?8/i.test(locale);
}

/** Why a screen cannot be opened here, or null: the caller then prints plain lines instead. */
export function findScreenObstacle(
  variables: Variables,
  input: { readonly isTTY?: boolean },
  output: { readonly isTTY?: boolean },
): string | null {
  if (output.isTTY !== true) return 'standard output is not a terminal';
  if (input.isTTY !== true) return 'standard input is not a terminal';
  const term = variables['TERM'] ?? '';
  return term === 'dumb' || term === '' ? `TERM is "${term}": no screen can be drawn` : null;
}

/** What stands for our marks where the locale has no Unicode; anything else becomes `?`. */
const ASCII: Readonly<Record<string, string>> = {
  ...{ '─': '-', '━': '=', '│': '|', '┬': '+', '┌': '+', '└': '+', '●': '*', '■': '#', '‖': '|', '✖': 'X', '○': 'o', '❄': '*' },
  ...{ '▾': 'v', '▸': '>', '▼': 'v', '▶': '>', '▷': '>', '→': '>', '←': '<', '↳': '>', '↓': 'v', '↑': '^', '⇧': '^', '⟲': '@' },
  ...{ '…': '.', '·': '.', '⋯': '.', '–': '-', '—': '-', '×': 'x', µ: 'u' },
  ...{ '▁': '_', '▂': '_', '▃': '.', '▄': '-', '▅': '-', '▆': '=', '▇': '=', '█': '#' },
  ...{ '▏': '|', '▎': '|', '▍': '|', '▌': '#', '▋': '#', '▊': '#', '▉': '#', '░': '.', '▴': '^', '╌': '-', '↔': '-', '−': '-' },
};

/** One cell's character in ASCII. */
export function toAscii(character: string): string {
  return character <= '~' ? character : (ASCII[character] ?? '?');
}
