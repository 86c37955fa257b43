// What agentless probes read of a real guest beside what the guest says of itself on its console, at the same moments: the guest prints
// `SAMPLE n name=value …` and then stands still for a while; what is read before the next line appears is of that moment. Prints Markdown.
//
//   node bench/truth-console.ts --vm QMP_SOCKET --console FILE --symbols ELF [--symbols ELF …] [--pairs N] NAME=METRIC[{ATTRIBUTE=VALUE,…}][*FACTOR] …
//
// METRIC may be a sum of several (`a+b`), or `threads:NAME.FIELD` (state, cpuTimeNs, …) of a probe's thread, or `sockets:STATE` for how many there are.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SYSTEMS } from '../src/cli/systems.ts';
import { findSource } from '../src/cli/target.ts';
import { seriesKey } from '../src/model/metric.ts';
import type { Probe, ProbeGuest } from '../src/model/probe.ts';
import type { Code } from '../src/session/code.ts';
import { openGuest, viewBy } from '../src/session/open-guest.ts';
import { samplesOf } from '../src/session/readings.ts';
import { spaceOf } from '../src/session/sampler.ts';
import type { LiveTarget } from '../src/targets/live.ts';

const USAGE = 'usage: truth-console.ts --vm QMP_SOCKET --console FILE --symbols ELF … [--pairs N] NAME=METRIC …';
const GIVE_UP_MS = 120_000;

interface Line {
  readonly number: string;
  readonly values: ReadonlyMap<string, number>;
}

const { values: options, positionals } = parseArgs({
  options: {
    ...{ vm: { type: 'string' }, console: { type: 'string' } },
    ...{ symbols: { type: 'string', multiple: true }, pairs: { type: 'string', default: '30' } },
  },
  allowPositionals: true,
});
const { vm, console: file, symbols } = options;
if (vm === undefined || file === undefined || symbols === undefined || positionals.length === 0) throw new Error(USAGE);
const source = findSource(vm);
const { target, codeReader } = await openGuest(source, { systems: SYSTEMS, symbols });
try {
  await compare(target, file, Number(options.pairs), positionals.map(parsePair));
} finally {
  target.close();
  codeReader.close();
}

interface Pair {
  readonly name: string;
  readonly metric: string;
  readonly factor: number;
}

function parsePair(text: string): Pair {
  const match = /^([\w.]+)=([^*]+)(?:\*([\d.]+))?$/.exec(text);
  if (match === null) throw new Error(`${text} is not NAME=METRIC`);
  return { name: match[1] ?? '', metric: match[2] ?? '', factor: Number(match[3] ?? '1') };
}

async function compare(vmTarget: LiveTarget, path: string, pairs: number, wanted: readonly Pair[]): Promise<void> {
  const registers = (await vmTarget.allRegisters())[0]?.registers;
  if (registers === undefined) throw new Error('this VM has no vCPU');
  const code = await codeReader.place(viewBy(vmTarget, registers));
  const taken: { readonly said: Line; readonly read: ReadonlyMap<string, number> }[] = [];
  let done = lastLine(path)?.number ?? '';
  let discarded = 0;
  for (const end = performance.now() + GIVE_UP_MS; taken.length < pairs && performance.now() < end; ) {
    const said = lastLine(path);
    if (said === null || said.number === done) {
      await sleep(10);
      continue;
    }
    const read = await readAll(vmTarget, code, wanted);
    done = said.number;
    if (lastLine(path)?.number === said.number) taken.push({ said, read });
    else discarded += 1;
  }
  print(taken, wanted, discarded);
}

/** The last line that is whole. */
function lastLine(path: string): Line | null {
  const text = readFileSync(path, 'latin1');
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split(/\r?\n/);
  const match = lines.map((line) => /SAMPLE (\d+) (.*)$/.exec(line)).findLast((found) => found !== null);
  if (match == null) return null;
  const pairs = [...(match[2] ?? '').matchAll(/([\w.]+)=(-?[\d.]+)/g)];
  return { number: match[1] ?? '', values: new Map(pairs.map((pair) => [pair[1] ?? '', Number(pair[2])])) };
}

async function readAll(vmTarget: LiveTarget, code: Code, wanted: readonly Pair[]): Promise<ReadonlyMap<string, number>> {
  const space = spaceOf(vmTarget, await vmTarget.allRegisters());
  const read = new Map<string, number>();
  if (space === null) return read;
  await space.walk((memory) => {
    const guest: ProbeGuest = { memory, types: code.symbolizer.types, symbols: code.symbolizer, images: code.images };
    for (const probe of code.probes.filter((each) => isWanted(each, wanted))) {
      for (const sample of samplesOf(probe, probe.sample(guest)))
        if (sample.value !== null) read.set(seriesKey(sample), sample.value);
      for (const thread of probe.threads?.(guest) ?? []) {
        if (thread.cpuTimeNs !== null) read.set(`threads:${thread.name}.cpuTimeNs`, thread.cpuTimeNs);
      }
      for (const { protocol, state } of probe.sockets?.(guest) ?? []) {
        const key = `sockets:${state ?? protocol}`;
        read.set(key, (read.get(key) ?? 0) + 1);
      }
    }
  });
  return read;
}

function print(
  taken: readonly { readonly said: Line; readonly read: ReadonlyMap<string, number> }[],
  wanted: readonly Pair[],
  discarded: number,
): void {
  process.stdout.write(
    `${taken.length} pairs; ${discarded} more were discarded, because the guest went on while it was read\n\n` +
      '| the guest says | unidbg reads | first … last of the guest | equal | largest difference |\n|---|---|---|---|---|\n',
  );
  for (const { name, metric, factor } of wanted) {
    const both = taken.flatMap(({ said, read }) => {
      const [theirs, ours] = [said.values.get(name), sumOf(read, metric)];
      return theirs === undefined || ours === undefined ? [] : [{ theirs: theirs * factor, ours }];
    });
    const worst = Math.max(0, ...both.map(({ theirs, ours }) => Math.abs(theirs - ours)));
    const equal = both.filter(({ theirs, ours }) => theirs === ours).length;
    const span = both.length === 0 ? '–' : `${both[0]?.theirs ?? ''} … ${both.at(-1)?.theirs ?? ''}`;
    process.stdout.write(`| \`${name}\` | \`${metric}\` | ${span} | ${equal} of ${both.length} | ${worst} |\n`);
  }
}

function sumOf(read: ReadonlyMap<string, number>, metric: string): number | undefined {
  const values = metric.split('+').map((key) => read.get(key) ?? (key.startsWith('sockets:') ? 0 : undefined));
  return values.reduce((sum, value) => (sum === undefined || value === undefined ? undefined : sum + value), 0);
}

/** The guest stands still for a short while only: other probes are not asked. */
function isWanted(probe: Probe, wanted: readonly Pair[]): boolean {
  const keys = wanted.flatMap(({ metric }) => metric.split('+'));
  const isThere = (what: string): boolean => keys.some((key) => key.startsWith(`${what}:`));
  const names = new Set(keys.map((key) => key.replace(/\{.*$/, '')));
  return (
    Object.keys(probe.metrics).some((name) => names.has(name)) ||
    (isThere('threads') && probe.threads !== undefined) ||
    (isThere('sockets') && probe.sockets !== undefined)
  );
}
