// What unidbg reads over a V8 inspector beside what the program itself says at the same instants: v8.getHeapStatistics() and the counts
// of its own PerformanceObserver, which it serves over HTTP (test/inspector/truth-guest.ts, in a guest or on this machine).
//
//   node bench/inspector-truth.ts http://127.0.0.1:18080 127.0.0.1:19229 [PAIRS]
//
// Each pair is three readings: the program's, ours, the program's again. A size is right when it lies between the program's two (its
// own HTTP server allocates meanwhile), a count when it equals both. Prints a table in markdown.

import { setTimeout as sleep } from 'node:timers/promises';
import { HeapMetrics } from '../src/inspector/metrics.ts';
import { InspectorSession } from '../src/inspector/session.ts';

interface Truth {
  readonly heap: Readonly<Record<string, number>>;
  readonly gc: Readonly<Record<'major' | 'minor' | 'incremental' | 'weakcb' | 'ms', number>>;
}

/** One instant: the program's word before and after ours. */
interface Pair {
  readonly before: Truth;
  readonly ours: ReadonlyMap<string, number>;
  readonly after: Truth;
}

const SIZES: readonly (readonly [metric: string, field: string])[] = [
  ['v8js.memory.heap.used', 'used_heap_size'],
  ['v8js.memory.heap.size', 'total_heap_size'],
  ['v8js.memory.heap.physical', 'total_physical_size'],
  ['v8js.memory.heap.limit', 'heap_size_limit'],
  ['v8js.memory.external', 'external_memory'],
  ['v8js.memory.malloced', 'malloced_memory'],
  ['v8js.contexts.detached', 'number_of_detached_contexts'],
];
const COUNTS: readonly (readonly [metric: string, truth: (truth: Truth) => number])[] = [
  ['v8js.gc.cycles', ({ gc }) => gc.major],
  ['v8js.gc.minor.cycles', ({ gc }) => gc.minor],
  ['v8js.gc.events{incremental}', ({ gc }) => gc.incremental],
  ['v8js.gc.events{weakcb}', ({ gc }) => gc.weakcb],
  ['v8js.gc.pause.time', ({ gc }) => gc.ms * 1e6],
];
const BUSY_MS = 1_000;
const SETTLE_MS = 400;

const [base = '', endpoint = '', wanted = '30'] = process.argv.slice(2);
const [host = '', port = ''] = endpoint.split(':');
const session = new InspectorSession({ kind: 'tcp', host, port: Number(port) }, { evaluate: true });
await session.open();
const metrics = new HeapMetrics();
const pairs: Pair[] = [];
for (let index = 0; index < Number(wanted); index += 1) {
  await ask('/busy');
  await sleep(BUSY_MS);
  await ask('/quiet');
  await sleep(SETTLE_MS);
  const before = await ask('/');
  const ours = await look();
  pairs.push({ before, ours, after: await ask('/') });
}
await session.close();
print();

async function ask(path: string): Promise<Truth> {
  return (await (await fetch(base + path)).json()) as Truth;
}

async function look(): Promise<ReadonlyMap<string, number>> {
  const { reading, program, attachment } = await session.read();
  return new Map(
    metrics.take(reading, program, attachment).map(({ name, attributes, value }) => {
      const kind = attributes['v8js.gc.type'];
      return [kind === undefined ? name : `${name}{${kind}}`, value ?? Number.NaN];
    }),
  );
}

function print(): void {
  const [first] = pairs;
  const last = pairs.at(-1);
  if (first === undefined || last === undefined) return;
  console.log(
    `| metric | program, last pair | unidbg | program again | pairs | equal to the program's | between its two | outside | by at most |`,
  );
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|--:|');
  for (const [name, field] of SIZES)
    row(
      name,
      pairs,
      ({ heap }) => heap[field] ?? Number.NaN,
      (pair) => pair.ours.get(name) ?? Number.NaN,
    );
  // Ours count from the moment of attaching: both sides as increases since the first pair.
  for (const [name, truth] of COUNTS) {
    const ours = (pair: Pair): number => (pair.ours.get(name) ?? 0) - (first.ours.get(name) ?? 0);
    row(`${name} since the first pair`, pairs.slice(1), (said) => truth(said) - truth(first.after), ours);
  }
}

function row(name: string, taken: readonly Pair[], truth: (said: Truth) => number, ours: (pair: Pair) => number): void {
  /** 0: equal to one of the program's two; null: between them; else how far outside. */
  const distances = taken.map((pair) => {
    const [low = 0, high = 0] = [truth(pair.before), truth(pair.after)].toSorted((one, other) => one - other);
    const value = ours(pair);
    // Durations are sums of floating-point numbers.
    if (Math.abs(value - low) < 1 || Math.abs(value - high) < 1) return 0;
    return value >= low && value <= high ? null : Math.max(low - value, value - high);
  });
  const outside = distances.filter((distance) => distance !== null && distance > 0) as number[];
  const [equal, between] = [0, null].map((wanted) => distances.filter((distance) => distance === wanted).length);
  const most = outside.length === 0 ? '' : Math.round(Math.max(...outside)).toLocaleString('en');
  const last = taken.at(-1);
  const shown =
    last === undefined
      ? []
      : [truth(last.before), ours(last), truth(last.after)].map((value) => Math.round(value).toLocaleString('en'));
  console.log(
    `| \`${name}\` | ${shown.join(' | ')} | ${taken.length} | ${String(equal)} | ${String(between)} | ${outside.length} | ${most} |`,
  );
}
