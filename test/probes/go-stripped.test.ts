// The goroutines and collections of a stripped Go program, as a process of it holds them: found without symbols and types.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { go as goProbe } from '../../probes/agentless/go.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { go } from '../../src/runtimes/go.ts';
import { openImage, type SymbolImage } from '../../src/symbolize/image.ts';
import { createSymbolizer, type ImageSymbolizer } from '../../src/symbolize/symbolizer.ts';
import { buildGo, type GoProgram, stopInGdb } from '../runtimes/go-process.ts';

const SOURCE = `
package main

import (
	"runtime"
	"sync"
	"time"
)

//go:noinline
func ready() {}

//go:noinline
func begun() {}

func main() {
	begun()
	for i := 0; i < 300; i++ {
		runtime.GC()
	}
	var lock sync.Mutex
	lock.Lock()
	silent := make(chan int)
	go func() { <-silent }()
	go func() { lock.Lock() }()
	go func() { time.Sleep(time.Hour) }()
	go func() { select {} }()
	time.Sleep(300 * time.Millisecond)
	ready()
}
`;

let program: GoProgram;
let image: SymbolImage;
let stripped: ImageSymbolizer;
let missing: string | null = '';
/** At the start, and after 300 collections: more than the ring of pauses holds. */
const readings: Record<string, Record<string, unknown>> = {};
/** The same with types. */
const typed: Record<string, unknown> = {};
const threads: GuestThread[] = [];

beforeAll(async () => {
  program = buildGo(SOURCE, [], { CGO_ENABLED: '0' });
  image = openImage(program.stripped, [go.openCodeTable!]);
  const symbols = createSymbolizer([{ image, loadBias: 0n, match: 'text', placedBy: 'link address' }]);
  stripped = symbols;
  missing = goProbe.missing({ types: symbols.types, symbols });
  const full = openImage(program.full);
  const names = createSymbolizer([{ image: full, loadBias: 0n, match: 'text', placedBy: 'link address' }]);
  await stopInGdb(program, [{ at: 'main.begun' }, { at: 'main.ready' }], ({ at, memory }) => {
    const guest = { memory, types: symbols.types, symbols };
    readings[at] = goProbe.sample(guest);
    if (at === 'main.begun') return;
    threads.push(...(goProbe.threads?.(guest) ?? []));
    Object.assign(typed, goProbe.sample({ memory, types: names.types, symbols: names }));
  });
  full.close();
}, 120_000);
afterAll(() => {
  image.close();
  program.remove();
});

it('has every goroutine of a stripped program, with its state and what it waits for', () => {
  const named = (id: string): GuestThread | undefined => threads.find((thread) => thread.id === id);
  expect(named('go1')).toMatchObject({ name: 'goroutine 1', state: 'running', registers: null });
  const reasons = threads.map(({ waitingFor }) => waitingFor);
  expect(reasons).toEqual(expect.arrayContaining(['force gc (idle)', 'chan receive', 'sleep', 'select (no cases)']));
  expect(reasons.some((reason) => reason === 'semacquire' || reason === 'sync.Mutex.Lock')).toBe(true);
});

it('has registers of each waiting one that lead to what it does', () => {
  const receiving = threads.find(({ waitingFor }) => waitingFor === 'chan receive');
  const pc = receiving?.registers?.values.rip ?? 0n;
  expect(image.locate(pc - 1n).at(-1)?.function).toBe('runtime.gopark');
  const { base, size } = receiving!.stack!;
  const sp = receiving?.registers?.values.rsp ?? 0n;
  expect(sp >= base && sp < base + BigInt(size)).toBe(true);
});

it('says of counters that they need debug info, and counts goroutines by state', () => {
  expect(missing).toBeNull();
  const counted = readings['main.ready']!;
  expect(counted['go.memory.allocated']).toMatchObject({ absent: expect.stringContaining('DWARF') as string });
  expect(counted['go.goroutine.states']).toEqual(expect.arrayContaining([{ value: 1, attributes: { state: 'running' } }]));
});

it('has its collections and their pauses from the first on, as one with types has them; before that it says when', () => {
  const names = ['cycles', 'forced', 'pause.time', 'pause.last', 'pause', 'cpu'].map((name) => `go.memory.gc.${name}`);
  for (const name of names) {
    expect(readings['main.begun']![name]).toMatchObject({
      absent: expect.stringContaining('after the first collection') as string,
    });
    expect(readings['main.ready']![name]).toEqual(typed[name]);
  }
  expect(typed['go.memory.gc.cycles']).toBeGreaterThan(256);
});

it.each([
  ['all zeros', () => 0n],
  ['all ones', () => 0xffff_ffff_ffff_ffffn],
  ['words that point at themselves', (word: bigint) => word],
  ['random words', (word: bigint) => BigInt.asUintN(64, word * 0x9e37_79b9_7f4a_7c15n)],
] as const)('finds nothing in %s, and ends soon', (_what, wordAt) => {
  let reads = 0;
  const read = (address: bigint, length: number): Uint8Array => {
    reads += 1;
    const words = new BigUint64Array(Math.ceil(length / 8) + 1);
    for (let index = 0; index < words.length; index += 1) words[index] = wordAt((address & ~7n) + BigInt(8 * index));
    const skip = Number(address & 7n);
    return new Uint8Array(words.buffer).subarray(skip, skip + length);
  };
  // Symbols of their own: what was found above is not known here.
  const symbols = { findSymbol: (name: string) => stripped.findSymbol(name) };
  const sample: Readonly<Record<string, unknown>> = goProbe.sample({ memory: { read }, types: stripped.types, symbols });
  expect(sample['go.memory.gc.cycles']).toHaveProperty('absent');
  expect(sample['go.goroutine.states']).toHaveProperty('absent');
  expect(reads).toBeLessThan(50_000);
});
