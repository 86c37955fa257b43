// Console lines per second: a whole log to its crashes, and through each part of a session's path, bytes → safe lines → crash grammars
// → addresses named, events, fold → recording. Beside it bounds (cat, grep with the grammars' first words, grep with the grammars' own patterns) and, for naming
// addresses, addr2line: once for all addresses, and once a line as scripts/decode_stacktrace.sh does.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findAddresses } from '../src/console/addresses.ts';
import { requiredWords } from '../src/console/required-words.ts';
import { RUNTIMES } from '../src/runtimes/index.ts';
import { UNIKERNELS } from '../src/unikernels/index.ts';
import { buildDemoGuest } from '../test/guests/build.ts';
import type { Stage, StageResult } from './console-stage.ts';
import { median } from './statistics.ts';
import { formatCount, printAlone, type Section } from './table.ts';

const LOGS = join(import.meta.dirname, '../test/panics/logs');
const MEBIBYTE = 1024 ** 2;
const SIZE = 100 * MEBIBYTE;
const ROUNDS = 3;
/** In the log with crashes, a whole crash's text comes after so many healthy lines. */
const LINES_BETWEEN_CRASHES = 1000;

interface Log {
  readonly title: string;
  readonly path: string;
  readonly lines: number;
  readonly bytes: number;
}

interface Contender {
  readonly name: string;
  /** Seconds for the whole log. */
  readonly run: (log: Log) => number;
  /** What else is to be said of the last run. */
  readonly note?: () => string;
}

const STAGES: readonly (readonly [Stage, string])[] = [
  ['crashes', 'a log: bytes → crashes'],
  ['lines', 'a session: bytes → safe lines'],
  ['grammar', '… → crash grammars'],
  ['fold', '… → addresses named → events → fold'],
  ['recording', '… → recording on disk'],
];

/** Measures all parts and peers on a healthy log and on one with crashes. */
export async function measureConsole(): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-bench-'));
  try {
    const elf = await buildDemoGuest('fp');
    const logs = [writeLog(folder, 'healthy', false), writeLog(folder, 'with crashes', true)];
    const contenders = [...STAGES.map(([stage, name]) => ourStage(stage, name, elf)), ...peers(folder)];
    const rows: string[][] = [];
    for (const log of logs) {
      const seconds = contenders.map(() => [] as number[]);
      for (let round = 0; round < ROUNDS; round += 1) contenders.forEach(({ run }, index) => seconds[index]!.push(run(log)));
      rows.push(...contenders.map(({ name, note }, index) => row(log, name, median(seconds[index]!), note?.() ?? '')));
    }
    return {
      title: 'Console: lines through the whole path',
      about: `${SIZE / MEBIBYTE} MiB of real consoles (test/panics/logs); the second log has a crash after every ${LINES_BETWEEN_CRASHES} lines. Median of ${ROUNDS} rounds, each run in a fresh process; start-up of Node is not counted, that of the C programs is.`,
      columns: ['', 'log', 'lines/s', 'MB/s', ''],
      rows,
      remarks: addressRemarks(elf, logs[1]!),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function row(log: Log, name: string, seconds: number, note: string): string[] {
  return [name, log.title, formatCount(log.lines / seconds), (log.bytes / seconds / 1e6).toFixed(0), note];
}

/** Healthy consoles in turn, cut after whole lines; every so often a crash's when wanted. */
function writeLog(folder: string, title: string, withCrashes: boolean): Log {
  const linesOf = (name: string): string[] => readFileSync(join(LOGS, name), 'latin1').trimEnd().split('\n');
  const isHealthy = (name: string): boolean => /healthy|-run\.log|-hello\.log/.test(name);
  const names = readdirSync(LOGS).sort();
  const healthy = names.filter(isHealthy).flatMap(linesOf);
  const crashes = names.filter((name) => !isHealthy(name)).map(linesOf);
  const lines: string[] = [];
  for (let bytes = 0, count = 0, crash = 0; bytes < SIZE; count += 1) {
    const due = withCrashes && count % LINES_BETWEEN_CRASHES === LINES_BETWEEN_CRASHES - 1;
    const next = due ? crashes[crash++ % crashes.length]! : [healthy[count % healthy.length]!];
    for (const line of next) bytes += line.length + 1;
    lines.push(...next);
  }
  const path = join(folder, `${title.replaceAll(' ', '-')}.log`);
  const text = Buffer.from(`${lines.join('\n')}\n`, 'latin1');
  writeFileSync(path, text);
  return { title, path, lines: lines.length, bytes: text.length };
}

function ourStage(stage: Stage, name: string, elf: string): Contender {
  let last: StageResult | null = null;
  const program = join(import.meta.dirname, 'console-stage.ts');
  return {
    name,
    run: (log) => {
      last = JSON.parse(execFileSync(process.execPath, [program, stage, log.path, elf], { encoding: 'utf8' })) as StageResult;
      return last.seconds;
    },
    note: () => (stage === 'lines' ? '' : `${formatCount(last?.crashes ?? 0)} crashes told`),
  };
}

function peers(folder: string): readonly Contender[] {
  const starts = [...UNIKERNELS, ...RUNTIMES].flatMap(({ crashes }) => crashes.map(({ start }) => start.source));
  // grep -P takes a name once only, and names are not what is compared.
  const patterns = starts.map((source) => `(?:${source.replaceAll(/\(\?<\w+>/g, '(?:')})`);
  const words = [...new Set(starts.flatMap((source) => requiredWords(source) ?? []))].map((word) =>
    word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'),
  );
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const perl = file('patterns', patterns.join('|'));
  const plain = file('words', words.join('|'));
  return [
    { name: 'bound: `cat`', run: ({ path }) => timeShell('cat "$1" | cat >/dev/null', path) },
    { name: `bound: \`grep -E\`, ${words.length} first words`, run: ({ path }) => timeShell(`grep -aEcf ${plain} "$1"`, path) },
    { name: 'peer: `grep -P`, the grammars’ first lines', run: ({ path }) => timeShell(`grep -aPcf ${perl} "$1"`, path) },
  ];
}

function timeShell(script: string, file: string): number {
  const from = performance.now();
  try {
    // Not to /dev/null: there grep stops at the first match.
    execFileSync('sh', ['-c', script, 'sh', file], {
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  } catch (error) {
    // grep that finds nothing exits with 1.
    if ((error as { status?: number }).status !== 1) throw error;
  }
  return (performance.now() - from) / 1000;
}

/** Addresses per second by addr2line, fed all of a log's addresses at once, and started anew for each line that has some. */
function addressRemarks(elf: string, log: Log): readonly string[] {
  const lines = readFileSync(log.path, 'latin1').split('\n', 200_000);
  const found = lines
    .map((line) => findAddresses(line).map(({ address }) => `0x${address.toString(16)}`))
    .filter((line) => line.length > 0);
  const all = found.flat();
  const from = performance.now();
  execFileSync('addr2line', ['-fie', elf], { input: `${all.join('\n')}\n`, stdio: ['pipe', 'ignore', 'inherit'] });
  const atOnce = (performance.now() - from) / 1000;
  const few = found.slice(0, 200);
  const fewFrom = performance.now();
  for (const line of few) execFileSync('addr2line', ['-fie', elf, ...line], { stdio: 'ignore' });
  const oneByOne = (performance.now() - fewFrom) / 1000;
  return [
    `Naming addresses alone: \`addr2line -fie\` fed with ${formatCount(all.length)} addresses of the second log names ${formatCount(all.length / atOnce)} addresses/s, and started once a line that has some, as \`decode_stacktrace.sh\` does, ${formatCount(few.length / oneByOne)} lines/s; both on the demo guest's image, as the third part of our path.`,
  ];
}

await printAlone(import.meta.main, measureConsole);
