// What `unidbg run` adds to a command line, on a real QEMU.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { findVm } from '../../src/qemu/discover/find.ts';
import { type LaunchedVm, launchVm } from '../../src/qemu/launch/launch.ts';
import { type LiveTarget, openLive } from '../../src/targets/live.ts';
import { buildDemoGuest } from '../guests/build.ts';

let vm: LaunchedVm | null = null;
let target: LiveTarget | null = null;

afterEach(async () => {
  target?.close();
  await vm?.dispose();
  [vm, target] = [null, null];
});

async function launch(append: string, flags: readonly string[]): Promise<LaunchedVm> {
  const elf = await buildDemoGuest('fp');
  const base = ['qemu-system-x86_64', '-accel', 'tcg', '-display', 'none', '-kernel', elf, '-append', append];
  vm = await launchVm([...base, ...flags], { terminal: 'kept' });
  return vm;
}

async function attach(launched: LaunchedVm): Promise<LiveTarget> {
  target = await openLive(findVm(String(launched.pid)));
  return target;
}

describe('launchVm', () => {
  it.each([
    [['-machine', 'q35', '-m', '128M', '-nodefaults', '-serial', 'stdio']],
    [['-machine', 'pc', '-serial', 'mon:stdio']],
    [['-machine', 'q35', '-m', '256', '-smp', '2']],
    [['-nodefaults', '-serial', 'null']],
    [['-nodefaults', '-chardev', 'pty,id=c', '-serial', 'chardev:c']],
    [['-nodefaults', '-serial', 'tcp:127.0.0.1:0,server,nowait']],
  ])('gives fast memory and the console from its first byte with %j', async (flags) => {
    const launched = await launch('', flags);
    const live = await attach(launched);
    expect(live.facts.memoryReader).toMatch(/^shared RAM file \/memfd:/);
    const console = launched.plan.consoles[0]!.path;
    const deadline = Date.now() + 20_000;
    while (!/demo: unikernel up/.test(readFileSync(console, 'latin1'))) {
      if (Date.now() > deadline) throw new Error(`the console has only: ${readFileSync(console, 'latin1')}`);
      await sleep(20);
    }
    expect(live.state().status).toBe('running');
  });

  it('closes its folder and socket to everybody else, and removes them', async () => {
    const launched = await launch('', ['-nodefaults']);
    expect(statSync(launched.folder).mode & 0o777).toBe(0o700);
    expect(statSync(launched.plan.socket).mode & 0o777).toBe(0o600);
    await launched.dispose();
    expect(existsSync(launched.folder)).toBe(false);
  });

  it('keeps a guest that panics or triple-faults, and lets it be read', async () => {
    for (const mode of ['null', 'triple']) {
      const launched = await launch(`crash=${mode}`, ['-nodefaults', '-serial', 'stdio']);
      const live = await attach(launched);
      for (const until = Date.now() + 20_000; live.state().status === 'running' && Date.now() < until; ) await sleep(20);
      expect(live.state().status).toBe(mode === 'null' ? 'crashed' : 'shutdown');
      const registers = await live.registers(0);
      const code = await live.memory(registers).walk((memory) => memory.read(registers.values['rip']!, 8));
      expect(code?.some((byte) => byte !== 0)).toBe(true);
      live.close();
      await launched.dispose();
    }
  });

  it('lets the exit status of isa-debug-exit through', async () => {
    const launched = await launch('crash=exit code=3', ['-nodefaults', '-serial', 'stdio', '-device', 'isa-debug-exit']);
    expect(await launched.exited).toEqual({ status: 7, signal: null });
  });

  it('says what QEMU said when it refuses the command line', async () => {
    await expect(launch('', ['-nodefaults', '-device', 'no-such-device'])).rejects.toThrow(
      /QEMU ended with status 1 before it could be talked to: .*no-such-device/s,
    );
    await expect(launchVm(['/nonexistent/qemu-system-x86_64'], { terminal: 'kept' })).rejects.toThrow(
      'is not installed, or not in PATH',
    );
  });
});
