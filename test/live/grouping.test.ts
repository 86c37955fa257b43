// Eight bugs in five builds of one program: other optimisation, other line numbers, other addresses, nothing inlined. The same bug must be
// known again in all of them, and no two bugs may be taken for one.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { buildDemoGuest, type DemoBuildOptions, type DemoVariant } from '../guests/build.ts';
import { runUnidbg } from '../support/cli.ts';
import { startDemoGuest } from '../support/demo-guest.ts';

const BUGS = ['null', 'wild', 'div', 'ud2', 'gp', 'stack', 'assert', 'abort'];
const BUILDS: readonly (readonly [DemoVariant, DemoBuildOptions])[] = [
  ['fp', {}],
  ['fp', { shiftLines: 17, flags: ['-falign-functions=64'] }],
  ['cfi', {}],
  ['cfi', { shiftLines: 5, flags: ['-fno-inline', '-O1'] }],
  ['eh', { shiftLines: 40, flags: ['-O3'] }],
];

interface Groups {
  readonly runs: { readonly total: number; readonly healthy: number };
  readonly groups: readonly { readonly title: string; readonly count: number; readonly sources: readonly string[] }[];
}

const folder = mkdtempSync(join(tmpdir(), 'unidbg-grouping-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

it('40 runs of 8 bugs in 5 builds are 8 groups of 5', { timeout: 300_000 }, async () => {
  const reports: string[] = [];
  for (const [index, [variant, options]] of BUILDS.entries()) {
    const elf = await buildDemoGuest(variant, options);
    const recordBug = (bug: string): Promise<string> => record(elf, bug, join(folder, `${bug}-${index}.log`));
    // Two at a time: a guest mostly waits for its clock.
    for (let at = 0; at < BUGS.length; at += 2) reports.push(...(await Promise.all(BUGS.slice(at, at + 2).map(recordBug))));
    // Each build's logs with that build's symbols, as CI does it: one report a run, put together later.
  }
  const { stdout } = await runUnidbg(['analyze', '--group', '--json', ...reports]);
  const { runs, groups } = JSON.parse(stdout) as Groups;
  expect(runs).toEqual({ total: 40, healthy: 0, unreadable: 0 });
  expect(groups.map(({ title, count }) => `${count} × ${title}`)).toHaveLength(8);
  for (const { sources } of groups) expect(new Set(sources.map(bugOf)).size).toBe(1);
});

/** Runs the guest into the bug and reports on what it printed; gives the report's path. */
async function record(elf: string, bug: string, log: string): Promise<string> {
  const guest = await startDemoGuest({ elf, append: `crash=${bug}` });
  try {
    const text = await guest.waitForConsole(/\n[^\n]*halted[^\n]*\n/);
    writeFileSync(log, text, 'latin1');
  } finally {
    await guest.stop();
  }
  const { stdout } = await runUnidbg(['analyze', '--json', '--symbols', elf, log]);
  const report = log.replace(/log$/, 'json');
  writeFileSync(report, stdout);
  return report;
}

function bugOf(path: string): string {
  return /(\w+)-\d\.\w+$/.exec(path)?.[1] ?? path;
}
