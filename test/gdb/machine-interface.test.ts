// gdb-js, mended, against Debian's gdb; no guest.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { MachineInterface } from '../../src/gdb/machine-interface.ts';
import { openMachineInterface } from '../../src/gdb/machine-interface.ts';

const APT = 'apt install gdb';
let directory = '';
let gdb: MachineInterface | null = null;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'gdb-test-'));
});

afterEach(async () => {
  await gdb?.close();
  gdb = null;
});

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function open(program = 'gdb'): Promise<MachineInterface> {
  gdb = await openMachineInterface([program], APT);
  return gdb;
}

/** A program that behaves as a bad gdb. */
function script(text: string): string {
  const path = join(directory, `gdb-${Math.random()}`);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('gdb behind its machine interface', () => {
  it('evaluates, and says in gdb’s own words what it cannot', async () => {
    const { execute } = await open();
    expect(await execute('-data-evaluate-expression "40 + 2"', 10_000)).toEqual({ value: '42' });
    await expect(execute('-data-evaluate-expression "nosuch"', 10_000)).rejects.toMatchObject({
      code: 'GDB_FAILED',
      message: 'No symbol table is loaded.  Use the \"file\" command.',
    });
    expect(await execute('-data-evaluate-expression "1 + 1"', 10_000)).toEqual({ value: '2' });
  });

  it('survives bytes that are not UTF-8, control bytes and what gdb prints beside results', async () => {
    const { execute } = await open();
    await execute('-interpreter-exec console "echo \\\\351\\\\001\\\\033%\\\\n"', 10_000);
    await expect(execute('-interpreter-exec console "\\351\\001%zz"', 10_000)).rejects.toMatchObject({ code: 'GDB_FAILED' });
    expect(await execute('-data-evaluate-expression "\\"100%\\""', 10_000)).toEqual({ value: '"100%"' });
  });

  it('answers commands given at once in their order', async () => {
    const { execute } = await open();
    const values = await Promise.all([1, 2, 3].map(async (value) => execute(`-data-evaluate-expression ${value}`, 10_000)));
    expect(values).toEqual([{ value: '1' }, { value: '2' }, { value: '3' }]);
  });

  it('rejects what is pending, and what comes after, when gdb dies', async () => {
    const { execute } = await open(script('read line; exit 3'));
    const pending = execute('-one', 10_000);
    await expect(pending).rejects.toMatchObject({ code: 'GDB_FAILED', message: 'gdb ended (status 3)' });
    await expect(execute('-two', 10_000)).rejects.toMatchObject({ code: 'GDB_FAILED' });
  });

  it('ends a gdb that does not answer in time', async () => {
    const { execute } = await open(script('exec sleep 30'));
    await expect(execute('-one', 100)).rejects.toMatchObject({
      code: 'GDB_FAILED',
      message: /did not finish -one within 100 ms/,
    });
    await expect(execute('-two', 10_000)).rejects.toMatchObject({ code: 'GDB_FAILED' });
  });

  it('names the package when gdb is not installed', async () => {
    const missing = openMachineInterface(['/nonexistent/gdb', 'no-such-gdb-either'], APT);
    await expect(missing).rejects.toMatchObject({
      code: 'GDB_FAILED',
      message: /not installed \(tried .*no-such-gdb-either\)\. Install it: apt install gdb$/,
    });
  });
});
