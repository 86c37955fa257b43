// `unidbg doctor`, and that the README's table of systems says what it says. `UPDATE=1` writes the table.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RUNTIMES } from '../../src/runtimes/index.ts';
import { UNIKERNELS } from '../../src/unikernels/index.ts';
import { runUnidbg } from '../support/cli.ts';

const README = join(import.meta.dirname, '../../README.md');
const HEAD = '| system | how far | how it was tried |\n|---|---|---|\n';

const rows = UNIKERNELS.map(({ title, support }) => `| ${title} | ${support.levels.join(', ')} | ${support.tried} |\n`).join('');

if (process.env['UPDATE'] === '1') {
  const text = readFileSync(README, 'utf8');
  const start = text.indexOf(HEAD) + HEAD.length;
  writeFileSync(README, text.slice(0, start) + rows + text.slice(text.indexOf('\n\n', start) + 1));
}

describe('unidbg doctor', () => {
  it('--support tells every system and language at 80 columns', async () => {
    const { stdout, status } = await runUnidbg(['doctor', '--support']);
    for (const { title } of [...UNIKERNELS, ...RUNTIMES]) expect(stdout).toContain(`  ${title}: `);
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(status).toBe(0);
  });

  it('--support --json is a document with the texts that each system prints, and where', async () => {
    const { stdout } = await runUnidbg(['doctor', '--support', '--json']);
    const { unikernels } = JSON.parse(stdout) as { unikernels: { name: string; texts: { name: string; source: string }[] }[] };
    const solo5 = unikernels.find(({ name }) => name === 'solo5');
    expect(solo5?.texts.every(({ source }) => source !== '')).toBe(true);
  });

  it('says of this machine what is there, and what to do about what is not', async () => {
    const { stdout, status } = await runUnidbg(['doctor', '--json']);
    const { checks } = JSON.parse(stdout) as { checks: { what: string; state: string; remedy: string | null }[] };
    expect(checks.find(({ what }) => what === 'QEMU')?.state).toBe('fine');
    expect(checks.filter(({ state, remedy }) => state === 'missing' && remedy === null)).toEqual([]);
    expect(status).toBe(0);
  });
});

it('the README says of every system how far it is supported and how that was tried', () => {
  expect(readFileSync(README, 'utf8')).toContain(HEAD + rows);
});
