// A QEMU for tests of the gdbstub: the guest under test, a stub, a QMP socket for the code under test and one for the test.
// `UNIDBG_TEST_QEMU` names another QEMU than the one on the PATH.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '../../../gdbstub/index.ts';
import type { LoopGuest } from './loop-guest.ts';

/** A running QEMU. `stops` counts the STOP events seen so far. */
export interface TestVm {
  readonly gdb: Endpoint;
  readonly qmp: Endpoint;
  readonly observer: Observer;
  close(): Promise<void>;
}

/** A QMP client as simple as can be. */
export interface Observer {
  readonly stops: () => number;
  execute(command: string, args?: Record<string, unknown>): Promise<unknown>;
  status(): Promise<string>;
  /** The u64 at a guest-virtual address, without a stop. */
  readCounter(address: bigint): Promise<bigint>;
}

export async function startVm(
  guest: LoopGuest,
  options: { readonly vcpus?: number; readonly stub?: boolean } = {},
): Promise<TestVm> {
  const path = (name: string): string => join(guest.directory, name);
  const socket = (name: string): string => `unix:${path(name)},server=on,wait=off`;
  const program = process.env['UNIDBG_TEST_QEMU'] ?? 'qemu-system-x86_64';
  const machine = [
    '-M',
    'q35,accel=tcg',
    '-smp',
    `${options.vcpus ?? 1}`,
    '-m',
    '16',
    '-display',
    'none',
    '-nodefaults',
    '-no-reboot',
  ];
  const sockets = ['-qmp', socket('observer'), '-qmp', socket('qmp'), ...(options.stub === false ? [] : ['-gdb', socket('gdb')])];
  // The time-out is QEMU's end should this process be killed.
  const child = spawn('timeout', ['600', program, ...machine, ...sockets, '-kernel', guest.elf], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const observer = await openObserver(path('observer'));
  return {
    gdb: { type: 'unix', path: path('gdb') },
    qmp: { type: 'unix', path: path('qmp') },
    observer,
    close: async () => {
      observer.close();
      child.kill();
      await ended;
    },
  };
}

async function openObserver(path: string): Promise<Observer & { close(): void }> {
  const socket = await connectWhenThere(path);
  const replies: ((reply: unknown) => void)[] = [];
  let stops = 0;
  createInterface({ input: socket }).on('line', (line) => {
    const message = JSON.parse(line) as Record<string, unknown>;
    if (message['event'] === 'STOP') stops += 1;
    if ('return' in message || 'error' in message) replies.shift()?.(message['return'] ?? message['error']);
  });
  const execute = async (command: string, args: Record<string, unknown> = {}): Promise<unknown> => {
    socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    return new Promise((resolve) => replies.push(resolve));
  };
  await execute('qmp_capabilities');
  return {
    execute,
    stops: () => stops,
    status: async () => ((await execute('query-status')) as { status: string }).status,
    readCounter: async (address) => {
      const text = (await execute('human-monitor-command', { 'command-line': `xp/1gx 0x${address.toString(16)}` })) as string;
      return BigInt(/: (0x[0-9a-f]+)/.exec(text)![1]!);
    },
    close: () => socket.destroy(),
  };
}

async function connectWhenThere(path: string): Promise<Socket> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (existsSync(path)) return connect(path).on('error', () => undefined);
    await sleep(50);
  }
  throw new Error(`QEMU did not open ${path}`);
}

/** Waits until `holds`, at most `limitMs`; the milliseconds it took, or null. */
export async function timeUntil(holds: () => Promise<boolean>, limitMs: number): Promise<number | null> {
  const start = performance.now();
  while (performance.now() - start < limitMs) {
    if (await holds()) return performance.now() - start;
    await sleep(10);
  }
  return null;
}
