// What people see of `ci`: the guest's console as it comes, its crash with the stack, and at the end how it went.

import { randomUUID } from 'node:crypto';
import type { GuestEvent } from '../../model/event.ts';
import { exitWords } from '../../model/guest-exit.ts';
import { formatSize } from '../../model/quantity.ts';
import type { Report, Run, RunSet } from '../../model/report.ts';
import { stackLines } from '../../report/stack-text.ts';
import { newPlainState, plainLines } from '../plain.ts';

/** What is printed of a guest while it runs. `lines`: for standard output. */
export interface LivePrinter {
  readonly onEvent: (event: GuestEvent) => void;
  /** The guest's words are over. */
  readonly close: () => void;
}

const SHOWN: ReadonlySet<GuestEvent['type']> = new Set(['console', 'crash', 'out-of-memory', 'guest-exit', 'finding', 'lost']);

/**
 * Prints console, crash and findings; none of them when `isQuiet`. On GitHub the guest's words, and its launcher's, stand between marks
 * that switch workflow commands off: a guest that prints `::add-mask::` must not be obeyed.
 */
export function openPrinter(write: (text: string) => void, onGitHub: boolean, isQuiet = false): LivePrinter {
  const state = newPlainState();
  const token = onGitHub ? randomUUID() : null;
  if (token !== null) write(`::stop-commands::${token}\n`);
  return {
    onEvent: (event) => {
      if (isQuiet || !SHOWN.has(event.type)) return;
      for (const line of plainLines(event, state)) write(`${line}\n`);
    },
    close: () => {
      if (token !== null) write(`::${token}::\n`);
    },
  };
}

const MAX_STACKS = 32;
const MAX_FRAMES = 16;

/** How one run went; `name` is left out of a run that is alone. */
export function runLines({ report, passed, bundle }: Run, exitCode: number, name: string | null): readonly string[] {
  const { launch, guestExit, expectations } = report;
  const after = launch === null ? '' : ` after ${seconds(launch.durationMs)}`;
  const boot = launch?.bootMs == null ? '' : `, booted after ${seconds(launch.bootMs)}`;
  const head = `${passed ? 'pass' : 'FAIL'}  ${name === null ? '' : `${name}: `}${verdictWords(report)}${after}${boot}${passed ? '' : ` (exit code ${exitCode})`}`;
  if (passed && name !== null) return [head];
  return [
    head,
    ...(report.verdict === 'hang' ? hangLines(report) : []),
    ...(report.verdict === 'qemu-failed' ? qemuLines(report) : []),
    ...expectations.map(({ text, state, reason }) => `      ${state.padEnd(9)} ${text}: ${reason}`),
    ...(guestExit === null ? [] : [`      ${exitWords(guestExit)}`]),
    ...(bundle === null ? [] : [`      ${bundle}: \`unidbg attach ${bundle}\` goes on from there`]),
  ];
}

/** The runs together, where there are several. */
export function setLines({ runs, groups }: RunSet, memory: readonly (number | null)[]): readonly string[] {
  if (runs.length < 2) return [];
  const passed = runs.filter((run) => run.passed);
  return [
    `${passed.length} of ${runs.length} runs passed`,
    ...groups.map(
      ({ title, kind, sources, signature }) => `${sources.length}×  ${kind}: ${title}  [${signature}]  ${namesOf(sources)}`,
    ),
    ...memoryLines(runs, memory),
  ];
}

function memoryLines(runs: readonly Run[], memory: readonly (number | null)[]): readonly string[] {
  const sizes = memory.filter((bytes) => bytes !== null).toSorted((a, b) => a - b);
  if (sizes.length === 0) return [];
  const fits = sizes.find((bytes) => runs.filter(({ name }) => isOfSize(name, bytes)).every(({ passed }) => passed));
  return [fits === undefined ? 'no size of memory passes' : `the smallest memory that passes: ${formatSize(fits)}`];
}

/** A run's name begins with its size of memory. */
function isOfSize(name: string, bytes: number): boolean {
  return name.split(',')[0] === formatSize(bytes);
}

const MAX_NAMES = 12;

function namesOf(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMES).join(', ');
  return names.length > MAX_NAMES ? `${shown}, and ${names.length - MAX_NAMES} more` : shown;
}

function verdictWords({ verdict, crash, expectations, guestExit }: Report): string {
  switch (verdict) {
    case 'ok':
      return guestExit !== null || expectations.length > 0 ? 'fine' : 'no crash; nothing else was asked for';
    case 'expectation-failed':
      return 'no crash, but not what was expected';
    case 'exit':
      return 'the program failed';
    case 'qemu-failed':
      return 'QEMU failed';
    default:
      return crash === null ? verdict : `${crash.kind}: ${crash.title}`;
  }
}

/** A hang is told by where everything stands. */
function hangLines({ stacks, crash }: Report): readonly string[] {
  const [, ...more] = crash?.message.split('\n') ?? [];
  const shown = stacks.slice(0, MAX_STACKS);
  const hidden = stacks.length - shown.length;
  return [
    ...more.map((line) => `      ${line}`),
    ...shown.flatMap((stack) => stackLines(stack, MAX_FRAMES)),
    ...(hidden === 0 ? [] : [`      and ${hidden} more stacks, which the report has`]),
  ];
}

/** Its own last words, and how it ended. */
function qemuLines({ launch }: Report): readonly string[] {
  const { status = null, signal = null } = launch?.qemuExit ?? {};
  const end = signal !== null ? [`QEMU was ended by ${signal}`] : status !== null ? [`QEMU ended with status ${status}`] : [];
  return [...end, ...(launch?.qemuOutput ?? [])].map((line) => `      ${line}`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
