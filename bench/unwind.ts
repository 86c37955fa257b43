// A stack of twenty frames, warm, beside gdb's `bt` at the same stop in the same run; and the first look-up in a file without a
// table of its call frame information, the program given: a kernel's debug image has 46 000 entries in .debug_frame.
//   node bench/unwind.ts [ELF]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openElf } from '../src/elf/file.ts';
import { createSymbolizer, openImage } from '../src/symbolize/symbolizer.ts';
import { openUnwindModule } from '../src/unwind/module.ts';
import { toFrames } from '../src/unwind/stack.ts';
import { createUnwinder } from '../src/unwind/unwinder.ts';
import { type GdbSession, startGdb } from '../test/unwind/gdb-session.ts';
import { median, quantile } from './statistics.ts';
import { formatCount, formatMs, formatSection, type Section } from './table.ts';

const SOURCE = `
__attribute__((noinline)) long leaf(long n) { return n * 3; }
__attribute__((noinline)) long recurse(long n) { volatile char used[40 + 8]; used[n] = n; return n <= 0 ? leaf(n) : recurse(n - 1) + used[n]; }
int main(void) { return (int)recurse(14); }
`;
const ROUNDS = 2000;
const GDB_ROUNDS = 200;

process.stdout.write(`${formatSection(measureWarm())}\n`);
const image = process.argv[2];
if (image !== undefined) process.stdout.write(`\n${formatSection(measureCold(image))}\n`);

function measureWarm(): Section {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-bench-unwind-'));
  try {
    const [source, elf] = [join(folder, 'program.c'), join(folder, 'program')];
    writeFileSync(source, SOURCE);
    execFileSync('gcc', ['-O2', '-fno-optimize-sibling-calls', '-g', '-static', '-o', elf, source]);
    const session = startGdb({ folder, elf, start: ['break leaf', 'run'] });
    const section = compareWith(session, elf);
    session.close();
    return section;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compareWith(session: GdbSession, elf: string): Section {
  const stop = session.stop({ steps: 0 })!;
  const opened = openImage(elf);
  const symbolizer = createSymbolizer([{ image: opened, loadBias: 0n, match: 'unverified', placedBy: 'link address' }]);
  const unwinder = createUnwinder({ modules: [openUnwindModule(opened.elf, 0n)], rules: [], symbolizer });
  const walk = () => unwinder.unwind(stop.registers, session.memory);
  const { frames } = walk();
  if (frames.length !== stop.frames.length) throw new Error(`${frames.length} frames, gdb has ${stop.frames.length}`);
  const walks = timesOf(ROUNDS, walk);
  const named = timesOf(ROUNDS, () => toFrames(walk().frames, symbolizer));
  // What gdb takes over answering nothing; its registers are read anew, as ours are walked anew.
  const nothing = median(timesOf(GDB_ROUNDS, () => session.execute('python pass')));
  const backtraces = timesOf(GDB_ROUNDS, () =>
    session.execute('python gdb.invalidate_cached_frames(); gdb.execute("bt", to_string=True)'),
  );
  opened.elf.close();
  const row = (name: string, times: readonly number[], less = 0): string[] => [
    name,
    formatMs(median(times) - less),
    formatMs(quantile(times, 0.95) - less),
  ];
  return {
    title: `A stack of ${frames.length} frames, warm`,
    about: 'The same stop of the same process; memory is at hand on both sides.',
    columns: ['', 'median', '95 %'],
    rows: [row('unidbg, frames', walks), row('unidbg, with names and lines', named), row('gdb `bt`', backtraces, nothing)],
    remarks: [`${formatCount(ROUNDS)} walks by unidbg, ${GDB_ROUNDS} by gdb.`],
  };
}

function measureCold(path: string): Section {
  const times: number[] = [];
  let entries = 0;
  for (let round = 0; round < 5; round += 1) {
    const elf = openElf(path);
    const start = performance.now();
    const module = openUnwindModule(elf, 0n);
    const section = elf.findSection('.text')!;
    module.cfi?.find(section.address + BigInt(Math.floor(section.size / 2)));
    times.push(performance.now() - start);
    entries = elf.findSection('.debug_frame')?.size ?? elf.findSection('.eh_frame')?.size ?? 0;
    elf.close();
  }
  return {
    title: 'The first look-up in a file',
    about: `Reads and indexes ${formatCount(entries)} bytes of call frame information.`,
    columns: ['', 'first', 'median of 5'],
    rows: [['unidbg', formatMs(times[0]!), formatMs(median(times))]],
    remarks: [],
  };
}

/** Milliseconds of each run, after some that do not count. */
function timesOf(rounds: number, body: () => unknown): number[] {
  for (let round = 0; round < rounds / 4; round += 1) body();
  return Array.from({ length: rounds }, () => {
    const start = performance.now();
    body();
    return performance.now() - start;
  });
}
