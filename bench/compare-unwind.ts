// Stacks at random instructions, ours beside gdb's at the very same stop: the demo guest in all its builds, programs of this
// machine's compilers, and whatever real guests a file describes. Where the two differ the program is run on to see who is right.
//   npm run compare:unwind                           the demo guest and hosted programs
//   npm run compare:unwind -- --guests FILE.json     real guests beside them (see RealGuest)
//   … --only NAME,NAME --stops 200 --report FILE.md --seed 7

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Comparison, Proof, Verdict } from '../test/unwind/compare-stacks.ts';
import { compareStacks, formatComparison, prove } from '../test/unwind/compare-stacks.ts';
import { median } from './statistics.ts';
import { hostedSubjects } from './unwind-programs.ts';
import { demoSubjects, guestSubject, type RealGuest, type Running, type Subject } from './unwind-subjects.ts';

/** Frames compared at most. */
const LIMIT = 400;
const PROOF_SECONDS = 3;
/** A hundred proofs of the same kind say no more than these. */
const MAX_PROOFS = 60;

interface Tally {
  readonly name: string;
  readonly verdicts: Record<Verdict, number>;
  readonly proofs: Record<'ours' | 'gdb' | 'neither came' | 'another' | 'not tried', number>;
  /** Where frames differ and ours says `cfi`, and gdb was not shown to be wrong. Must be 0. */
  wrongByCfi: number;
  frames: number;
  byTrust: Record<string, number>;
  names: number;
  equalNames: number;
  readonly micros: number[];
  readonly depths: number[];
  readonly notes: string[];
}

const { values: options } = parseArgs({
  options: {
    guests: { type: 'string' },
    only: { type: 'string' },
    stops: { type: 'string', default: '150' },
    report: { type: 'string' },
    seed: { type: 'string', default: '7' },
  },
});

const real =
  options.guests === undefined
    ? []
    : (JSON.parse(readFileSync(options.guests, 'utf8')) as readonly RealGuest[]).map(guestSubject);
const only = options.only?.split(',');
const subjects = [...demoSubjects(), ...hostedSubjects(), ...real].filter(
  ({ name }) => only === undefined || only.includes(name),
);
const tallies: Tally[] = [];
for (const subject of subjects) {
  try {
    tallies.push(await compare(subject, Number(options.stops), Number(options.seed)));
    console.log(formatRow(tallies.at(-1)!));
  } catch (error) {
    console.log(`${subject.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}
const report = formatReport(tallies);
console.log(`\n${report}`);
if (options.report !== undefined) writeFileSync(options.report, report);
process.exitCode = tallies.some(({ wrongByCfi }) => wrongByCfi > 0) ? 1 : 0;

async function compare(subject: Subject, stops: number, seed: number): Promise<Tally> {
  const tally = newTally(subject.name);
  const random = randomFrom(seed);
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-compare-'));
  let running = await subject.start(folder);
  try {
    for (let count = 0, dead = 0; count < stops && dead < 20; count += 1) {
      const { session, unwind, functions, locate } = running;
      const stop = session.stop(subject.approach(random, functions));
      if (stop === null) {
        dead += 1;
        running.close();
        running = await subject.start(mkdtempSync(join(folder, 'again-')));
        continue;
      }
      // The second walk is the warm one.
      unwind(stop.registers, session.memory, { limit: LIMIT });
      const before = process.hrtime.bigint();
      const stack = unwind(stop.registers, session.memory, { limit: LIMIT });
      tally.micros.push(Number(process.hrtime.bigint() - before) / 1000);
      const comparison = compareStacks(stop, stack, LIMIT);
      countNames(tally, comparison, running);
      const tried = tally.verdicts.longer + tally.verdicts.less + tally.verdicts.different;
      // Formatted before the program runs on: names may have to be read from its memory.
      const text =
        comparison.verdict === 'equal' ? '' : formatComparison(comparison, (pc, exact) => locate(pc, exact).name ?? '?');
      const proof =
        tried < MAX_PROOFS && mayProve(subject, comparison, locate) ? prove(session, comparison, PROOF_SECONDS) : null;
      countStop(tally, comparison, proof, text);
    }
  } finally {
    running.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return tally;
}

/** A program that cannot be interrupted must not be sent where it never comes: main's own caller. */
function mayProve({ interruptible }: Subject, { at, ours }: Comparison, locate: Running['locate']): boolean {
  return interruptible || ours.findIndex(({ pc, exactPc }) => locate(pc, exactPc).name === 'main') >= at - 1;
}

function newTally(name: string): Tally {
  return {
    name,
    verdicts: { equal: 0, longer: 0, less: 0, different: 0 },
    proofs: { ours: 0, gdb: 0, another: 0, 'neither came': 0, 'not tried': 0 },
    ...{ wrongByCfi: 0, frames: 0, byTrust: {}, names: 0, equalNames: 0, micros: [], depths: [], notes: [] },
  };
}

function countStop(tally: Tally, comparison: Comparison, proof: Proof | null, text: string): void {
  const { verdict, ours, at } = comparison;
  tally.verdicts[verdict] += 1;
  tally.frames += ours.length;
  tally.depths.push(ours.length);
  for (const { trust } of ours) tally.byTrust[trust] = (tally.byTrust[trust] ?? 0) + 1;
  if (verdict === 'equal') return;
  tally.proofs[proof === null ? 'not tried' : isOther(proof) ? 'another' : proof] += 1;
  if (verdict === 'different' && ours[at]?.trust === 'cfi' && proof !== 'ours') tally.wrongByCfi += 1;
  tally.notes.push(`${verdict}, ${proof === null ? 'not tried' : `right: ${proof}`}\n${text}`);
}

function isOther(proof: Proof): proof is `another: ${string}` {
  return proof.startsWith('another');
}

function countNames(
  tally: Tally,
  { ours, theirs, at }: Comparison,
  { locate, findSymbol }: Pick<Running, 'locate' | 'findSymbol'>,
): void {
  for (let index = 0; index < at; index += 1) {
    const [mine, gdbs] = [ours[index]!, theirs[index]!];
    const { name, entry } = locate(mine.pc, mine.exactPc);
    tally.names += 1;
    // Without debug info gdb says one of the names that the place has.
    const theirEntry = gdbs.entry ?? (gdbs.name === null ? null : findSymbol(gdbs.name));
    if (plain(name) === plain(gdbs.name) || (entry !== null && entry === theirEntry)) tally.equalNames += 1;
    else tally.notes.push(`name: ours ${name ?? '?'}, gdb ${gdbs.name ?? '?'} at ${mine.pc.toString(16)}`);
  }
}

/** Without what the compiler adds to the names of the pieces it makes of a function. */
function plain(name: string | null): string | null {
  return name?.replace(/(?:\.(?:part|constprop|isra|cold|lto_priv|abi0)(?:\.\d+)?)+$/, '') ?? null;
}

function formatRow({ name, verdicts, proofs, wrongByCfi, frames, byTrust, names, equalNames, micros, depths }: Tally): string {
  const stops = micros.length;
  const shares = Object.entries(byTrust).map(([trust, count]) => `${trust} ${count}`);
  const cells = [
    ...[name, stops, verdicts.equal, verdicts.longer, verdicts.less, verdicts.different, wrongByCfi],
    ...[proofs.ours, proofs.gdb, proofs.another, proofs['neither came'], proofs['not tried']],
    ...[frames, shares.join(', '), `${names - equalNames} of ${names}`, median(depths), `${median(micros).toFixed(0)} µs`],
  ];
  return `| ${cells.join(' | ')} |`;
}

function formatReport(all: readonly Tally[]): string {
  const head = [
    '| program | stops | equal | ours longer | ours less | different | different, trust cfi | proof: ours | gdb | another | neither came | not tried | frames | by trust | other names | depth, median | warm walk, median |',
    `|${'---|'.repeat(17)}`,
  ];
  const notes = all.map(({ name, notes: lines }) => `## ${name}\n\n${formatNotes(lines)}`);
  return `# Stacks beside gdb's\n\n${[...head, ...all.map(formatRow)].join('\n')}\n\n${notes.join('\n\n')}\n`;
}

/** One note of each kind, with how many there were. A kind is what remains of a note without its numbers. */
function formatNotes(notes: readonly string[]): string {
  if (notes.length === 0) return 'No difference.';
  const kinds = new Map<string, { readonly note: string; count: number }>();
  for (const note of notes) {
    const lines = note.split('\n');
    const at = lines.findIndex((line) => line.startsWith('*'));
    const kind = [lines[0], ...lines.slice(Math.max(1, at - 1), at + 1)].join('\n').replaceAll(/\b[0-9a-f]+\b/g, '');
    const known = kinds.get(kind);
    if (known === undefined) kinds.set(kind, { note, count: 1 });
    else known.count += 1;
  }
  const sorted = [...kinds.values()].sort((a, b) => b.count - a.count);
  return sorted.map(({ note, count }) => `${count} × ${note}`).join('\n\n');
}

/** A small generator of random numbers in [0, 1), the same for the same seed (Mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
