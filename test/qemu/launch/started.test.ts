// What is started for `ci`: shims in PATH, the files that take a program's words, and the keeper that leaves nothing behind.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startCommand } from '../../../src/qemu/launch/command.ts';
import { MARK, openKeeper } from '../../../src/qemu/launch/keeper.ts';
import { OutputTail } from '../../../src/qemu/launch/output-tail.ts';
import { claim, countOthers, findNote, makeShims, release } from '../../../src/qemu/launch/shim-folder.ts';
import { findStartTime } from '../../../src/qemu/process.ts';

let folder = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'started-test-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A PATH with a QEMU in it that only says its arguments. */
function fakeQemu(): string {
  const real = join(folder, 'real');
  mkdirSync(real);
  writeFileSync(join(real, 'qemu-system-x86_64'), '#!/bin/sh\nfor word; do echo "$word"; done\n');
  chmodSync(join(real, 'qemu-system-x86_64'), 0o755);
  return `${real}:/usr/bin:/bin`;
}

function runShimmed(args: readonly string[], path: string): readonly string[] {
  const { stdout } = spawnSync('qemu-system-x86_64', [...args], {
    env: { ...process.env, PATH: path, [MARK]: folder },
    encoding: 'utf8',
  });
  return stdout.trim().split('\n');
}

describe('a shim', () => {
  it('becomes the real QEMU with what attaching needs, for the first that starts', () => {
    const path = makeShims(folder, { hold: true }, fakeQemu());
    const words = runShimmed(['-nodefaults', '-append', 'it\'s a "test" $HOME'], path);
    expect(words.slice(0, 3)).toEqual(['-nodefaults', '-append', 'it\'s a "test" $HOME']);
    expect(words).toContain('-S');
    expect(words.find((word) => word.startsWith('unix:'))).toContain(join(folder, 'vm', 'qmp.sock'));
    expect(findNote(folder)?.plan?.isHeld).toBe(true);
    expect(runShimmed(['-nodefaults'], path)).toEqual(['-nodefaults']);
    expect(countOthers(folder)).toBe(1);
    release(folder);
    expect(claim(folder)).toBe(join(folder, 'vm'));
  });

  it('leaves questions alone, and who lets the guest go himself', () => {
    const path = makeShims(folder, { hold: true }, fakeQemu());
    for (const question of [
      ['-version'],
      ['-cpu', 'help'],
      ['-machine', 'none', '-qmp', 'stdio'],
      ['-device', 'virtio-net-pci,help'],
    ])
      expect(runShimmed(question, path)).toEqual(question);
    expect(findNote(folder)).toBeNull();
    expect(runShimmed(['-nodefaults', '-S', '-daemonize'], path).filter((word) => word === '-S')).toHaveLength(1);
    expect(findNote(folder)?.plan?.isHeld).toBe(false);
  });

  it('says why a command line is refused', () => {
    const path = makeShims(folder, { hold: true, memoryBytes: 64 << 20 }, fakeQemu());
    runShimmed(['-mem-path', '/dev/hugepages'], path);
    expect(findNote(folder)).toMatchObject({ plan: null, refused: expect.stringContaining('cannot be chosen') as string });
  });
});

describe('a tail', () => {
  it('tells the newest lines, safe for a terminal, however they were cut', () => {
    const echoed: string[] = [];
    const path = join(folder, 'out');
    const tail = new OutputTail(path, (text) => echoed.push(text));
    const counts: number[] = [];
    const bytes = Buffer.from('first\nünïcode \u001b[31mred\r\n');
    for (const byte of bytes) {
      appendFileSync(path, Buffer.of(byte));
      counts.push(tail.lines.length);
    }
    expect(counts.at(-1)).toBe(2);
    expect(tail.lines).toEqual(['first', 'ünïcode ?[31mred']);
    expect(echoed.join('')).toBe(bytes.toString());
    tail.close();
    expect(tail.lines).toHaveLength(2);
  });

  it('does not let a flood fill the disk', () => {
    const path = join(folder, 'out');
    const tail = new OutputTail(path);
    for (let turn = 0; turn < 6; turn += 1) {
      appendFileSync(path, `${'x'.repeat(4 << 20)}\nline ${turn}\n`);
      expect(tail.lines.at(-1)).toBe(`line ${turn}`);
    }
    expect(statSync(path).size).toBeLessThan(17 << 20);
    tail.close();
  });
});

describe('a keeper', () => {
  const waitGone = async (pid: number): Promise<boolean> => {
    for (let turn = 0; turn < 200 && findStartTime(pid) !== null; turn += 1) await sleep(20);
    return findStartTime(pid) === null;
  };

  it('ends what was started and its children, told or not, detached or not', async () => {
    const place = mkdtempSync(join(folder, 'kept-'));
    const keeper = openKeeper(place);
    const script = 'trap "" TERM; setsid sleep 60 & echo $!; sleep 60';
    const child = spawn('sh', ['-c', script], { env: keeper.env, detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
    const [said] = (await once(child.stdout, 'data')) as [Buffer];
    await keeper.close();
    expect(await waitGone(Number(said.toString()))).toBe(true);
    expect(await waitGone(child.pid!)).toBe(true);
    expect(existsSync(place)).toBe(false);
  });

  it('does so too when we are killed without a word', async () => {
    const place = mkdtempSync(join(folder, 'kept-'));
    const module = join(import.meta.dirname, '../../../src/qemu/launch/keeper.ts');
    const code = [
      `import { openKeeper } from ${JSON.stringify(module)};`,
      "import { spawn } from 'node:child_process';",
      `const keeper = openKeeper(${JSON.stringify(place)});`,
      "console.log(spawn('sleep', ['60'], { env: keeper.env, detached: true, stdio: 'ignore' }).pid);",
      'setInterval(() => undefined, 1000);',
    ].join('\n');
    const owner = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(owner.stdout, 'data')) as [Buffer];
    owner.kill('SIGKILL');
    expect(await waitGone(Number(said.toString()))).toBe(true);
    for (let turn = 0; turn < 100 && existsSync(place); turn += 1) await sleep(20);
    expect(existsSync(place)).toBe(false);
  });
});

describe('a command that starts no VM', () => {
  it.each([
    [['sh', '-c', 'echo building; exit 4'], /sh ended with status 4, and no qemu-system-… .*it said:\n {2}building/s],
    [['/nonexistent/launcher'], /is not installed, or not in PATH/],
    [['sh', '-c', 'sleep 60'], /has started no QEMU within/],
  ])('says so: %j', async (argv, words) => {
    const command = startCommand(argv, { wishes: { hold: true }, stdin: 'ignore' });
    try {
      await expect(command.next(1500)).rejects.toThrow(words);
    } finally {
      await command.close();
    }
  });

  it('is refused when it is none', () => {
    expect(() => startCommand([], { wishes: {}, stdin: 'ignore' })).toThrow('what is to be run?');
    expect(() => startCommand(['qemu-system-x86_64', '-S'], { wishes: { hold: true }, stdin: 'ignore' })).toThrow('leave -S');
  });
});
