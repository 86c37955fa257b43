// The help layer: the keys valid now, the commands, and what the marks mean. All of it is read from the tables that act.

import { COMMANDS } from '../commands.ts';
import type { Binding, Context } from '../keymap.ts';
import { activeBindings } from '../keymap.ts';
import type { Line } from '../text.ts';
import { fit, padEnd, span } from '../text.ts';
import { TRUST_MARKS } from './frame-line.ts';
import { VM_BADGES } from './status-bar.ts';

/** All lines for this width; from 100 columns keys and commands stand side by side. */
export function helpLines(contexts: readonly Context[], width: number): readonly Line[] {
  const keys = section('Keys that work here', activeBindings(contexts).map(keyLine));
  const commands = contexts.includes('panels') ? [...section('Commands', COMMANDS.map(commandLine)), []] : [];
  const rest = [...commands, ...section('Marks', markLines())];
  if (width < 100) return [...keys, [], ...rest];
  const left = Math.min(70, Math.floor(width / 2));
  return Array.from({ length: Math.max(keys.length, rest.length) }, (_, row) => [
    ...fit(keys[row] ?? [], left),
    ...(rest[row] ?? []),
  ]);
}

function section(title: string, lines: readonly Line[]): readonly Line[] {
  return [[span(title, 'strong')], ...lines];
}

function keyLine({ label, help }: Binding): Line {
  return [span(`  ${padEnd(label, 9)}`, 'key'), span(help)];
}

function commandLine({ names, argument, help }: (typeof COMMANDS)[number]): Line {
  const shown = `:${names.join(' :')}${argument === '' ? '' : ` ${argument}`}`;
  return [span(`  ${padEnd(shown, 27)} `, 'key'), span(help)];
}

function markLines(): readonly Line[] {
  return [
    ...Object.values(TRUST_MARKS).map(({ mark, meaning }): Line => [span(`  ${mark}  `, 'key'), span(meaning)]),
    ...Object.entries(VM_BADGES).map(
      ([status, { text, style }]): Line => [
        span('  '),
        span(text, style),
        span(`  ${STATUS_MEANINGS[status as keyof typeof VM_BADGES]}`),
      ],
    ),
    [span('  dim', 'dim'), span('  a value older than 3 s, or one that cannot be had: its reason is beside it')],
    [span('  select text with the mouse as in any terminal: unidbg does not take the mouse')],
  ];
}

const STATUS_MEANINGS: Readonly<Record<keyof typeof VM_BADGES, string>> = {
  connecting: 'not attached yet',
  running: 'the guest runs',
  paused: 'somebody else stopped it',
  debug: "unidbg's debugger holds it; c continues it",
  crashed: 'QEMU reports a crash',
  shutdown: 'powered off or reset',
  gone: 'QEMU has ended',
};
