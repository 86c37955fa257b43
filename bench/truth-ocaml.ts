// What the OCaml probe reads of a real guest beside what the guest says of itself: a program that prints, between phases of work, a line
// `truth: minor=… promoted=… …` of Gc.minor_words, Gc.counters and Gc.quick_stat without allocating, and then waits. Prints Markdown.
//
//   node bench/truth-ocaml.ts --vm QMP_SOCKET --console FILE --symbols ELF [--pairs N]

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ocaml } from '../probes/agentless/ocaml.ts';
import { openTruthGuest } from './truth-guest.ts';

const WORD = 8;
/** The guest's name, what it is of OCaml's, ours, and the size of its unit. */
const METRICS = [
  ['minor', 'Gc.minor_words', 'ocaml.gc.minor.words', 1],
  ['promoted', 'Gc.counters, promoted', 'ocaml.gc.promoted.words', 1],
  ['major', 'Gc.counters, major', 'ocaml.gc.major.words', 1],
  ['minors', 'quick_stat.minor_collections', 'ocaml.gc.minor.collections', 1],
  ['majors', 'quick_stat.major_collections', 'ocaml.gc.major.cycles', 1],
  ['forced', 'quick_stat.forced_major_collections', 'ocaml.gc.major.forced', 1],
  ['compactions', 'quick_stat.compactions', 'ocaml.gc.compactions', 1],
  ['heap', 'quick_stat.heap_words', 'ocaml.gc.heap.size', WORD],
  ['top', 'quick_stat.top_heap_words', 'ocaml.gc.heap.size.peak', WORD],
  ['live', 'quick_stat.live_words (OCaml 5)', 'ocaml.gc.heap.live', WORD],
  ['free', 'quick_stat.free_words (OCaml 5)', 'ocaml.gc.heap.free', WORD],
] as const;

type Numbers = ReadonlyMap<string, number>;

const { values: options } = parseArgs({
  options: {
    ...{ vm: { type: 'string' }, console: { type: 'string' } },
    ...{ symbols: { type: 'string', multiple: true }, pairs: { type: 'string', default: '30' } },
  },
});
const { vm, console: file, symbols } = options;
if (vm === undefined || file === undefined || symbols === undefined) {
  throw new Error('usage: truth-ocaml.ts --vm QMP_SOCKET --console FILE --symbols ELF [--pairs N]');
}
const guest = await openTruthGuest(vm, symbols, ocaml);
try {
  await guest.measure();
  const seen: { readonly ours: Numbers; readonly theirs: Numbers }[] = [];
  for (let line = lastLine(file); seen.length < Number(options.pairs); ) {
    const next = lastLine(file);
    if (next === line) {
      await sleep(10);
      continue;
    }
    line = next;
    const readings = await guest.measure();
    const ours = new Map(METRICS.map(([name, , metric, unit]) => [name, Number(readings[metric]) / unit]));
    // A line that came meanwhile: the guest did not wait for us.
    if (lastLine(file) === line) seen.push({ ours, theirs: numbersOf(line) });
  }
  print(seen);
} finally {
  guest.close();
}

function print(seen: readonly { readonly ours: Numbers; readonly theirs: Numbers }[]): void {
  console.log(`\n${seen.length} readings, each while the guest waits after printing\n`);
  console.log(
    '| OCaml | unidbg | first, theirs | first, ours | last, theirs | last, ours | equal |\n| - | - | -: | -: | -: | -: | -: |',
  );
  for (const [name, theirs, ours] of METRICS) {
    const equal = seen.filter((row) => row.ours.get(name) === row.theirs.get(name)).length;
    const ends = [seen[0]!, seen.at(-1)!].flatMap((row) => [row.theirs.get(name), row.ours.get(name)]);
    console.log(`| ${theirs} | \`${ours}\` | ${ends.join(' | ')} | ${equal} of ${seen.length} |`);
  }
}

/** The last whole line of the guest's that begins so. */
function lastLine(path: string): string {
  const whole = readFileSync(path, 'latin1').split('\n').slice(0, -1);
  return whole.findLast((line) => line.startsWith('truth: ')) ?? '';
}

function numbersOf(line: string): Numbers {
  const fields = line.trim().split(' ').slice(1);
  return new Map(fields.map((text) => [text.split('=')[0]!, Number(text.split('=')[1])]));
}
