// The promise: whatever happens to the debugger while the guest is halted, the guest runs again, and only undone is what we
// did. UNIDBG_GUARDIAN_KILLS is how many random moments are tried (default 10).

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GuardedStub, GuardOptions, StubClient } from '../../gdbstub/index.ts';
import { openGuarded, openGuardian, openStub } from '../../gdbstub/index.ts';
import type { LoopGuest } from '../gdbstub/support/loop-guest.ts';
import { buildLoopGuest } from '../gdbstub/support/loop-guest.ts';
import type { TestVm } from '../gdbstub/support/qemu.ts';
import { startVm, timeUntil } from '../gdbstub/support/qemu.ts';

const KILLS = Number(process.env['UNIDBG_GUARDIAN_KILLS'] ?? 10);
const CLIENT = join(import.meta.dirname, '../gdbstub/support/stepping-client.ts');

let guest: LoopGuest;
let vm: TestVm;

beforeAll(async () => {
  guest = buildLoopGuest();
  vm = await startVm(guest, { vcpus: 2 });
  expect(await runsWithin(20_000)).not.toBeNull();
});

afterAll(async () => {
  await vm.close();
  rmSync(guest.directory, { recursive: true, force: true });
});

function guardOptions(changes: Partial<GuardOptions> = {}): GuardOptions {
  return { gdb: vm.gdb, qmp: vm.qmp, wasRunning: true, ...changes };
}

/** Milliseconds until the VM is running and its counter moves, twice in a row; null when that does not come. */
async function runsWithin(limitMs: number): Promise<number | null> {
  return timeUntil(async () => (await moves()) && (await moves()), limitMs);
}

async function moves(): Promise<boolean> {
  const before = await vm.observer.readCounter(guest.symbols.counter);
  await sleep(15);
  return (await vm.observer.status()) === 'running' && (await vm.observer.readCounter(guest.symbols.counter)) > before;
}

/** No such process, or only its entry, which its new parent has yet to collect. */
async function isGone(pid: number): Promise<boolean> {
  const gone = await timeUntil(async () => {
    try {
      return / [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return true;
    }
  }, 5000);
  return gone !== null;
}

function startClient(): ChildProcess {
  return spawn(process.execPath, [CLIENT, JSON.stringify(guardOptions()), String(guest.symbols.work)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
}

async function firstWord(client: ChildProcess): Promise<void> {
  await new Promise((resolve) => client.stdout!.once('data', resolve));
}

describe('kill -9 of a debugger that steps a guest', () => {
  it(`lets the guest run again within 2 s, at each of ${KILLS} random moments`, { timeout: 30_000 + KILLS * 6000 }, async () => {
    const times: number[] = [];
    let halted = 0;
    for (let round = 0; round < KILLS; round += 1) {
      const stops = vm.observer.stops();
      const client = startClient();
      const exited = new Promise((resolve) => client.once('exit', resolve));
      // A third of the moments fall into start-up and connecting, the others into stepping.
      if (round % 3 !== 0) await firstWord(client);
      await sleep(Math.random() * 500);
      process.kill(-client.pid!, 'SIGKILL');
      await exited;
      if (vm.observer.stops() > stops) halted += 1;
      const time = await runsWithin(2000);
      expect(time, `the guest of round ${round} stands still: ${await vm.observer.status()}`).not.toBeNull();
      times.push(time!);
      // Nothing may stop it later either: a breakpoint left behind, a packet carried out late.
      const stopsBefore = vm.observer.stops();
      await sleep(150);
      expect([await vm.observer.status(), vm.observer.stops()], `round ${round}`).toEqual(['running', stopsBefore]);
    }
    console.info(
      `guest runs again: ${times.length} of ${KILLS}, the debugger had stopped it in ${halted}; slowest ${Math.max(...times).toFixed(0)} ms`,
    );
    expect(times).toHaveLength(KILLS);
    expect(halted).toBeGreaterThanOrEqual(Math.floor(KILLS / 2));
  });
});

describe('the guardian', () => {
  let guarded: GuardedStub | null = null;

  async function open(changes: Partial<GuardOptions> = {}): Promise<GuardedStub> {
    guarded = await openGuarded(guardOptions(changes));
    return guarded;
  }

  it('does not touch the guest until a debugger connects', async () => {
    const stops = vm.observer.stops();
    const guardian = await openGuardian(guardOptions());
    await sleep(200);
    expect(await guardian.close()).toEqual({ guest: 'untouched', by: 'nobody connected' });
    expect(vm.observer.stops()).toBe(stops);
    expect(await isGone(guardian.pid)).toBe(true);
  });

  it('stops the guest while it is debugged and lets it run after, breakpoints gone', async () => {
    const { stub, guardian, close } = await open();
    expect(await vm.observer.status()).not.toBe('running');
    await stub.insertBreakpoint({ kind: 'software', address: guest.symbols.work, size: 1 });
    await stub.continue({ timeoutMs: 5000 });
    expect(await close()).toEqual({ guest: 'running', by: 'detach' });
    expect(await runsWithin(2000)).not.toBeNull();
    expect(await isGone(guardian.pid)).toBe(true);
  });

  it('lets a guest run again that was left running into a breakpoint that never comes', async () => {
    const { stub, close } = await open();
    await stub.insertBreakpoint({ kind: 'software', address: 0x3000n, size: 1 });
    const stop = stub.continue();
    stop.catch(() => undefined);
    expect(await runsWithin(2000)).not.toBeNull();
    expect(await close()).toEqual({ guest: 'running', by: 'detach' });
    await expect(stop).rejects.toMatchObject({ code: 'RSP_CLOSED' });
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('leaves a guest paused that somebody had paused before', async () => {
    await vm.observer.execute('stop');
    const { stub, close } = await open({ wasRunning: false });
    await stub.insertBreakpoint({ kind: 'software', address: guest.symbols.work, size: 1 });
    await stub.step();
    expect(await close()).toEqual({ guest: 'paused', by: 'closing' });
    expect(await vm.observer.status()).not.toBe('running');
    await vm.observer.execute('cont');
    // Also the breakpoint is gone.
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('leaves a paused guest paused when the debugger detaches by itself, as gdb does', async () => {
    await vm.observer.execute('stop');
    const { stub, guardian } = await open({ wasRunning: false });
    await stub.detach();
    expect((await guardian.close()).guest).toBe('paused');
    expect(await vm.observer.status()).not.toBe('running');
    await vm.observer.execute('cont');
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('leaves a guest paused that somebody else paused meanwhile', async () => {
    const { stub, close } = await open();
    const stop = stub.continue();
    await sleep(100);
    await vm.observer.execute('stop');
    expect(await stop).toMatchObject({ type: 'stopped', signal: 2 });
    expect(await close()).toEqual({ guest: 'paused', by: 'closing' });
    expect(await vm.observer.status()).toBe('paused');
    await vm.observer.execute('cont');
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('survives the signals that a terminal or a supervisor sends, and its group being killed', async () => {
    const client = startClient();
    await firstWord(client);
    const guardianPid = childOf(client.pid!);
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM', 'SIGQUIT'] as const) process.kill(guardianPid, signal);
    await sleep(100);
    process.kill(-client.pid!, 'SIGKILL');
    expect(await runsWithin(2000)).not.toBeNull();
    expect(await isGone(guardianPid)).toBe(true);
  });

  it('is replaced by another that undoes its session when it is killed itself, whenever that is', async () => {
    for (let round = 0; round < 5; round += 1) {
      const { stub, guardian, close } = await open();
      await stub.insertBreakpoint({ kind: 'software', address: guest.symbols.work, size: 1 });
      const stepping = stepForEver(stub);
      await sleep(Math.random() * 50);
      process.kill(guardian.pid, 'SIGKILL');
      await expect(stepping).rejects.toMatchObject({ code: 'RSP_CLOSED' });
      expect(await runsWithin(3000)).not.toBeNull();
      expect(await close()).toMatchObject({ guest: 'running', by: 'detach after reconnecting' });
    }
  });

  it('lets a guest run again that was given a step which never ends', async () => {
    const { stub, close } = await open();
    // The second processor was never started.
    const [, halted] = await stub.threads();
    const step = stub.step({ thread: halted!.id, timeoutMs: 300 });
    await expect(step).rejects.toMatchObject({ code: 'RSP_TIMEOUT' });
    expect(await close()).toEqual({ guest: 'running', by: 'detach' });
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('uses QMP when the gdbstub was taken away', async () => {
    const { close } = await open();
    await vm.observer.execute('human-monitor-command', { 'command-line': 'gdbserver none' });
    expect(await vm.observer.status()).toBe('paused');
    expect(await runsWithin(3000)).not.toBeNull();
    expect(await close()).toEqual({ guest: 'running', by: 'qmp cont' });
    await vm.observer.execute('human-monitor-command', { 'command-line': `gdbserver unix:${pathOf(vm)},server=on,wait=off` });
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('turns a second debugger away while one is there', async () => {
    const { guardian, stub, close } = await open();
    await expect(openStub(guardian.endpoint)).rejects.toMatchObject({ code: 'RSP_CLOSED' });
    expect(Object.keys(await stub.registers())).toContain('rip');
    await close();
    expect(await runsWithin(2000)).not.toBeNull();
  });

  it('serves one debugger after another', async () => {
    const guardian = await openGuardian(guardOptions());
    for (let round = 0; round < 3; round += 1) {
      const stub = await openStub(guardian.endpoint);
      await stub.detach();
      expect(await runsWithin(2000)).not.toBeNull();
    }
    await guardian.close();
  });

  it('says that nobody listens, without having touched anything', async () => {
    const nowhere = guardOptions({ gdb: { type: 'unix', path: join(guest.directory, 'nowhere') } });
    await expect(openGuarded(nowhere)).rejects.toMatchObject({ code: 'RSP_CONNECT' });
  });
});

async function stepForEver(stub: StubClient): Promise<never> {
  for (;;) await stub.step();
}

function pathOf({ gdb }: TestVm): string {
  return gdb.type === 'unix' ? gdb.path : '';
}

/** The one child process of `pid`. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
}
