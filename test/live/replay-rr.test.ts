// A run that QEMU recorded is replayed to the instruction that died, and gone back through.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { buildDemoGuest } from '../guests/build.ts';
import { runUnidbg } from '../support/cli.ts';

interface Told {
  readonly crash: string;
  readonly moments: readonly {
    readonly what: string;
    readonly icount: number;
    readonly frames: readonly { readonly pc: string; readonly function: string | null }[];
  }[];
  readonly gdb: { readonly qemu: string };
}

const folder = mkdtempSync(join(tmpdir(), 'unidbg-rr-'));

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

async function record(mode: string): Promise<{ readonly file: string; readonly output: string }> {
  const file = join(folder, `${mode}.rr`);
  const machine = ['-machine', 'q35', '-accel', 'tcg', '-m', '64M', '-nodefaults', '-display', 'none', '-no-reboot'];
  const guest = ['-serial', 'null', '-kernel', await buildDemoGuest('fp'), '-append', `crash=${mode} after=200 quiet`];
  const { status, stdout } = await runUnidbg([
    'run',
    '--plain',
    '--record-rr',
    file,
    '--',
    'qemu-system-x86_64',
    ...machine,
    ...guest,
  ]);
  expect(status).toBe(4);
  return { file, output: stdout };
}

async function replay(file: string, ...options: readonly string[]): Promise<Told> {
  const { status, stdout, stderr } = await runUnidbg(['replay-rr', file, '--json', '--timeout', '40s', ...options]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as Told;
}

describe('unidbg replay-rr', () => {
  it('stops at the instruction that died, steps back, to the function and to the last write', { timeout: 120_000 }, async () => {
    const { file, output } = await record('null');
    const { crash, moments, gdb } = await replay(file, '--steps', '1', '--to', 'crash_null', '--watch', 'app_stats');
    const [died, before, entry, write] = moments;
    expect(output).toContain(`=== FAULT: ${crash}`);
    expect(output).toMatch(new RegExp(`rip 0*${BigInt(died!.frames[0]!.pc).toString(16)}\\b`));
    expect(died!.frames.slice(0, 3).map((frame) => frame.function)).toEqual(['count_visit', 'crash_null', 'crash_point']);
    expect(before!.icount).toBe(died!.icount - 1);
    expect(BigInt(before!.frames[0]!.pc)).toBeLessThan(BigInt(died!.frames[0]!.pc));
    expect(entry!.frames[0]!.function).toBe('crash_null');
    expect(entry!.icount).toBeLessThan(before!.icount);
    expect(write!.frames[0]!.function).toBe('app_execute');
    expect(write!.icount).toBeLessThan(entry!.icount);
    expect(gdb.qemu).toMatch(/rr=replay.* -device pvpanic .*-S -gdb tcp:/);
  });

  it('goes back from a jump into nothing to who jumped', { timeout: 120_000 }, async () => {
    const { file } = await record('wild');
    const { moments } = await replay(file, '--steps', '1');
    // No instruction is run there: the run stops at the first one behind the fault.
    expect(moments.at(-1)!.icount).toBe(moments[0]!.icount - 1);
    expect(moments.at(-1)!.frames[0]!.function).toBe('crash_wild');
  });

  it('says what is wrong with a record', async () => {
    const { status, stderr } = await runUnidbg(['replay-rr', join(folder, 'none.rr')]);
    expect({ status, stderr }).toEqual({ status: 3, stderr: expect.stringMatching(/was not made by --record-rr/) as string });
  });
});
