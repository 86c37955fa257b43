// Golden tests: each `## ` heading of a Markdown file here is a console (a log file, or a fenced `console` block) and the
// crashes it tells (a fenced `crashes` block). `UPDATE=1` writes what is told now: read the diff.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { printCrashes } from './print-crash.ts';
import { readConsole } from './read-console.ts';

interface Case {
  readonly title: string;
  readonly console: Uint8Array;
  readonly expected: string;
  /** Where in the file the expected text stands. */
  readonly at: { readonly start: number; readonly end: number };
}

const FENCE = '```';

/** The cases of one file. */
function parseCases(text: string): Case[] {
  const starts = [...text.matchAll(/^## (.*)$/gm)];
  return starts.map((heading, index) => {
    const end = starts[index + 1]?.index ?? text.length;
    const body = text.slice(heading.index, end);
    const log = /\]\(logs\/([\w.-]+)\)/.exec(body)?.[1];
    const inline = fenced(body, 'console');
    const expected = fenced(body, 'crashes');
    if ((log === undefined && inline === null) || expected === null)
      throw new Error(`"${heading[1] ?? ''}" has no console or no crashes block`);
    const at = { start: heading.index + expected.start, end: heading.index + expected.end };
    const bytes =
      log === undefined ? new TextEncoder().encode(inline?.text ?? '') : readFileSync(join(import.meta.dirname, 'logs', log));
    return { title: heading[1] ?? '', console: bytes, expected: expected.text, at };
  });
}

function fenced(body: string, language: string): { text: string; start: number; end: number } | null {
  const opening = `\n${FENCE}${language}\n`;
  const start = body.indexOf(opening);
  if (start < 0) return null;
  const from = start + opening.length;
  const end = body.indexOf(`\n${FENCE}`, from - 1);
  return { text: body.slice(from, end + 1), start: from, end: end + 1 };
}

/** The file with every case's expected text as it is told now. */
function updated(text: string, cases: readonly Case[]): string {
  return cases.toReversed().reduce((result, one) => {
    return `${result.slice(0, one.at.start)}${printCrashes(readConsole(one.console))}\n${result.slice(one.at.end)}`;
  }, text);
}

const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.md') && name !== 'README.md');
if (process.env.UPDATE === '1') {
  for (const name of files) {
    const path = join(import.meta.dirname, name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, updated(text, parseCases(text)));
  }
}

describe.each(files)('%s', (name) => {
  const cases = parseCases(readFileSync(join(import.meta.dirname, name), 'utf8'));

  it.each(cases)('$title', ({ console, expected }) => {
    expect(`${printCrashes(readConsole(console))}\n`).toBe(expected);
  });

  it.each(cases)('$title, in pieces of 64 bytes', ({ console }) => {
    expect(printCrashes(readConsole(console, { pieceLength: 64 }))).toBe(printCrashes(readConsole(console)));
  });
});

describe('the log files', () => {
  it('are all told about', () => {
    const named = new Set(
      files.flatMap((name) => readFileSync(join(import.meta.dirname, name), 'utf8').match(/(?<=\]\(logs\/)[\w.-]+/g) ?? []),
    );
    expect(readdirSync(join(import.meta.dirname, 'logs')).filter((log) => !named.has(log))).toEqual([]);
  });
});
