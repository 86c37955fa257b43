// What the Go probe reads of a real guest beside what the guest says of itself: a Go program in a VM that answers GET with its
// runtime.MemStats as JSON ({"mem": …}). Twice: at the same instant (a breakpoint where ReadMemStats has read and the world still
// stands), and on the run, one reading before and one after each answer. Prints Markdown.
//
//   node bench/truth-go.ts --vm QMP_SOCKET --gdb GDB_SOCKET --url URL --symbols ELF [--symbols ELF …] [--pairs N]

import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openStub, parseEndpoint } from '../gdbstub/index.ts';
import { go } from '../probes/agentless/go.ts';
import { quantile } from './statistics.ts';
import { openTruthGuest, type TruthGuest } from './truth-guest.ts';

/** MemStats' name, ours, and whether it only grows. */
const METRICS = [
  ['NumGC', 'go.memory.gc.cycles', true],
  ['NumForcedGC', 'go.memory.gc.forced', true],
  ['PauseTotalNs', 'go.memory.gc.pause.time', true],
  ['TotalAlloc', 'go.memory.allocated', true],
  ['Mallocs', 'go.memory.allocations', true],
  ['Frees', 'go.memory.frees', true],
  ['HeapAlloc', 'go.memory.heap.allocated', false],
  ['HeapObjects', 'go.memory.heap.objects', false],
  ['HeapInuse', 'go.memory.heap.used', false],
  ['HeapIdle', 'go.memory.heap.idle', false],
  ['HeapReleased', 'go.memory.heap.released', false],
  ['StackInuse', 'go.memory.used{stack}', false],
  ['Sys − HeapReleased', 'go.memory.used', false],
  ['NextGC', 'go.memory.gc.goal', false],
] as const;

type Numbers = ReadonlyMap<string, number>;

const { values: options } = parseArgs({
  options: {
    ...{ vm: { type: 'string' }, gdb: { type: 'string' }, url: { type: 'string' } },
    ...{ symbols: { type: 'string', multiple: true }, pairs: { type: 'string', default: '30' } },
  },
});
const { vm, gdb, url, symbols } = options;
if (vm === undefined || gdb === undefined || url === undefined || symbols === undefined) {
  throw new Error('usage: truth-go.ts --vm QMP_SOCKET --gdb GDB_SOCKET --url URL --symbols ELF [--symbols ELF …] [--pairs N]');
}
const pairs = Number(options.pairs);
const guest = await openTruthGuest(vm, symbols, go);
try {
  await printRunning(guest, url);
  await printStopped(guest, url, gdb);
} finally {
  guest.close();
}

/** The probe's numbers under MemStats' names. */
async function measure(of: TruthGuest): Promise<Numbers> {
  const readings = await of.measure();
  const used = readings['go.memory.used'] as readonly { readonly value: bigint }[];
  const [stack, other] = used.map(({ value }) => Number(value));
  const all: Readonly<Record<string, unknown>> = {
    ...readings,
    ...{ 'go.memory.used{stack}': stack, 'go.memory.used': stack! + other! },
  };
  return new Map(METRICS.map(([theirs, ours]) => [theirs, Number(all[ours])]));
}

async function ask(of: string): Promise<Numbers> {
  const answer = (await (await fetch(of)).json()) as { readonly mem: Readonly<Record<string, number>> };
  const { mem } = answer;
  const theirs: Readonly<Record<string, number>> = { ...mem, 'Sys − HeapReleased': mem.Sys! - mem.HeapReleased! };
  return new Map(METRICS.map(([name]) => [name, theirs[name]!]));
}

async function printRunning(of: TruthGuest, at: string): Promise<void> {
  const seen: { readonly before: Numbers; readonly theirs: Numbers; readonly after: Numbers }[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    const before = await measure(of);
    const theirs = await ask(at);
    seen.push({ before, theirs, after: await measure(of) });
    await sleep(100);
  }
  console.log(`\n${pairs} answers, the guest running: one reading before and one after each\n`);
  console.log(
    '| MemStats | unidbg | before ≤ theirs ≤ after | deviation of the nearer, median | largest |\n| - | - | -: | -: | -: |',
  );
  for (const [theirs, ours, grows] of METRICS) {
    const rows = seen.map((row) => [row.before, row.theirs, row.after].map((numbers) => numbers.get(theirs)!));
    const inOrder = rows.filter(([a, b, c]) => a! <= b! && b! <= c!).length;
    const deviations = rows.map(([a, b, c]) => Math.min(Math.abs(a! - b!), Math.abs(c! - b!)) / Math.max(b!, 1));
    const [middle, largest] = [quantile(deviations, 0.5), Math.max(...deviations)].map((part) => `${(part * 100).toFixed(2)} %`);
    console.log(`| ${theirs} | \`${ours}\` | ${grows ? `${inOrder} of ${pairs}` : '(a size)'} | ${middle} | ${largest} |`);
  }
}

async function printStopped(of: TruthGuest, at: string, gdbAt: string): Promise<void> {
  const address = of.addressOf('runtime.startTheWorld');
  const endpoint = parseEndpoint(gdbAt);
  if (endpoint === null) throw new Error(`${gdbAt} is no endpoint: unix:PATH or HOST:PORT`);
  const stub = await openStub(endpoint);
  const seen: { readonly ours: Numbers; readonly theirs: Numbers }[] = [];
  const breakpoint = { kind: 'software', address, size: 1 } as const;
  await stub.insertBreakpoint(breakpoint);
  while (seen.length < pairs) {
    const asked = { answered: false };
    const answer = ask(at).finally(() => {
      asked.answered = true;
    });
    const readings: Numbers[] = [];
    let running = stub.continue();
    for (;;) {
      await Promise.race([running, answer]);
      if (asked.answered) break;
      readings.push(await measure(of));
      await stub.removeBreakpoint(breakpoint);
      await stub.step();
      await stub.insertBreakpoint(breakpoint);
      running = stub.continue();
    }
    const theirs = await answer;
    await stub.interrupt();
    await running;
    // More stops than one: somebody else asked too, and whose reading it was is not known.
    if (readings.length === 1) seen.push({ ours: readings[0]!, theirs });
  }
  await stub.removeBreakpoint(breakpoint);
  await stub.detach();
  console.log(`\n${pairs} answers, read from outside at the instant of runtime.ReadMemStats (its world stopped)\n`);
  console.log(
    '| MemStats | unidbg | first, theirs | first, ours | last, theirs | last, ours | equal |\n| - | - | -: | -: | -: | -: | -: |',
  );
  for (const [theirs, ours] of METRICS) {
    const equal = seen.filter((row) => row.ours.get(theirs) === row.theirs.get(theirs)).length;
    const ends = [seen[0]!, seen.at(-1)!].flatMap((row) => [row.theirs.get(theirs), row.ours.get(theirs)]);
    console.log(`| ${theirs} | \`${ours}\` | ${ends.join(' | ')} | ${equal} of ${pairs} |`);
  }
}
