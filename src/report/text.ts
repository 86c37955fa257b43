// Reports and groups for a person at a terminal.

import type { Crash } from '../model/crash.ts';
import { exitWords } from '../model/guest-exit.ts';
import type { Image } from '../model/image.ts';
import type { Comparison, CrashGroup, Launch, Report, Run, Runs, Sighting } from '../model/report.ts';
import type { ReportFormat } from './format.ts';
import { outOfMemoryLines } from './out-of-memory-text.ts';
import { toPrintable } from './printable.ts';
import { crashLines, stackLines } from './stack-text.ts';
import { runsInFull } from './tellings.ts';
import { formatSpan, isoTime } from './times.ts';

/** Crashes after the first are told in a line each, so many of them. */
const LATER_SHOWN = 20;
/** Threads of a guest that hangs, and frames of each. */
const STACKS_SHOWN = 64;
const FRAMES_SHOWN = 16;
const RUNS_TOLD = 20;

export const textFormat: ReportFormat = {
  name: 'text',
  fileName: 'report.txt',
  doc: 'plain text, as on the terminal',
  render: (set) => {
    const { runs, groups, comparison } = set;
    const lines = [
      ...runsInFull(set, RUNS_TOLD).flatMap((run) => [
        ...(runs.length === 1 ? [] : [runHead(run)]),
        ...reportLines(run.report, { all: false }),
        '',
      ]),
      ...(runs.length === 1 ? [] : groupLines(groups, countRuns(runs))),
      ...(comparison === null ? [] : comparisonLines(comparison)),
    ];
    return `${toPrintable(lines.join('\n')).trimEnd()}\n`;
  },
};

function runHead({ name, passed }: Run): string {
  return `── ${name}: ${passed ? 'passed' : 'failed'}`;
}

/** How many of them crashed; a run of which nothing is told counts as unreadable. */
export function countRuns(runs: readonly Run[]): Runs {
  const healthy = runs.filter(({ report: { crash, verdict } }) => crash === null && verdict !== 'qemu-failed').length;
  const unreadable = runs.filter(({ report }) => report.verdict === 'qemu-failed').length;
  return { total: runs.length, healthy, unreadable };
}

/** One report; `all` = later crashes and all stacks in full too. */
export function reportLines(report: Report, options: { readonly all: boolean }): readonly string[] {
  const { source, crash, laterCrashes, image, guestExit, launch, outOfMemory, diagnostics, partial } = report;
  const system = [report.unikernel, report.runtime].filter((name) => name !== null).join(', ');
  return [
    `${source}: ${system === '' ? 'unknown system' : system}${crash === null ? `: ${noCrashWords(report)}` : ''}`,
    ...(guestExit === null ? [] : [`    ${guestExit.code === null ? 'exit: ' : ''}${exitWords(guestExit)}`]),
    ...(launch === null ? [] : launchLines(launch, report)),
    ...(partial === null ? [] : [`    partial: ${partial}`]),
    ...(crash === null ? [] : crashReport(crash)),
    ...(options.all ? laterCrashes.flatMap(crashReport) : laterLines(laterCrashes)),
    ...(outOfMemory === null ? [] : [...outOfMemoryLines(outOfMemory), '']),
    ...(options.all || crash?.kind === 'hang' ? stacksReport(report) : []),
    ...expectationLines(report),
    ...report.findings.map(({ severity, check, message }) => `${severity}: ${check}: ${message}`),
    ...(image === null || crash === null ? [] : [imageLine(image)]),
    ...diagnostics.filter(({ message }) => message !== report.partial).map(({ message }) => `! ${message}`),
  ].map(toPrintable);
}

function noCrashWords({ verdict, partial }: Report): string {
  if (verdict === 'unknown' && partial !== null) return 'no crash in what is there of it';
  return NO_CRASH[verdict] ?? 'no crash';
}

const NO_CRASH: Partial<Record<Report['verdict'], string>> = {
  'qemu-failed': 'QEMU failed',
  unknown: 'nothing can be told of it: none of its code has a name (--symbols FILE)',
  'expectation-failed': 'no crash, but an expectation failed',
};

function launchLines({ durationMs, bootMs, qemuExit, qemuOutput }: Launch, { verdict }: Report): readonly string[] {
  const boot = bootMs === null ? '' : `, booted after ${formatSpan(bootMs)}`;
  const words = verdict === 'qemu-failed' ? qemuOutput.map((line) => `    QEMU: ${line}`) : [];
  return [`    ran for ${formatSpan(durationMs)}${boot}${qemuExit === null ? '' : `; ${qemuExitWords(qemuExit)}`}`, ...words];
}

/** `QEMU ended with status 1`, `QEMU was killed by SIGSEGV`. */
export function qemuExitWords({ status, signal }: NonNullable<Launch['qemuExit']>): string {
  if (signal !== null) return `QEMU was killed by ${signal}`;
  return status === null ? 'QEMU ended' : `QEMU ended with status ${status}`;
}

function stacksReport({ stacks }: Report): readonly string[] {
  if (stacks.length === 0) return [];
  const hidden = stacks.length - STACKS_SHOWN;
  return [
    'Where each vCPU and thread is:',
    ...stacks.slice(0, STACKS_SHOWN).flatMap((stack) => stackLines(stack, FRAMES_SHOWN)),
    ...(hidden > 0 ? [`… ${hidden} more`] : []),
    '',
  ];
}

function expectationLines({ expectations }: Report): readonly string[] {
  if (expectations.length === 0) return [];
  return ['expectations:', ...expectations.map(({ state, text, reason }) => `    ${state.padEnd(9)} ${text}: ${reason}`)];
}

/** What is new, known and fixed. */
function comparisonLines({ baseline, new: added, known, fixed }: Comparison): readonly string[] {
  const line = (word: string, title: string, signature: string): string => `    ${word.padEnd(5)} ${signature} ${title}`;
  return [
    '',
    `against ${baseline}: ${added.length} new, ${known.length} known, ${fixed.length} not seen any more`,
    ...added.map(({ title, signature }) => line('new', title, signature)),
    ...known.map(({ title, signature }) => line('known', title, signature)),
    ...fixed.map(({ title, signature }) => line('fixed', title, signature)),
  ];
}

function crashReport(crash: Crash): readonly string[] {
  const lines = crash.consoleLines;
  const where = lines === null ? [] : [`    console lines ${lines.first}–${lines.last}`];
  return [...crashLines(crash).slice(0, -1), ...where, ''];
}

function laterLines(crashes: readonly Crash[]): readonly string[] {
  if (crashes.length === 0) return [];
  const shown = crashes.slice(0, LATER_SHOWN).map(({ kind, title, consoleLines, corrupted }) => {
    const line = consoleLines === null ? '' : `line ${consoleLines.first}: `;
    return `    ${line}${kind}: ${title}${corrupted === null ? '' : ` (${corrupted})`}`;
  });
  const hidden = crashes.length - shown.length;
  return [
    `Then ${crashes.length} more (--all tells them in full):`,
    ...shown,
    ...(hidden > 0 ? [`    … ${hidden} more`] : []),
    '',
  ];
}

function imageLine({ path, buildId, match, loadBias, placedBy }: Image): string {
  const id = buildId === null ? 'no build-id' : `build-id ${buildId.slice(0, 12)}`;
  return `symbols ${path}: ${match}, ${id}, load bias 0x${BigInt.asUintN(64, loadBias).toString(16)} (${placedBy})`;
}

/** A table of bugs: how often, when, what. */
export function groupLines(groups: readonly CrashGroup[], runs: Runs): readonly string[] {
  const { total, healthy, unreadable } = runs;
  const lost = unreadable === 0 ? '' : `, ${unreadable} could not be read`;
  const bugs = `${groups.length} bug${groups.length === 1 ? '' : 's'}`;
  const head = `${total} run${total === 1 ? '' : 's'}: ${total - healthy - unreadable} crashed, ${healthy} did not${lost}; ${bugs}`;
  if (groups.length === 0) return [head];
  const rows = groups.map(({ count, kind, title, signature, first, last }) => [
    String(count),
    signature.slice(0, 8),
    dateOf(first),
    dateOf(last),
    `${kind}: ${title}`,
  ]);
  const columns = ['runs', 'bug', 'first seen', 'last seen', 'what'];
  const widths = columns.map((name, index) => Math.max(name.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, index) =>
        index === 0 ? cell.padStart(widths[0] ?? 0) : index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0),
      )
      .join('  ');
  return [head, '', lineOf(columns), ...rows.map(lineOf)];
}

/** UTC, the year left out: the JSON has it. */
function dateOf({ at, source }: Sighting): string {
  return isoTime(at)?.slice(5, 16).replace('T', ' ') ?? source;
}
