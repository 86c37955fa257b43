// The terminal: draws styled lines, gives keys, and is always put back as it was. The only import of blessed, of which only the
// cell buffer, its differ and its key decoder are used: no widgets, no tags, and never more than the visible cells.

import { encodeClipboard } from './clipboard.ts';
import type { Environment } from './environment.ts';
import { toAscii } from './environment.ts';
import type { Key } from './keymap.ts';
import type { Size } from './state.ts';
import type { Attributes } from './style.ts';
import { attributesOf } from './style.ts';
import type { Cell, Line } from './text.ts';
import { toCells } from './text.ts';

/** An open terminal. */
export interface Terminal {
  size(): Size;
  /** Draws the whole screen; only cells that differ are written, nothing when none does. */
  draw(lines: readonly Line[]): void;
  /** Forgets what is on the screen, so that the next draw writes all of it. */
  redraw(): void;
  copy(text: string): void;
  beep(): void;
  /** Leaves the alternate screen, shows the cursor, ends raw mode. May be called at any time, any number of times. */
  close(): void;
}

/** What a terminal is opened on. `onLost` is called when it hangs up. */
export interface TerminalOptions {
  readonly input: NodeJS.ReadStream;
  readonly output: NodeJS.WriteStream;
  readonly environment: Environment;
  readonly onKey: (key: Key) => void;
  readonly onResize: () => void;
  readonly onLost: () => void;
}

/** The part of blessed's Screen that is used; its typings leave the cell buffer out. */
interface BlessedScreen {
  readonly lines: BlessedRow[];
  readonly tput: { brokenACS: boolean };
  readonly program: {
    on(type: 'keypress', listener: (character: string | undefined, key: BlessedKey) => void): void;
    on(type: 'resize', listener: () => void): void;
    flush(): void;
  };
  alloc(): void;
  draw(first: number, last: number): void;
  destroy(): void;
}

type BlessedRow = [number, string][] & { dirty: boolean };

interface BlessedKey {
  readonly name?: string;
  readonly ctrl?: boolean;
  readonly meta?: boolean;
  readonly shift?: boolean;
}

const PROCESS_EVENTS = ['uncaughtException', 'SIGTERM', 'SIGINT', 'SIGQUIT'] as const;

/** Takes the terminal over. */
export async function openTerminal(options: TerminalOptions): Promise<Terminal> {
  const { input, output, environment } = options;
  const { default: blessed } = await import('blessed');
  const screen = withoutProcessHandlers(
    () =>
      blessed.screen({
        input,
        output,
        terminal: environment.terminal,
        forceUnicode: environment.unicode,
        smartCSR: false,
        resizeTimeout: 0,
      }) as unknown as BlessedScreen,
  );
  // Else it draws lines with the VT100's alternate character set, also where UTF-8 is there.
  screen.tput.brokenACS = true;
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    process.removeListener('exit', close);
    process.removeListener('uncaughtExceptionMonitor', close);
    screen.destroy();
  };
  process.on('exit', close);
  // Before anybody prints the stack of a bug of ours, so that it lands on the normal screen.
  process.on('uncaughtExceptionMonitor', close);
  const lost = (): void => {
    if (open) options.onLost();
  };
  // A hung-up terminal answers writes with EIO, also later: the listener stays.
  output.on('error', lost);
  input.on('end', lost);
  input.on('error', lost);
  screen.program.on('keypress', (character, key) => {
    if (open) for (const decoded of decodeKey(character, key)) options.onKey(decoded);
  });
  screen.program.on('resize', () => {
    if (open) options.onResize();
  });
  return {
    size: () => ({ columns: output.columns, rows: output.rows }),
    draw: (lines) => {
      if (open) drawLines(screen, lines, environment);
    },
    redraw: () => {
      if (open) screen.alloc();
    },
    copy: (text) => {
      if (!open) return;
      screen.program.flush();
      output.write(encodeClipboard(text, environment));
    },
    beep: () => {
      if (open) output.write('\x07');
    },
    close,
  };
}

/** blessed installs process-wide handlers that print and exit with codes of its own: who opened the screen decides that. */
function withoutProcessHandlers<T>(make: () => T): T {
  const before = PROCESS_EVENTS.map((event) => process.listeners(event as 'SIGTERM'));
  const made = make();
  PROCESS_EVENTS.forEach((event, index) => {
    for (const listener of process.listeners(event as 'SIGTERM')) {
      if (!before[index]!.includes(listener)) process.removeListener(event, listener);
    }
  });
  return made;
}

function drawLines(screen: BlessedScreen, lines: readonly Line[], environment: Environment): void {
  screen.lines.forEach((row, y) => {
    const cells = toCells(lines[y] ?? [], row.length);
    cells.forEach((cell, x) => {
      setCell(row, x, cell, environment);
    });
  });
  screen.draw(0, screen.lines.length - 1);
}

function setCell(row: BlessedRow, x: number, { char, style }: Cell, { palette, unicode }: Environment): void {
  const packed = packAttributes(attributesOf(style, palette));
  const shown = unicode ? char : toAscii(char);
  const cell = row[x]!;
  if (cell[0] === packed && cell[1] === shown) return;
  cell[0] = packed;
  cell[1] = shown;
  row.dirty = true;
}

/** blessed's cell format: flags << 18 | foreground << 9 | background, 0x1ff = the terminal's own. */
function packAttributes({ foreground, background, bold, underline, inverse }: Attributes): number {
  const flags = (bold ? 1 : 0) | (underline ? 2 : 0) | (inverse ? 8 : 0);
  return (flags << 18) | ((foreground ?? 0x1ff) << 9) | (background ?? 0x1ff);
}

const NAMES: Readonly<Record<string, string>> = { pageup: 'page-up', pagedown: 'page-down', linefeed: 'enter' };

/** Our key of blessed's. `\r` comes twice (return, enter): one is dropped. Esc and a letter in one read are Alt to blessed, two keys to us. */
export function decodeKey(character: string | undefined, { name, ctrl, meta, shift }: BlessedKey): readonly Key[] {
  if (name === 'return') return [];
  if (meta === true && name !== undefined && name !== 'escape') {
    return [
      { name: 'escape', text: null },
      ...decodeKey(character?.replace('\x1b', ''), { name, ctrl: ctrl ?? false, shift: shift ?? false }),
    ];
  }
  if (ctrl === true && name !== undefined) return [{ name: `ctrl-${name}`, text: null }];
  if (name === 'tab' && shift === true) return [{ name: 'shift-tab', text: null }];
  if (name === 'space') return [{ name: 'space', text: ' ' }];
  const printable = character !== undefined && Array.from(character).length === 1 && character >= ' ' && character !== '\x7f';
  if (printable) return [{ name: character, text: character }];
  return name === undefined ? [] : [{ name: NAMES[name] ?? name, text: null }];
}
