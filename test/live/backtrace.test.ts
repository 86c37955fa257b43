// `unidbg backtrace` on a real QEMU with the demo guest, as a user runs it, and on a recording.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stack } from '../../src/model/frame.ts';
import { openQmp } from '../../src/qemu/qmp/client.ts';
import { runUnidbg } from '../support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

interface Document {
  readonly schemaVersion: number;
  readonly stacks: readonly Stack[];
  readonly images: readonly { readonly match: string }[];
  readonly stoppedMs: number | null;
}

const directory = mkdtempSync(join(tmpdir(), 'unidbg-backtrace-'));
const second = join(directory, 'second.qmp');
let guest: DemoGuest;
let pid = '';
beforeAll(async () => {
  guest = await startDemoGuest({ variant: 'cfi', qemuArgs: ['-smp', '2', '-qmp', `unix:${second},server=on,wait=off`] });
  pid = String(guest.process.pid);
  await guest.waitForConsole(/up 1\./);
});
afterAll(async () => {
  await guest.stop();
  rmSync(directory, { recursive: true });
});

async function documentOf(args: readonly string[]): Promise<Document> {
  const { stdout, status, stderr } = await runUnidbg(['backtrace', ...args, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Document;
}

describe('a running guest', () => {
  it('has a stack for each vCPU and each guest thread, in text', async () => {
    const { stdout, status } = await runUnidbg(['backtrace', pid]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^vcpu 0 \[(?:running|halted)[^\n]*\]\n {4}#0 {2}0x[0-9a-f]+ \S+.* \[registers\]\n/);
    expect(stdout).toMatch(
      /\nthread worker-\d \[[a-z]+[^\n]*\]\n {4}#0 .*\n(?: {4}#.*\n)* {4}#\d+ .*worker.* at \S*\.c:\d+ \[cfi\]\n/,
    );
  });

  it('goes on while they are read, and only --exact stops it, shortly', async () => {
    const monitor = await openQmp({ kind: 'unix', path: second });
    const stops: string[] = [];
    monitor.subscribe(({ name }) => {
      if (name === 'STOP' || name === 'RESUME') stops.push(name);
    });
    const looked = await documentOf([pid]);
    expect(stops).toEqual([]);
    const exact = await documentOf([pid, '--exact']);
    await monitor.execute('query-status');
    monitor.close();
    expect(stops).toEqual(['STOP', 'RESUME']);
    expect(looked.stoppedMs).toBeNull();
    expect(exact.stoppedMs).toBeGreaterThan(0);
    expect(exact.stoppedMs).toBeLessThan(2000);
    expect(exact.stacks.every(({ torn, state }) => !torn && state !== 'stopped')).toBe(true);
  });

  it('gives stacks as in the report, with arguments, trust and an end', async () => {
    const { schemaVersion, stacks, images } = await documentOf([pid]);
    expect(schemaVersion).toBe(1);
    expect(images.map(({ match }) => match)).not.toContain('mismatch');
    expect(stacks.filter(({ kind }) => kind === 'vcpu').map(({ id }) => id)).toEqual(['0', '1']);
    const thread = stacks.find(({ name }) => name.startsWith('worker-'))!;
    expect(thread.end).toBe('outermost');
    expect(thread.frames[0]).toMatchObject({ index: 0, status: 'symbolicated', inlined: false });
    expect(thread.frames.some((frame) => (frame.arguments?.length ?? 0) > 0)).toBe(true);
  });

  it('shows one vCPU or one thread, and says which there are when there is no such one', async () => {
    expect((await documentOf([pid, '--vcpu', '1'])).stacks.map(({ name }) => name)).toEqual(['vcpu 1']);
    const [worker] = (await documentOf([pid])).stacks.filter(({ kind }) => kind === 'thread');
    // One that runs just then has its stack on a vCPU.
    const names = (await documentOf([pid, '--thread', worker!.name])).stacks.map(({ name }) => name);
    expect([worker!.name, 'vcpu 0,vcpu 1']).toContain(names.join());
    const nobody = await runUnidbg(['backtrace', pid, '--thread', 'nobody']);
    expect([nobody.status, nobody.stdout]).toEqual([2, '']);
    expect(nobody.stderr).toContain(worker!.name);
    const noVcpu = await runUnidbg(['backtrace', pid, '--vcpu', '7']);
    expect(noVcpu.stderr).toBe('unidbg: no vCPU 7; there are 0, 1\n');
  });
});

describe('a recording', () => {
  it('shows its last stacks', async () => {
    const file = join(directory, 'recording');
    await runUnidbg(['attach', pid, '--plain', '--for', '2s', '--record', file]);
    const { stacks, stoppedMs } = await documentOf([file]);
    expect(stoppedMs).toBeNull();
    expect(stacks.map(({ name }) => name)).toContain('vcpu 0');
    expect(stacks.find(({ name }) => name.startsWith('worker-'))?.frames.length).toBeGreaterThan(1);
    const exact = await runUnidbg(['backtrace', file, '--exact']);
    expect([exact.status, exact.stderr]).toEqual([2, `unidbg: --exact: nothing in ${file} moves\n`]);
  });
});

it('says what is no target: an image, another file, a file that is not there, a name of nothing', async () => {
  for (const [target, status, words] of [
    [guest.elf, 3, /is no dump, no bundle and no recording/],
    [import.meta.filename, 3, /is no dump, no bundle and no recording/],
    ['./no-such-file.elf', 3, /there is no file/],
    ['no-such-vm', 3, /no running QEMU/],
  ] as const) {
    const result = await runUnidbg(['backtrace', target]);
    expect([result.status, result.stdout]).toEqual([status, '']);
    expect(result.stderr).toMatch(words);
  }
});
