// What `unidbg ci` takes from the command line, understood: times, expectations, how often, with how much memory.

import { type Expectation, parseExpectation } from '../../expression/index.ts';
import { UnidbgError } from '../../model/error.ts';
import { parseDuration, parseSize } from '../../model/quantity.ts';

/** As commander gives them. */
export interface CiOptions {
  readonly timeout: string;
  readonly launchWithin: string;
  readonly hangAfter: string;
  readonly lookEvery: string;
  readonly sampleEvery: string;
  readonly expect: readonly string[];
  readonly until?: string;
  readonly ready?: string;
  readonly bootsWithin?: string;
  readonly maxHeap?: string;
  readonly repeat?: string;
  readonly failFast?: boolean;
  readonly jobs?: string;
  readonly matrixMemory?: string;
  readonly report?: string;
  readonly dump?: boolean;
  readonly baseline?: string;
  readonly updateBaseline?: boolean;
  readonly name?: string;
  readonly json?: boolean;
  readonly format?: string;
  readonly quiet?: boolean;
  readonly recordRr?: string;
  readonly passExitCode?: boolean;
  readonly symbols: readonly string[];
  readonly debugDir: readonly string[];
  readonly source: readonly string[];
}

/** What a run is held against. Times in ms, sizes in bytes. */
export interface Goals {
  readonly expectations: readonly Expectation[];
  /** `exit`: the guest has to end by itself. */
  readonly until: Expectation | 'exit' | null;
  /** What ends the boot; the program's first line without it. */
  readonly ready: Expectation | null;
  readonly bootsWithinMs: number | null;
  readonly maxHeapBytes: number | null;
}

/** How one run is watched. */
export interface RunRules {
  readonly goals: Goals;
  readonly timeoutMs: number;
  readonly launchWithinMs: number;
  readonly hangAfterMs: number;
  readonly lookEveryMs: number;
  readonly sampleEveryMs: number;
}

/** Which runs there are. */
export interface Schedule {
  readonly repeat: number;
  /** Sizes of memory in bytes; null alone: as the command says. */
  readonly memory: readonly (number | null)[];
  readonly jobs: number;
  readonly failFast: boolean;
}

const MAX_RUNS = 100_000;
const MAX_JOBS = 64;
const MIB = 1024 ** 2;

/** Throws USAGE. */
export function parseRules(options: CiOptions): RunRules {
  const until = options.until === 'exit' ? 'exit' : parseOptional(options.until);
  return {
    goals: {
      expectations: options.expect.map(parseGoal),
      until,
      ready: parseOptional(options.ready) ?? (until !== 'exit' && until?.condition.type === 'console' ? until : null),
      bootsWithinMs: options.bootsWithin === undefined ? null : parseTime('--boots-within', options.bootsWithin, 1),
      maxHeapBytes: options.maxHeap === undefined ? null : parseSize(options.maxHeap),
    },
    timeoutMs: parseTime('--timeout', options.timeout, 100),
    launchWithinMs: parseTime('--launch-within', options.launchWithin, 100),
    hangAfterMs: parseTime('--hang-after', options.hangAfter, 100),
    lookEveryMs: parseTime('--look-every', options.lookEvery, 50),
    sampleEveryMs: parseTime('--sample-every', options.sampleEvery, 10),
  };
}

/** Throws USAGE. */
export function parseSchedule(options: CiOptions): Schedule {
  return {
    repeat: parseCount('--repeat', options.repeat, MAX_RUNS),
    memory: options.matrixMemory === undefined ? [null] : options.matrixMemory.split(',').map(parseMemory),
    jobs: parseCount('--jobs', options.jobs, MAX_JOBS),
    failFast: options.failFast === true,
  };
}

/** A regular expression alone is one for the console. */
function parseGoal(text: string): Expectation {
  return parseExpectation(text.trimStart().startsWith('/') ? `console ~ ${text.trimStart()}` : text);
}

function parseOptional(text: string | undefined): Expectation | null {
  return text === undefined ? null : parseGoal(text);
}

function parseTime(option: string, text: string, least: number): number {
  const ms = parseDuration(text);
  if (ms < least) throw new UnidbgError('USAGE', `${option} ${text}: at least ${least}ms`);
  return ms;
}

function parseCount(option: string, text: string | undefined, most: number): number {
  if (text === undefined) return 1;
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > most) throw new UnidbgError('USAGE', `${option} ${text}: a number from 1 to ${most}`);
  return count;
}

function parseMemory(text: string): number {
  const bytes = parseSize(text.trim());
  if (bytes < MIB || bytes % MIB !== 0)
    throw new UnidbgError('USAGE', `--matrix-memory ${text}: whole MiB, such as 64M,128M,256M`);
  return bytes;
}
