// What is supported, and how that was tried: from what each unikernel's and each runtime's file says of itself.

import type { Runtime, Support, Unikernel } from '../../model/unikernel.ts';

const WIDTH = 78;
const INDENT = '    ';

/** As a document. */
export function supportToJson(unikernels: readonly Unikernel[], runtimes: readonly Runtime[]): object {
  return {
    schemaVersion: 1,
    unikernels: unikernels.map(({ name, title, support, crashes }) => ({
      ...{ name, title, levels: support.levels, tried: support.tried, silent: support.silent },
      texts: crashes.map(({ name: text, source }) => ({ name: text, source })),
    })),
    runtimes: runtimes.map(({ name, title, crashes }) => ({
      ...{ name, title },
      texts: crashes.map(({ name: text, source }) => ({ name: text, source })),
    })),
  };
}

/** For a person at 80 columns. */
export function supportLines(unikernels: readonly Unikernel[], runtimes: readonly Runtime[]): readonly string[] {
  return [
    'live: attached to while it runs. post-mortem: read after its death, while',
    'QEMU still holds it. text: its console is read. hosted: it is a process of a',
    'host system.',
    '',
    'Unikernels',
    ...unikernels.flatMap(({ title, support, crashes }) => [
      `  ${title}: ${support.levels.join(', ')}${crashes.length === 0 ? '' : `; ${countOf(crashes.length, 'crash text')}`}`,
      ...sentences(support).flatMap((text) => wrap(text)),
    ]),
    '',
    'Languages inside',
    ...runtimes.map(
      ({ title, crashes }) => `  ${title}: ${crashes.length === 0 ? 'names only' : countOf(crashes.length, 'crash text')}`,
    ),
  ];
}

function sentences({ tried, silent }: Support): readonly string[] {
  return [`Tried: ${tried}.`, ...(silent === null ? [] : [`What it does not say: ${silent}`])];
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function wrap(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH - INDENT.length) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => INDENT + line);
}
