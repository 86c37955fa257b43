// The RSP client and the real gdb on a real QEMU, and the client on Debian's gdbserver. The facts that the folklore
// comments in gdbstub/ state of QEMU are shown here. UNIDBG_TEST_QEMU names another QEMU to try them on.

import { execFileSync, spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../../gdbstub/client/connection.ts';
import { openSocket } from '../../gdbstub/client/endpoint.ts';
import { decodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import type { GuardedStub, Guardian, GuardOptions, StubClient, StubOptions } from '../../gdbstub/index.ts';
import { openGuarded, openGuardian, openStub } from '../../gdbstub/index.ts';
import { openGdb } from '../../src/gdb/gdb.ts';
import type { LoopGuest } from '../gdbstub/support/loop-guest.ts';
import { buildLoopGuest } from '../gdbstub/support/loop-guest.ts';
import type { TestVm } from '../gdbstub/support/qemu.ts';
import { startVm, timeUntil } from '../gdbstub/support/qemu.ts';

let guest: LoopGuest;
let vm: TestVm;
let guarded: GuardedStub | null = null;

beforeAll(async () => {
  guest = buildLoopGuest();
  vm = await startVm(guest, { vcpus: 2, stub: false });
  expect(await timeUntil(moves, 20_000)).not.toBeNull();
});

afterEach(async () => {
  await guarded?.close();
  guarded = null;
  await vm.observer.execute('cont');
  expect(await timeUntil(moves, 3000)).not.toBeNull();
});

afterAll(async () => {
  await vm.close();
  rmSync(guest.directory, { recursive: true, force: true });
});

async function moves(): Promise<boolean> {
  const before = await vm.observer.readCounter(guest.symbols.counter);
  await sleep(15);
  return (await vm.observer.readCounter(guest.symbols.counter)) > before;
}

function guardOptions(): GuardOptions {
  return { gdb: vm.gdb, qmp: vm.qmp, wasRunning: true };
}

async function open(options: StubOptions = {}): Promise<StubClient> {
  guarded = await openGuarded({ ...guardOptions(), ...options });
  return guarded.stub;
}

/** A bare connection, to show what QEMU says. */
async function connectRaw(): Promise<{ ask: (request: string) => Promise<string>; close: () => void }> {
  const connection = new Connection(await openSocket(vm.gdb, { timeoutMs: 2000 }), { requestTimeoutMs: 2000 });
  return {
    ask: async (request) => decodeLatin1(await connection.request(request, { stopReply: request === '?' })),
    close: () => {
      connection.close();
    },
  };
}

describe('QEMU’s gdbstub', () => {
  it('can be opened at run time by the monitor, which does not stop the guest', async () => {
    const path = vm.gdb.type === 'unix' ? vm.gdb.path : '';
    const stops = vm.observer.stops();
    await vm.observer.execute('human-monitor-command', { 'command-line': `gdbserver unix:${path},server=on,wait=off` });
    expect(await moves()).toBe(true);
    expect(vm.observer.stops()).toBe(stops);
  });

  it('stops the guest on connecting, and leaves it so when the client is lost', async () => {
    const raw = await connectRaw();
    expect(await raw.ask('?')).toMatch(/^T0[25]/);
    raw.close();
    await sleep(200);
    expect(await vm.observer.status()).toBe('paused');
  });

  it('keeps a lost client’s breakpoints until ? or D', async () => {
    const place = `0,${guest.symbols.work.toString(16)},1`;
    for (const cure of ['?', 'D;1', 'D']) {
      const lost = await connectRaw();
      // A client that asked for multiprocess, as gdb does, changes QEMU's thread-ids for all that follow.
      await lost.ask('qSupported:multiprocess+');
      expect(await lost.ask(`Z${place}`)).toBe('OK');
      lost.close();
      await vm.observer.execute('cont');
      expect(await timeUntil(async () => (await vm.observer.status()) === 'debug', 3000)).not.toBeNull();
      const next = await connectRaw();
      const answer = await next.ask(cure);
      next.close();
      // The second fact: D without the process is refused from then on.
      expect(answer).toMatch({ '?': /^T05thread:p01\.01;/, 'D;1': /^OK$/, D: /^E22$/ }[cure]!);
    }
    const last = await connectRaw();
    expect(await last.ask('D;1')).toBe('OK');
    last.close();
  });
});

describe('the client on QEMU', () => {
  it('reads registers as the monitor prints them', async () => {
    const stub = await open();
    const values = await stub.registers();
    const info = (await vm.observer.execute('human-monitor-command', { 'command-line': 'info registers' })) as string;
    for (const [name, label] of [
      ['rax', 'RAX'],
      ['rsp', 'RSP'],
      ['rip', 'RIP'],
      ['cr3', 'CR3'],
      ['cr0', 'CR0'],
    ] as const) {
      const printed = new RegExp(`${label}\\s*=\\s*([0-9a-f]+)`).exec(info)![1]!;
      expect([name, values[name]]).toEqual([name, BigInt(`0x${printed}`)]);
    }
    expect(await stub.register('rip')).toBe(values['rip']);
    expect(await stub.architecture()).toBe('i386:x86-64');
  });

  it('reads registers and memory as gdb does', async () => {
    const stub = await open();
    const [values, code] = [await stub.registers(), await stub.readMemory(guest.symbols.work, 16)];
    await guarded!.close();
    const guardian = await openGuardian(guardOptions());
    const said = runGdb(guardian, [
      'print /x $cr3',
      'print /x $cr0',
      'print /x $cs',
      `x/16bx 0x${guest.symbols.work.toString(16)}`,
    ]);
    await guardian.close();
    expect(said).toContain(`= 0x${values['cr3']!.toString(16)}`);
    expect(said).toContain(`= 0x${values['cs']!.toString(16)}`);
    const bytes = [...said.matchAll(/\t0x([0-9a-f]{2})/g)].map(([, digits]) => Number.parseInt(digits!, 16));
    expect(bytes).toEqual([...code]);
  });

  it('lists the vCPUs, and reads each one’s registers', async () => {
    const stub = await open();
    const threads = await stub.threads();
    expect(threads.map(({ name }) => name)).toEqual([expect.stringMatching(/CPU#0/), expect.stringMatching(/CPU#1/)]);
    const pcs = [];
    for (const { id } of threads) pcs.push((await stub.registers(id))['rip']);
    // The second processor was never started: it waits in the firmware.
    expect(pcs[0]).toBeGreaterThanOrEqual(guest.symbols.work);
    expect(pcs[1]).not.toBe(pcs[0]);
  });

  it('stops at a breakpoint again and again, steps, and watches a variable', async () => {
    const stub = await open();
    const counter = async (): Promise<bigint> => Buffer.from(await stub.readMemory(guest.symbols.counter, 8)).readBigUInt64LE();
    for (const kind of ['software', 'hardware'] as const) {
      await stub.insertBreakpoint({ kind, address: guest.symbols.work, size: 1 });
      await stub.continue({ timeoutMs: 5000 });
      const before = await counter();
      expect(await stub.register('rip')).toBe(guest.symbols.work);
      await stub.continue({ timeoutMs: 5000 });
      expect(await stub.register('rip')).toBe(guest.symbols.work);
      expect(await counter()).toBe(before + 1n);
      await stub.step();
      expect(await stub.register('rip')).not.toBe(guest.symbols.work);
      await stub.removeBreakpoint({ kind, address: guest.symbols.work, size: 1 });
    }
    await stub.insertBreakpoint({ kind: 'write', address: guest.symbols.counter, size: 8 });
    expect(await stub.continue({ timeoutMs: 5000 })).toMatchObject({ reason: { type: 'write', address: guest.symbols.counter } });
  });

  it('interrupts a guest that runs', async () => {
    const stub = await open();
    const stop = stub.continue();
    await sleep(50);
    await expect(stub.registers()).rejects.toMatchObject({ code: 'RSP_RUNNING' });
    expect(await stub.interrupt()).toMatchObject({ type: 'stopped', signal: 2 });
    expect(await stop).toEqual(stub.lastStop);
  });

  it('asks QEMU’s monitor, but for nothing that changes the guest', async () => {
    const stub = await open();
    expect(await stub.monitor('info version')).toMatch(/^[0-9]+\.[0-9]+/);
    await expect(stub.monitor('system_reset')).rejects.toMatchObject({ code: 'RSP_REFUSED' });
  });

  it('refuses unmapped memory, and goes on', async () => {
    const stub = await open();
    await expect(stub.readMemory(0xffff_9000_0000_0000n, 8)).rejects.toMatchObject({ code: 'RSP_REFUSED' });
    expect(await stub.readMemory(guest.symbols.origin, 8)).toEqual(Uint8Array.of(3, 0, 0, 0, 4, 0, 0, 0));
  });

  it('writes memory and registers where that is allowed', async () => {
    const stub = await open({ allowWrite: true });
    await stub.writeMemory(guest.symbols.origin, Uint8Array.of(0x23, 0x24, 0x7d, 0x2a));
    expect(await stub.readMemory(guest.symbols.origin, 4)).toEqual(Uint8Array.of(0x23, 0x24, 0x7d, 0x2a));
    await stub.writeMemory(guest.symbols.origin, Uint8Array.of(3, 0, 0, 0));
    const before = await stub.register('r15');
    await stub.writeRegister('r15', 0xfedc_ba98_7654_3210n);
    expect(await stub.register('r15')).toBe(0xfedc_ba98_7654_3210n);
    await stub.writeRegister('r15', before);
  });
});

describe('the real gdb', () => {
  it('evaluates expressions with the guest stopped only meanwhile', async () => {
    const gdb = await openGdb({ images: [{ path: guest.elf, loadBias: 0n }], machine: 'x86_64', guard: guardOptions });
    try {
      expect(await moves()).toBe(true);
      expect(await gdb.evaluate('origin')).toMatch(/^\{x = 3, y = 4, name = 0x[0-9a-f]+ "origin"\}$/);
      expect(await timeUntil(moves, 2000)).not.toBeNull();
      await expect(gdb.evaluate('nosuch')).rejects.toMatchObject({
        code: 'GDB_FAILED',
        message: 'No symbol "nosuch" in current context.',
      });
      await expect(gdb.evaluate('counter = 0')).rejects.toMatchObject({ code: 'GDB_FAILED', message: /Cannot access memory/ });
      expect(await Promise.all([gdb.evaluate('origin.x + 1'), gdb.evaluate('$rip', { vcpu: 0 })])).toEqual([
        '4',
        expect.stringMatching(/^\(?.*0x20/),
      ]);
      expect(await timeUntil(moves, 2000)).not.toBeNull();
    } finally {
      await gdb.close();
    }
  });

  it('leaves the guest running when it is killed while connected', async () => {
    const guardian = await openGuardian(guardOptions());
    const child = spawn(
      'gdb',
      [
        '-nx',
        '-q',
        '-ex',
        `target remote ${guardian.endpoint.path}`,
        '-ex',
        `break *0x${guest.symbols.work.toString(16)}`,
        '-ex',
        'continue',
      ],
      { stdio: ['pipe', 'ignore', 'ignore'] },
    );
    expect(await timeUntil(async () => (await vm.observer.status()) === 'debug', 10_000)).not.toBeNull();
    child.kill('SIGKILL');
    expect(await timeUntil(moves, 2000)).not.toBeNull();
    expect(await guardian.close()).toEqual({ guest: 'running', by: 'detach' });
  });

  it('cannot kill a guest, and runs interactively with all in place', () => {
    const program = `
      import { runInteractiveGdb } from ${JSON.stringify(join(import.meta.dirname, '../../src/gdb/interactive.ts'))};
      const result = await runInteractiveGdb({ images: [{ path: ${JSON.stringify(guest.elf)}, loadBias: 0n }], machine: 'x86_64',
        guard: ${JSON.stringify(guardOptions())},
        arguments: ['-nx', '-batch', '-ex', 'break work', '-ex', 'continue', '-ex', 'bt 2', '-ex', 'set var counter = 0', '-ex', 'kill'] });
      console.log(JSON.stringify(result.release));`;
    const script = join(guest.directory, 'interactive.ts');
    writeFileSync(script, program);
    const said = execFileSync(process.execPath, [script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    expect(said).toMatch(/Breakpoint 1, work \(n=n@entry=1\) at .*guest\.c/);
    expect(said).toMatch(/#1 .* start64 \(\)/);
    expect(said).toContain('{"guest":"running","by":"detach"}');
  });
});

describe('the client on gdbserver', () => {
  it('debugs a hosted program: no acks, breakpoint, threads, exit status', async () => {
    const directory = guest.directory;
    writeFileSync(
      join(directory, 'hosted.c'),
      '#include <stdio.h>\nvolatile int answer = 42;\nint main(void) { puts("hello"); return answer; }\n',
    );
    execFileSync('gcc', ['-g', '-static', '-no-pie', 'hosted.c', '-o', 'hosted'], { cwd: directory });
    const main = BigInt(
      `0x${/^([0-9a-f]+) T main$/m.exec(execFileSync('nm', [join(directory, 'hosted')], { encoding: 'utf8' }))![1]!}`,
    );
    const port = 20_000 + (process.pid % 20_000);
    const child = spawn('gdbserver', ['--once', `127.0.0.1:${port}`, join(directory, 'hosted')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    try {
      await new Promise((resolve) =>
        child.stderr.on('data', (chunk: Buffer) => {
          if (chunk.includes('Listening')) resolve(undefined);
        }),
      );
      const stub = await openStub({ type: 'tcp', host: '127.0.0.1', port });
      expect(stub.features.get('QStartNoAckMode')).toBe(true);
      await stub.insertBreakpoint({ kind: 'software', address: main, size: 1 });
      expect(await stub.continue({ timeoutMs: 5000 })).toMatchObject({ type: 'stopped', signal: 5 });
      expect((await stub.registers())['rip']).toBe(main);
      expect(await stub.threads()).toHaveLength(1);
      expect(await stub.continue({ timeoutMs: 5000 })).toEqual({ type: 'exited', status: 42 });
      stub.close();
    } finally {
      child.kill('SIGKILL');
    }
  });
});

/** What gdb says to these commands. */
function runGdb({ endpoint }: Guardian, commands: readonly string[]): string {
  const args = [
    '-nx',
    '-q',
    '-batch',
    '-ex',
    `target remote ${endpoint.path}`,
    ...commands.flatMap((command) => ['-ex', command]),
  ];
  return execFileSync('gdb', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}
