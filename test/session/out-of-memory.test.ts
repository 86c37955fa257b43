// Who asked for the memory that was not there, how much, and what had grown.

import { describe, expect, it } from 'vitest';
import type { Crash } from '../../src/model/crash.ts';
import type { Frame, Stack } from '../../src/model/frame.ts';
import type { Sample } from '../../src/model/metric.ts';
import type { Series } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { findAllocating } from '../../src/session/out-of-memory-asker.ts';
import { findBytesAsked } from '../../src/session/out-of-memory-bytes.ts';
import { findGrowth } from '../../src/session/out-of-memory-growth.ts';

const machinery = { functions: [/^(?:panic|alloc_or_panic|wait_for_memory|reclaim|throw)$/], files: [] };
const starvesIn = [/^wait_for_memory$/];

function frames(...names: readonly string[]): readonly Frame[] {
  return names.map((name, index) => ({
    ...{ index, pc: BigInt(0x1000 + index), trust: 'cfi', cfa: null, function: name, functionOffset: 4 },
    ...{ file: `${name}.c`, line: index + 1, column: null, inlined: false, module: 'app', status: 'symbolicated' },
  }));
}

function crash(names: readonly string[], given: Partial<Crash> = {}): Crash {
  const own = frames(...names);
  const guiltyFrame =
    own.find(({ function: name }) => !machinery.functions.some((pattern) => pattern.test(name ?? '')))?.index ?? null;
  return {
    ...{ kind: 'out-of-memory', title: '', message: 'out of memory', signature: '', alternatives: [], witness: 'console' },
    ...{ unikernel: null, runtime: null, vcpu: 0, faultAddress: null, registers: null, frames: own, guiltyFrame },
    ...{ corrupted: null, consoleLines: null, ...given },
  };
}

function stack(id: string, state: string, ...names: readonly string[]): Stack {
  return { name: `thread ${id}`, kind: 'thread', id, state, frames: frames(...names), end: 'outermost', torn: false };
}

function thread(id: string, state: GuestThread['state'], waitingFor: string | null = null): GuestThread {
  return { id, name: `thread ${id}`, state, waitingFor, blockedBy: null, registers: null, stack: null, cpuTimeNs: null };
}

const ask = (of: Partial<Parameters<typeof findAllocating>[0]> & { readonly crash: Crash }): ReturnType<typeof findAllocating> =>
  findAllocating({ stacks: [], threads: [], console: [], machinery, starvesIn, ...of });

describe('who asked', () => {
  it('is the frame behind the allocator, in the thread that ran', () => {
    const found = ask({ crash: crash(['panic', 'alloc_or_panic', 'load', 'main']), threads: [thread('7', 'running')] });
    expect(found).toMatchObject({
      stack: { name: 'thread 7' },
      asker: 2,
      by: 'it called alloc_or_panic, which had nothing to give',
    });
  });

  it('is the thread that waits for memory, not the one that gave up', () => {
    const stacks = [
      stack('1', 'waiting', 'wait_for_memory', 'reclaim'),
      stack('2', 'waiting', 'wait_for_memory', 'grow', 'serve', 'main'),
      stack('3', 'waiting', 'poll', 'main'),
    ];
    expect(ask({ crash: crash(['panic', 'reclaim']), stacks })).toMatchObject({
      ...{ stack: { id: '2' }, asker: 1, by: 'it waits in wait_for_memory' },
    });
  });

  it('is the thread that a probe says to wait for a page', () => {
    const stacks = [stack('4', 'waiting (memory for the page of 0x5000)', 'fill', 'main')];
    const found = ask({ crash: crash(['throw']), stacks, threads: [thread('4', 'waiting', 'memory for the page of 0x5000')] });
    expect(found).toMatchObject({ stack: { id: '4' }, asker: 0, by: 'it waits for memory for the page of 0x5000' });
  });

  it('is the thread that a dying run time ran for', () => {
    const stacks = [stack('5', 'waiting', 'throw', 'work', 'main'), stack('6', 'waiting', 'poll', 'main')];
    expect(ask({ crash: crash(['throw', 'throw']), stacks })).toMatchObject({ stack: { id: '5' }, asker: 1 });
  });

  it('is not known without a stack', () => {
    expect(ask({ crash: crash([]) })).toBeNull();
  });
});

describe('how much was asked for', () => {
  const bytes = (message: string): number | null =>
    findBytesAsked({ crash: crash([], { message }), console: [], frames: [], asker: null });

  it.each([
    ['out of memory: 262144 bytes for a cache', 262_144],
    ['runtime: out of memory: cannot allocate 4194304-byte block (8 in use)', 4_194_304],
    ['memory allocation of 1099511627776 bytes failed', 1_099_511_627_776],
    ['400000000: Cannot handle palloc request of order 9: Out of memory', 2 * 1024 ** 2],
    ['Cannot handle palloc request of order 99: Out of memory', null],
    ['out of memory: 99999999999999999999 bytes', null],
    ['out of memory', null],
  ] as const)('%s', (message, expected) => {
    expect(bytes(message)).toBe(expected);
  });

  it('is told by the arguments of the allocator', () => {
    const [first, ...rest] = frames('calloc', 'load');
    const argument = (name: string, value: string): NonNullable<Frame['arguments']>[number] => ({
      ...{ name, value, type: 'size_t', known: true, artificial: false },
    });
    const called = [{ ...first!, arguments: [argument('nmemb', '3'), argument('size', '0x100')] }, ...rest];
    expect(findBytesAsked({ crash: crash([]), console: [], frames: called, asker: 1 })).toBe(768);
  });
});

describe('what grew', () => {
  function series(name: string, values: readonly (number | null)[], given: Partial<Sample> = {}): [string, Series] {
    const latest = {
      name,
      attributes: {},
      value: values.at(-1) ?? null,
      unit: 'By',
      kind: 'gauge',
      absent: null,
      probe: 'p',
      ...given,
    } as const;
    return [name, { latest, at: values.length * 1000, times: values.map((_, index) => index * 1000), values }];
  }

  it('is told with the largest first, from the lowest point to where it stopped growing', () => {
    const MIB = 1024 ** 2;
    const metrics = new Map([
      series('heap.used', [8 * MIB, 2 * MIB, null, 30 * MIB, 30 * MIB, 30 * MIB]),
      series('memory.used', [1 * MIB, 50 * MIB, 51 * MIB, 100 * MIB]),
      series('memory.free', [1, 99 * MIB]),
      series('allocated', [1, 99 * MIB], { kind: 'counter' }),
      series('steady', [99 * MIB, 100 * MIB]),
      series('small', [1, 1024]),
      series('requests', [1, 1e9], { unit: '{request}' }),
    ]);
    expect(findGrowth(metrics)).toEqual([
      { series: 'memory.used', unit: 'By', from: MIB, to: 100 * MIB, overMs: 3000 },
      { series: 'heap.used', unit: 'By', from: 2 * MIB, to: 30 * MIB, overMs: 2000 },
    ]);
  });
});
