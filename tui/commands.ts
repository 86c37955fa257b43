// The `:` commands, one table: names, argument, help, and what each means. Completion and help are read from it.

import { parseAddress } from '../src/model/address.ts';
import { errorMessage } from '../src/model/error.ts';
import type { Intent } from '../src/model/intent.ts';
import { parseMoment } from '../src/model/moment.ts';
import { parseSize } from '../src/model/quantity.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { Action } from './action.ts';
import { PANELS } from './panels.ts';

/** A command. `argument` is its form for the help, empty when it takes none; `[…]` is optional. */
export interface Command {
  readonly names: readonly string[];
  readonly argument: string;
  readonly help: string;
  /** What its argument may be, for completion. */
  readonly words?: (snapshot: Snapshot) => readonly string[];
  readonly parse: (argument: string) => Action;
}

/** Bytes read by `:x` without a length: a screenful. */
const DEFAULT_LENGTH = 512;
const MOST_LENGTH = 64 * 1024;

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  {
    names: ['x'],
    argument: 'ADDR|REG|NAME [LEN]',
    help: 'show memory there',
    words: (snapshot) => [...registerNames(snapshot), ...functionNames(snapshot)],
    parse: parseMemory,
  },
  {
    names: ['p', 'print'],
    argument: 'EXPR',
    help: 'evaluate in gdb (stops the guest while gdb looks)',
    words: (snapshot) => [...functionNames(snapshot), ...registerNames(snapshot).map((name) => `$${name}`)],
    parse: (expression) =>
      expression === '' ? usage(':p EXPR, as in :p counter or :p *table[2]') : { type: 'evaluate', expression },
  },
  { names: ['halt'], argument: '', help: 'stop the guest in the debugger', parse: () => send({ type: 'halt' }, 'halting …') },
  { names: ['c', 'cont', 'continue'], argument: '', help: 'let it run', parse: () => send({ type: 'resume' }, 'continuing …') },
  { names: ['s', 'step'], argument: '', help: 'step one instruction while halted', parse: () => ({ type: 'step' }) },
  {
    names: ['b', 'break'],
    argument: 'LOC',
    help: 'breakpoint at a function, file:line or address',
    words: functionNames,
    parse: (location) =>
      location === ''
        ? usage(':b LOC, as in :b main or :b server.c:41')
        : send({ type: 'break', location }, `breakpoint at ${location} …`),
  },
  {
    names: ['delete'],
    argument: '',
    help: 'delete all breakpoints',
    parse: () => send({ type: 'delete-breakpoints' }, 'breakpoints deleted'),
  },
  { names: ['registers'], argument: '', help: 'registers of all vCPUs', parse: () => ({ type: 'registers' }) },
  { names: ['refresh'], argument: '', help: 'read the stacks now', parse: () => send({ type: 'refresh-stacks' }, null) },
  {
    names: ['filter'],
    argument: '[PATTERN]',
    help: 'filter the focused panel: words, ~regex, !not',
    parse: (pattern) => ({ type: 'filter', pattern }),
  },
  { names: ['at'], argument: 'MOMENT', help: 'replay: to 12.5s, -3s (before the crash), 14:03:12, end', parse: parseAt },
  { names: ['freeze'], argument: '', help: 'hold the display, or let it go on', parse: () => ({ type: 'freeze' }) },
  { names: ['raw'], argument: '', help: 'JSON of what is selected', parse: () => ({ type: 'raw' }) },
  { names: ['copy'], argument: '', help: 'copy what is selected', parse: () => ({ type: 'copy' }) },
  {
    names: ['capture'],
    argument: 'on|off',
    help: 'capture packets through QEMU, for the flows of 9',
    words: () => ['on', 'off'],
    parse: parseCapture,
  },
  ...PANELS.filter(({ name }) => name !== 'bytes').map(
    ({ name }): Command => ({
      names: [name],
      argument: '',
      help: `go to the ${name} panel`,
      parse: () => ({ type: 'focus', panel: name }),
    }),
  ),
  { names: ['help', 'h'], argument: '', help: 'keys, commands, marks', parse: () => ({ type: 'help' }) },
  { names: ['q', 'quit'], argument: '', help: 'leave; the VM keeps running', parse: () => ({ type: 'quit' }) },
];

function send(intent: Intent, say: string | null): Action {
  return { type: 'send', intent, say };
}

function usage(text: string): Action {
  return { type: 'say', text, style: 'warning' };
}

function parseAt(text: string): Action {
  try {
    return { type: 'playback', change: { type: 'go', to: parseMoment(text) } };
  } catch (error) {
    return usage(errorMessage(error));
  }
}

function parseCapture(argument: string): Action {
  if (argument !== 'on' && argument !== 'off') return usage(':capture on, or :capture off');
  const on = argument === 'on';
  return send({ type: 'capture', on }, on ? 'capturing packets; 9 shows the flows' : 'the capture ends');
}

function parseMemory(argument: string): Action {
  if (argument === '') return { type: 'focus', panel: 'bytes' };
  const [, place = argument, size] = /^(.*\S)\s+([0-9]\w*)$/.exec(argument) ?? [];
  const length = parseLength(size);
  if (typeof length === 'string') return usage(length);
  const address = parseAddress(place);
  if (address === null) return { type: 'memory-of', expression: place, length };
  return { type: 'memory', address, length };
}

/** Bytes, bounded; or what is wrong with what was typed. */
function parseLength(text: string | undefined): number | string {
  if (text === undefined) return DEFAULT_LENGTH;
  try {
    return Math.max(1, Math.min(MOST_LENGTH, parseSize(text)));
  } catch (error) {
    return errorMessage(error);
  }
}

/** What a typed line (without its `:`) means; a wrong one says what would be right. */
export function parseCommand(line: string): Action | null {
  const text = line.trim();
  if (text === '') return null;
  const [, name = '', argument = ''] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
  const command = findCommand(name);
  if (command === null) return usage(`no command :${name}; Tab completes, :help lists them all`);
  if (command.argument === '' && argument !== '') return usage(`:${name} takes no argument`);
  return command.parse(argument);
}

/** By full name, or by a beginning that only one command has. */
function findCommand(name: string): Command | null {
  const exact = COMMANDS.find((command) => command.names.includes(name));
  if (exact !== undefined) return exact;
  const begun = COMMANDS.filter((command) => command.names.some((known) => known.startsWith(name)));
  return begun.length === 1 ? begun[0]! : null;
}

/** The typed line completed as far as it is certain, and a hint of what may follow. */
export function completeCommand(text: string, snapshot: Snapshot): { readonly text: string; readonly hint: string } {
  const [, name = '', space = '', argument = ''] = /^(\S*)(\s*)(.*)$/.exec(text) ?? [];
  if (space === '') {
    const names = COMMANDS.flatMap((command) => command.names).filter((known) => known.startsWith(name));
    const only = names.length === 1 ? findCommand(names[0]!) : null;
    const done = only === null ? commonStart(names, name) : `${names[0]!}${only.argument === '' ? '' : ' '}`;
    const exact = COMMANDS.find((command) => command.names.includes(name));
    const hint = exact !== undefined ? `${exact.argument} — ${exact.help}`.replace(/^ — /, '') : names.slice(0, 12).join(' ');
    return { text: done, hint };
  }
  const command = findCommand(name);
  if (command === null) return { text, hint: 'no such command' };
  const last = argument.slice(argument.lastIndexOf(' ') + 1);
  const words = last === '' ? [] : [...new Set(command.words?.(snapshot) ?? [])].filter((word) => word.startsWith(last));
  const completed = text.slice(0, text.length - last.length) + commonStart(words, last);
  return { text: completed, hint: words.length > 0 ? words.slice(0, 6).join(' ') : `${command.argument} — ${command.help}` };
}

/** The longest beginning all of `words` share; `typed` when there is none. */
function commonStart(words: readonly string[], typed: string): string {
  const [first] = words;
  if (first === undefined) return typed;
  let length = first.length;
  for (const word of words) {
    while (!word.startsWith(first.slice(0, length))) length -= 1;
  }
  return first.slice(0, length);
}

function functionNames(snapshot: Snapshot): readonly string[] {
  const frames = [...snapshot.stacks, ...snapshot.crashes].flatMap(({ frames: own }) => own);
  return frames.flatMap((frame) => (frame.function === null ? [] : [frame.function]));
}

function registerNames(snapshot: Snapshot): readonly string[] {
  return Object.keys(snapshot.registers[0]?.registers.values ?? {});
}
