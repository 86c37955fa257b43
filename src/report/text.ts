// Reports and groups for a person at a terminal.

import type { Crash } from '../model/crash.ts';
import type { Image } from '../model/image.ts';
import type { CrashGroup, Report, Runs, Sighting } from '../model/report.ts';
import { crashLines } from './stack-text.ts';

/** Crashes after the first are told in a line each, so many of them. */
const LATER_SHOWN = 20;

/** One report; `all` = later crashes in full too. */
export function reportLines(report: Report, options: { readonly all: boolean }): readonly string[] {
  const { source, crash, laterCrashes, image, guestExit, diagnostics } = report;
  const system = [report.unikernel, report.runtime].filter((name) => name !== null).join(', ');
  return [
    `${source}: ${system === '' ? 'unknown system' : system}${crash === null ? ': no crash' : ''}`,
    ...(guestExit === null ? [] : [`    exit: ${guestExit.how}`]),
    ...(crash === null ? [] : crashReport(crash)),
    ...(options.all ? laterCrashes.flatMap(crashReport) : laterLines(laterCrashes)),
    ...(image === null || crash === null ? [] : [imageLine(image)]),
    ...diagnostics.map(({ message }) => `! ${message}`),
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
  return at === null ? source : new Date(at).toISOString().slice(5, 16).replace('T', ' ');
}
