// One look at threads, on a guest that goes on meanwhile.

import { describe, expect, it } from 'vitest';
import type { AddressSpace, Memory } from '../../src/model/target.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import type { Code } from '../../src/session/code.ts';
import { look } from '../../src/session/sampler.ts';
import type { LiveTarget } from '../../src/targets/live.ts';

function thread(id: string, rip: bigint | null): GuestThread {
  return {
    id,
    name: id,
    state: rip === null ? 'running' : 'waiting',
    waitingFor: 'a lock',
    blockedBy: null,
    registers: rip === null ? null : { machine: 'x86_64', values: { rip, rsp: 0x1000n } },
    stack: null,
    cpuTimeNs: null,
  };
}

/** A guest whose threads are these at the first reading, and those at the next. */
function guest(status: string, ...readings: readonly (readonly GuestThread[])[]): { target: LiveTarget; code: Code } {
  let reading = 0;
  const memory: Memory = { read: () => null };
  const space: Pick<AddressSpace, 'walk'> = { walk: (body) => Promise.resolve(body(memory)) };
  const vcpu = { vcpu: 0, registers: { machine: 'x86_64', values: { rip: 1n, rsp: 2n, halted: 1n } } };
  const target = { allRegisters: () => Promise.resolve([vcpu]), memory: () => space, state: () => ({ status }) };
  const threads = (): readonly GuestThread[] => readings[Math.min(reading++, readings.length - 1)] ?? [];
  const code = {
    probes: [{ threads }],
    symbolizer: { types: null },
    unwinder: { unwind: () => ({ frames: [], end: 'outermost' }) },
    isText: () => true,
  };
  return { target: target as unknown as LiveTarget, code: code as unknown as Code };
}

async function tornOf({ target, code }: ReturnType<typeof guest>): Promise<Readonly<Record<string, boolean>>> {
  const { stacks } = await look(target, code);
  return Object.fromEntries(stacks.filter(({ kind }) => kind === 'thread').map(({ name, torn }) => [name, torn]));
}

describe('stacks of threads', () => {
  it('are marked when their thread ran on while they were read', async () => {
    const before = [thread('moves', 1n), thread('stays', 1n), thread('wakes', 1n), thread('ends', 1n), thread('runs', null)];
    const after = [thread('moves', 2n), thread('stays', 1n), thread('wakes', null), thread('runs', null)];
    expect(await tornOf(guest('running', before, after))).toEqual({ moves: true, stays: false, wakes: true, ends: true });
  });

  it('of a guest that stands still are whole', async () => {
    expect(await tornOf(guest('paused', [thread('one', 1n)], [thread('one', 2n)]))).toEqual({ one: false });
  });
});
