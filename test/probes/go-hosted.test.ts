// The Go probe beside runtime.ReadMemStats of a program that runs: the same counters and sizes at the same moment.
// UNIDBG_TEST_GO=/path/to/go tries another release (from 1.19 on: older ones have no memory limit).

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { go } from '../../probes/agentless/go.ts';
import { number } from '../../probes/agentless/go-values.ts';
import { findGlobal } from '../../src/bytes/typed-value.ts';
import { buildGo, type GoProgram } from '../runtimes/go-process.ts';
import { type HostedProgram, startHosted } from '../support/hosted-process.ts';

/** Works when told, and prints what the runtime says of itself, allocating nothing for it. */
const SOURCE = `
package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

var kept [2000][]byte
var sink interface{}
var line [64]byte
var out [4096]byte
var stats runtime.MemStats

func field(text []byte, name string, value uint64) []byte {
	return append(strconv.AppendUint(append(append(text, name...), '='), value, 10), ' ')
}

func printStats() {
	runtime.ReadMemStats(&stats)
	text := field(out[:0], "NumGC", uint64(stats.NumGC))
	text = field(text, "NumForcedGC", uint64(stats.NumForcedGC))
	text = field(text, "PauseTotalNs", stats.PauseTotalNs)
	text = field(text, "PauseLast", stats.PauseNs[(stats.NumGC+255)%256])
	text = field(text, "TotalAlloc", stats.TotalAlloc)
	text = field(text, "Mallocs", stats.Mallocs)
	text = field(text, "Frees", stats.Frees)
	text = field(text, "HeapAlloc", stats.HeapAlloc)
	text = field(text, "HeapObjects", stats.HeapObjects)
	text = field(text, "HeapInuse", stats.HeapInuse)
	text = field(text, "HeapIdle", stats.HeapIdle)
	text = field(text, "HeapReleased", stats.HeapReleased)
	text = field(text, "StackInuse", stats.StackInuse)
	text = field(text, "Held", stats.Sys-stats.HeapReleased)
	text = field(text, "NextGC", stats.NextGC)
	text = field(text, "Goroutines", uint64(runtime.NumGoroutine()))
	text = field(text, "Processors", uint64(runtime.GOMAXPROCS(0)))
	os.Stdout.Write(append(text, '\\n'))
}

func work() {
	for i := 0; i < 20000; i++ {
		kept[i%len(kept)] = make([]byte, 10+i%5000)
		sink = new(int8)
		sink = new([3]int)
	}
	sink = make([]byte, 100000)
}

func main() {
	silent := make(chan int)
	for i := 0; i < 3; i++ {
		go func() { <-silent }()
	}
	go func() { time.Sleep(time.Hour) }()
	time.Sleep(10 * time.Millisecond)
	os.Stdout.WriteString("ready\\n")
	for {
		n, _ := os.Stdin.Read(line[:])
		if n == 0 {
			return
		}
		switch line[0] {
		case 's':
			printStats()
			continue
		case 'w':
			work()
		case 'g':
			runtime.GC()
		case '-':
			debug.SetGCPercent(-1)
		case '+':
			debug.SetGCPercent(100)
		}
		os.Stdout.WriteString("done\\n")
	}
}
`;

/** MemStats' name of what the probe measures. */
const NAMES = {
  NumGC: 'go.memory.gc.cycles',
  NumForcedGC: 'go.memory.gc.forced',
  PauseTotalNs: 'go.memory.gc.pause.time',
  PauseLast: 'go.memory.gc.pause.last',
  TotalAlloc: 'go.memory.allocated',
  Mallocs: 'go.memory.allocations',
  Frees: 'go.memory.frees',
  HeapAlloc: 'go.memory.heap.allocated',
  HeapObjects: 'go.memory.heap.objects',
  HeapInuse: 'go.memory.heap.used',
  HeapIdle: 'go.memory.heap.idle',
  HeapReleased: 'go.memory.heap.released',
  NextGC: 'go.memory.gc.goal',
  Goroutines: 'go.goroutine.count',
  Processors: 'go.processor.limit',
} as const;

type Numbers = Readonly<Record<string, number>>;

let program: GoProgram;
const running: HostedProgram[] = [];

async function start(env: Readonly<Record<string, string>> = {}): Promise<HostedProgram> {
  const hosted = await startHosted([program.full], { env: { GOGC: '100', ...env } });
  running.push(hosted);
  return hosted;
}

beforeAll(() => {
  program = buildGo(SOURCE, [], { CGO_ENABLED: '0' });
}, 120_000);
afterAll(() => {
  for (const hosted of running) hosted.close();
  program.remove();
});

/** The probe's numbers under MemStats' names. */
function measure({ guest }: HostedProgram): Numbers {
  const readings: Readonly<Record<string, unknown>> = go.sample(guest);
  const used = readings['go.memory.used'] as readonly { readonly value: bigint }[];
  const [stack, other] = used.map(({ value }) => Number(value)) as [number, number];
  const plain = Object.entries(NAMES).map(([theirs, ours]) => [theirs, Number(readings[ours])] as const);
  return { ...Object.fromEntries(plain), StackInuse: stack, Held: stack + other };
}

async function ask(hosted: HostedProgram): Promise<Numbers> {
  const fields = (await hosted.ask('s')).trim().split(' ');
  return Object.fromEntries(fields.map((text) => [text.split('=')[0]!, Number(text.split('=')[1])]));
}

/** What both say of a moment at which nothing happens: the runtime sweeps and gives memory back in the background for a while. */
async function quiet(hosted: HostedProgram): Promise<{ readonly ours: Numbers; readonly theirs: Numbers }> {
  for (let tries = 0; tries < 100; tries += 1) {
    const [before, theirs, ours] = [measure(hosted), await ask(hosted), measure(hosted)];
    if (JSON.stringify(before) === JSON.stringify(ours)) return { ours, theirs };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('the program is never quiet');
}

describe('a Go program that runs', () => {
  it('is read as it reads itself: all of MemStats, after work and after a collection', async () => {
    const hosted = await start();
    expect(go.missing(hosted.guest)).toBeNull();
    for (const step of ['w', 'g', 'w', 'g']) {
      await hosted.ask(step);
      const { ours, theirs } = await quiet(hosted);
      expect(ours).toEqual(theirs);
    }
    expect((await ask(hosted)).NumForcedGC).toBe(2);
  });

  it('is read to the last object, though processors have not handed in what they count', async () => {
    const hosted = await start({ GOGC: 'off' });
    await hosted.ask('w');
    const { TotalAlloc, Mallocs } = measure(hosted);
    const handedIn = number(findGlobal(hosted.guest, 'runtime.gcController')?.member('totalAlloc'));
    const theirs = await ask(hosted);
    expect(handedIn).toBeLessThan(theirs.TotalAlloc!);
    expect({ TotalAlloc, Mallocs }).toEqual({ TotalAlloc: theirs.TotalAlloc, Mallocs: theirs.Mallocs });
  });

  it('with the collector off has no goal, and says why; switched on again it has', async () => {
    const hosted = await start();
    await hosted.ask('-');
    expect(go.sample(hosted.guest)).toMatchObject({
      'go.memory.gc.goal': { absent: expect.stringContaining('GOGC=off') as string },
      'go.config.gogc': -1n,
    });
    await hosted.ask('+');
    expect(go.sample(hosted.guest)).toMatchObject({ 'go.config.gogc': 100n });
    expect(measure(hosted).NextGC).toBe((await ask(hosted)).NextGC);
  });

  it('with a memory limit has the goal that the limit sets', async () => {
    const hosted = await start({ GOGC: 'off', GOMEMLIMIT: '64MiB' });
    await hosted.ask('w');
    expect(go.sample(hosted.guest)).toMatchObject({ 'go.memory.limit': 64n * 1024n * 1024n });
    const { ours, theirs } = await quiet(hosted);
    expect(ours.NextGC).toBe(theirs.NextGC);
    expect(ours.NextGC).toBeLessThan(64 * 1024 * 1024);
  });

  it('has its goroutines by state and by what they wait for', async () => {
    const hosted = await start();
    const readings = go.sample(hosted.guest);
    expect(readings['go.goroutine.waits']).toEqual(
      expect.arrayContaining([
        { value: 3, attributes: { reason: 'chan receive' } },
        { value: 1, attributes: { reason: 'sleep' } },
      ]),
    );
    expect(go.threads?.(hosted.guest).find(({ id }) => id === 'go1')?.state).toBe('blocked');
  });
});
