// The live target on a real QEMU: what attaching promises, above all that it stops nothing.

import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { errorCode, errorMessage } from '../../src/model/error.ts';
import { findVm } from '../../src/qemu/discover/find.ts';
import { createHostSampler } from '../../src/qemu/host-metrics.ts';
import { openQmp } from '../../src/qemu/qmp/client.ts';
import { type LiveOptions, type LiveTarget, openLive } from '../../src/targets/live.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const open: { close: () => void }[] = [];

afterEach(() => {
  for (const thing of open.splice(0)) thing.close();
});

async function attach(guest: DemoGuest, options: LiveOptions = {}): Promise<LiveTarget> {
  const target = await openLive(findVm(String(guest.process.pid)), options);
  open.push(target);
  return target;
}

/** Link address of a symbol of the demo guest, which runs where it was linked. */
function addressOf(elf: string, symbol: string): bigint {
  const line = execFileSync('nm', [elf], { encoding: 'utf8' })
    .split('\n')
    .find((text) => text.endsWith(` ${symbol}`));
  return BigInt(`0x${line!.split(' ')[0]!}`);
}

async function readTicks(target: LiveTarget, address: bigint): Promise<bigint> {
  const bytes = await target.memory(await target.registers(0)).walk((memory) => memory.read(address, 8));
  return Buffer.from(bytes!).readBigUInt64LE();
}

describe('a live target', () => {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-live-'));
  const witness = join(folder, 'witness.sock');
  const human = join(folder, 'human.sock');
  let guest: DemoGuest;
  let ticks: bigint;

  beforeAll(async () => {
    guest = await startDemoGuest({
      append: 'quiet',
      qemuArgs: [
        ...['-qmp', `unix:${witness},server=on,wait=off`, '-monitor', `unix:${human},server=on,wait=off`],
        ...['-device', 'virtio-net-pci,netdev=n0', '-netdev', 'user,id=n0'],
      ],
    });
    ticks = addressOf(guest.elf, 'tick_count');
    await guest.waitForConsole(/\n/);
  });
  afterAll(async () => {
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each([['process-memory'], ['xp'], ['pmemsave']] as const)(
    'reads through %s for a second without a STOP event or a missing tick',
    async (reader) => {
      const observer = await openQmp({ kind: 'unix', path: witness });
      open.push(observer);
      const events: string[] = [];
      observer.subscribe((event) => events.push(event.name));
      const target = await attach(guest, { readers: [reader] });
      const counts = [await readTicks(target, ticks)];
      for (const until = Date.now() + 1000; Date.now() < until; ) {
        for (const from = Date.now(); Date.now() < from + 150; ) await readTicks(target, ticks);
        counts.push(await readTicks(target, ticks));
      }
      for (const [index, count] of counts.entries()) expect(count).toBeGreaterThan(index === 0 ? 0n : counts[index - 1]!);
      expect(events).toEqual([]);
      expect(target.state()).toMatchObject({ status: 'running' });
    },
  );

  it('is attached within half a second, knows the machine, and reads the code under rip', async () => {
    const from = performance.now();
    const target = await attach(guest);
    const registers = await target.registers(0);
    expect(performance.now() - from).toBeLessThan(500);
    expect(target.facts).toMatchObject({
      pid: guest.process.pid,
      machine: 'x86_64',
      accelerator: 'tcg',
      memoryBytes: 134217728,
      vcpus: 1,
    });
    expect(target.vcpus()).toEqual([0]);
    const code = await target.memory(registers).walk((memory) => memory.read(registers.values['rip']!, 16));
    expect(code?.some((byte) => byte !== 0)).toBe(true);
    expect(await codeOf(target.registers(7))).toBe('REGISTERS_UNREADABLE');
  });

  it('finds the process itself when only an endpoint is given', async () => {
    const target = await openLive({ endpoint: { kind: 'unix', path: witness } });
    open.push(target);
    expect(target.facts.pid).toBe(guest.process.pid);
  });

  it('works through a human monitor alone', async () => {
    const target = await openLive({ endpoint: { kind: 'unix', path: human } });
    open.push(target);
    expect(target.monitor.qmp).toBeNull();
    const before = await readTicks(target, ticks);
    await sleep(100);
    expect(await readTicks(target, ticks)).toBeGreaterThan(before);
    expect(target.state().status).toBe('running');
  });

  it('says who is in the way when the QMP socket is taken', async () => {
    const first = await openQmp({ kind: 'unix', path: witness });
    open.push(first);
    const second = openLive({ endpoint: { kind: 'unix', path: witness } }, { connectTimeoutMs: 300 });
    await expect(second).rejects.toThrow(/another program is connected.*second one: -qmp/s);
  });

  it('stops the guest for exactly as long as exact mode says, and only then', async () => {
    const target = await attach(guest);
    const states: string[] = [];
    target.onState(({ status }) => states.push(status));
    const { value, stoppedMs } = await target.exactly(async () => {
      const before = await readTicks(target, ticks);
      await sleep(100);
      return (await readTicks(target, ticks)) - before;
    });
    expect(value).toBe(0n);
    expect(stoppedMs).toBeGreaterThanOrEqual(99);
    const after = await readTicks(target, ticks);
    await sleep(200);
    expect(await readTicks(target, ticks)).toBeGreaterThan(after);
    expect(states).toEqual(['paused', 'running']);
  });

  it('is measured from the host', async () => {
    const target = await attach(guest);
    const sampler = createHostSampler(target.monitor, target.facts.pid);
    const samples = await sampler.sample();
    const value = (name: string, attribute = ''): number | null | undefined =>
      samples.find((sample) => sample.name === name && Object.values(sample.attributes).join().includes(attribute))?.value;
    expect(value('system.cpu.time', '0')).toBeGreaterThan(0);
    expect(value('unikernel.memory.allocated')).toBe(134217728);
    expect(value('unikernel.memory.resident')).toBeGreaterThan(1 << 20);
    expect(value('system.network.packets', 'n0,transmit')).toBeGreaterThan(0);
  });
});

describe('a live target without the right to look into QEMU', () => {
  it('falls back to the monitor and says why, and what would help', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'unidbg-live-denied-'));
    const savedPath = process.env['PATH'];
    // A program that its user may run but not read is not dumpable: /proc/<pid>/mem, maps and fd are closed to that user.
    const qemu = execFileSync('sh', ['-c', 'command -v qemu-system-x86_64'], { encoding: 'utf8' }).trim();
    copyFileSync(qemu, join(folder, 'qemu-system-x86_64'));
    chmodSync(join(folder, 'qemu-system-x86_64'), 0o111);
    process.env['PATH'] = `${folder}:${savedPath ?? ''}`;
    // Away from its place it has to be told where Debian keeps its modules and firmware.
    process.env['QEMU_MODULE_DIR'] = '/usr/lib/x86_64-linux-gnu/qemu';
    const guest = await startDemoGuest({ append: 'quiet', qemuArgs: ['-L', '/usr/share/qemu', '-L', '/usr/share/seabios'] });
    process.env['PATH'] = savedPath;
    delete process.env['QEMU_MODULE_DIR'];
    chmodSync(guest.folder, 0o755);
    chmodSync(guest.qmpPath, 0o666);
    // Root may look anyway: it becomes somebody else for the while.
    const isRoot = process.geteuid!() === 0;
    if (isRoot) process.seteuid!(65534);
    try {
      const target = await openLive({ endpoint: { kind: 'unix', path: guest.qmpPath } });
      open.push(target);
      const text = target.describe().map(({ message }) => message);
      expect(text[0]).toBe('guest memory is read through the monitor (HMP xp)');
      expect(text[1]).toMatch(/^ram-file not used: .*EACCES/);
      expect(text[2]).toMatch(/^process-memory not used: not permitted: EACCES.*\((the process is another user's|Yama)/);
      const registers = await target.registers(0);
      expect(await target.memory(registers).walk((memory) => memory.read(registers.values['rip'] ?? 0x100000n, 16))).toHaveLength(
        16,
      );
      const saved = await openPmemsave(guest, target);
      expect(saved).toBe('pmemsave');
    } finally {
      if (isRoot) process.seteuid!(0);
      await guest.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** One client per socket: the first lets go before the second comes. */
async function openPmemsave(guest: DemoGuest, first: LiveTarget): Promise<string> {
  first.close();
  const target = await openLive({ endpoint: { kind: 'unix', path: guest.qmpPath } }, { readers: ['pmemsave'] });
  open.push(target);
  return target.describe()[0]!.message.includes('pmemsave') ? 'pmemsave' : target.describe()[0]!.message;
}

describe('the end of a VM', () => {
  it('is told within a second of kill -9, and what was pending is rejected', async () => {
    const guest = await startDemoGuest({ append: 'quiet' });
    const target = await attach(guest);
    const gone = new Promise<void>((resolve) => {
      target.onState(({ status }) => {
        if (status === 'gone') resolve();
      });
    });
    guest.process.kill('SIGKILL');
    await Promise.race([gone, sleep(1000).then(() => Promise.reject(new Error('not told')))]);
    expect(await codeOf(target.registers(0))).toBe('QMP_CLOSED');
    await guest.stop();
  });

  it('is known as a panic, a reset or a switch-off', async () => {
    const seen: string[] = [];
    for (const [mode, flags] of [
      ['null', ['-device', 'pvpanic', '-action', 'panic=pause']],
      ['triple', ['-no-shutdown']],
      ['exit', ['-no-shutdown']],
    ] as const) {
      const guest = await startDemoGuest({ append: `quiet crash=${mode}`, qemuArgs: flags });
      const target = await attach(guest);
      for (const until = Date.now() + 15_000; target.state().status === 'running' && Date.now() < until; ) await sleep(20);
      seen.push(`${mode}: ${target.state().status}, ${target.state().reason ?? ''}`);
      expect((await target.registers(0)).values['rip']).toBeGreaterThan(0x100000n);
      await guest.stop();
    }
    expect(seen).toEqual([
      'null: crashed, the guest reported its panic (pvpanic)',
      'triple: shutdown, the guest reset itself: a reboot, or a triple fault',
      'exit: shutdown, the guest switched itself off',
    ]);
  });
});

async function codeOf(promise: Promise<unknown>): Promise<string | null> {
  return promise.then(
    () => null,
    (error: unknown) => errorCode(error) ?? errorMessage(error),
  );
}
