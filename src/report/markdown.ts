// GitHub-flavoured Markdown for a step summary (at most 1 MiB) or a comment. Nothing that a guest wrote is Markdown: on a line of text it
// is written in character references, which cannot start any structure; blocks of it are HTML's `<pre>`, in which only markup counts.

import type { Crash } from '../model/crash.ts';
import { exitWords } from '../model/guest-exit.ts';
import { seriesKey } from '../model/metric.ts';
import { formatSample } from '../model/quantity.ts';
import type { CrashGroup, Report, Run, RunSet } from '../model/report.ts';
import type { ReportContext, ReportFormat } from './format.ts';
import { outOfMemoryLines } from './out-of-memory-text.ts';
import { findExcerpt, findPlace } from './places.ts';
import { escapeMarkup, toPrintableLine } from './printable.ts';
import { crashLines, stackLines } from './stack-text.ts';
import { runsInFull } from './tellings.ts';
import { qemuExitWords } from './text.ts';
import { formatSpan } from './times.ts';

/** GitHub refuses a summary above 1 MiB. */
const MAX_BYTES = 1_000_000;
const MAX_ROWS = 200;
const CONSOLE_TAIL = 120;
const LINE = 400;
const STACKS_TOLD = 48;
const FRAMES_TOLD = 24;
const RUNS_TOLD = 20;

export const markdownFormat: ReportFormat = {
  name: 'markdown',
  fileName: 'summary.md',
  doc: "Markdown for GitHub's step summary or a comment",
  render: (runs, context) => {
    const parts = [...headParts(runs), ...runsInFull(runs, RUNS_TOLD).map((run) => runPart(run, runs, context))];
    return fit(parts);
  },
};

/** As many parts as there is room for: the first ones tell most. */
function fit(parts: readonly string[]): string {
  const kept: string[] = [];
  let left = MAX_BYTES;
  for (const part of parts) {
    left -= Buffer.byteLength(part) + 1;
    if (left < 0)
      return `${kept.join('\n')}\n… ${parts.length - kept.length} more parts are left out here: the HTML report has all.\n`;
    kept.push(part);
  }
  return `${kept.join('\n').trimEnd()}\n`;
}

const MEANINGFUL = /(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])|:(?![ \d]|$)|[^\p{L}\p{N} _:.,/()=;?%'+-]/gu;

/** A guest's words on a line of Markdown: no mention, no link, no markup, no cell's end. Colons and underscores stay where they do nothing. */
export function markdownText(text: string, most = 300): string {
  return toPrintableLine(text, most)
    .replaceAll(MEANINGFUL, reference)
    .replaceAll('&#64;', '&#64;&#8203;')
    .replaceAll(/www\./gi, (found) => `${found.slice(0, 3)}&#46;`)
    .replaceAll(/^([-+= ]|\d+[.)])/g, (found) => Array.from(found, reference).join(''));
}

function reference(character: string): string {
  return `&#${character.codePointAt(0)!};`;
}

/** A block of a guest's words as they stand. */
function pre(lines: readonly string[]): string {
  // Lines that begin with one would otherwise lose it: HTML ignores an end of line right behind `<pre>`.
  return `<pre>\n${lines.map((line) => escapeMarkup(line.slice(0, LINE)).replaceAll('\n', ' ')).join('\n')}\n</pre>\n`;
}

function details(title: string, body: string): string {
  return `<details><summary>${escapeMarkup(toPrintableLine(title))}</summary>\n\n${body}\n</details>\n`;
}

function headParts(set: RunSet): readonly string[] {
  const { title, runs, groups, comparison } = set;
  if (runs.length === 1 && comparison === null) return [];
  const passed = runs.filter((run) => run.passed).length;
  const ok = passed === runs.length;
  return [
    `## ${ok ? '✅' : '❌'} ${markdownText(title)}: ${passed} of ${runs.length} runs passed\n`,
    ...(groups.length === 0 ? [] : [bugTable(groups, set)]),
    ...(comparison === null || comparison.fixed.length === 0
      ? []
      : [
          `Known, and not seen in these runs:\n`,
          `${comparison.fixed
            .slice(0, MAX_ROWS)
            .map((bug) => `- ${markdownText(bug.title)} \`${hex(bug.signature)}\``)
            .join('\n')}\n`,
        ]),
    ...(runs.length === 1 ? [] : [runTable(runs)]),
  ];
}

function bugTable(groups: readonly CrashGroup[], { comparison }: RunSet): string {
  const state = ({ signature }: CrashGroup): string =>
    comparison === null ? '' : comparison.known.some((group) => group.signature === signature) ? 'known' : '**new**';
  const rows = groups
    .slice(0, MAX_ROWS)
    .map(
      (group) =>
        `| ${group.count} | ${state(group)} | ${group.kind} | ${markdownText(group.title)} | \`${hex(group.signature)}\` |`,
    );
  return ['| runs | | kind | bug | signature |', '|---:|---|---|---|---|', ...rows, ...hidden(groups.length), ''].join('\n');
}

function runTable(runs: readonly Run[]): string {
  const rows = runs.slice(0, MAX_ROWS).map(({ name, passed, report }) => {
    const time = report.launch === null ? '' : formatSpan(report.launch.durationMs);
    const what = report.crash?.title ?? report.guestExit?.how ?? '';
    return `| ${passed ? '✅' : '❌'} | ${markdownText(name)} | ${report.verdict} | ${time} | ${markdownText(what)} |`;
  });
  return ['| | run | verdict | time | what |', '|---|---|---|---:|---|', ...rows, ...hidden(runs.length), ''].join('\n');
}

function hidden(count: number): readonly string[] {
  return count > MAX_ROWS ? [`| | … ${count - MAX_ROWS} more | | | |`] : [];
}

function hex(signature: string): string {
  return signature.replaceAll(/[^0-9a-f]/gi, '');
}

function runPart(run: Run, { runs }: RunSet, context: ReportContext): string {
  const { name, passed, report } = run;
  const { crash, launch, guestExit, partial, outOfMemory, findings, diagnostics } = report;
  const what = crash === null ? report.verdict : `${crash.kind}: ${crash.title}`;
  const facts = [
    ...[report.unikernel, report.runtime, report.target?.machine].flatMap((word) => (word == null ? [] : [markdownText(word)])),
    ...(launch === null ? [] : [`ran for ${formatSpan(launch.durationMs)}`]),
    ...(launch?.qemuExit == null ? [] : [qemuExitWords(launch.qemuExit)]),
    ...(guestExit === null ? [] : [markdownText(exitWords(guestExit))]),
    ...(partial === null ? [] : [`partial: ${markdownText(partial)}`]),
  ];
  return [
    `${runs.length === 1 ? '##' : '###'} ${passed ? '✅' : '❌'} ${markdownText(name)}: ${markdownText(what)}\n`,
    facts.length === 0 ? '' : `${facts.join(' · ')}\n`,
    ...(crash === null ? [] : [crashPart(crash, report, context)]),
    ...expectationPart(report),
    ...findings.map(({ severity, message }) => `- ${severity}: ${markdownText(message, 600)}`),
    ...(findings.length === 0 ? [] : ['']),
    ...(outOfMemory === null ? [] : [pre(outOfMemoryLines(outOfMemory))]),
    ...foldedParts(report),
    ...(run.bundle === null ? [] : [`Bundle: ${markdownText(run.bundle)}\n`]),
    ...diagnostics.map(({ message }) => `- ${markdownText(message, 600)}`),
    '',
  ].join('\n');
}

function crashPart(crash: Crash, { sources }: Report, { root }: ReportContext): string {
  const place = findPlace(crash, sources, root);
  const excerpt = place === null ? null : findExcerpt(place.frame, sources);
  const where = place === null ? '' : `at ${markdownText(`${place.path}:${place.line}`)}\n`;
  const source =
    excerpt === null
      ? ''
      : pre(
          excerpt.lines.map((text, index) => {
            const number = excerpt.firstLine + index;
            return `${number === excerpt.line ? '→' : ' '}${String(number).padStart(5)}  ${text}`;
          }),
        );
  return [where, source, details('Stack and registers', pre(crashLines(crash).slice(1, -1)))].join('\n');
}

function expectationPart({ expectations }: Report): readonly string[] {
  if (expectations.length === 0) return [];
  const mark = { met: '✅', failed: '❌', undecided: '❔' } as const;
  const rows = expectations
    .slice(0, MAX_ROWS)
    .map(({ text, state, reason }) => `| ${mark[state]} ${state} | ${markdownText(text)} | ${markdownText(reason)} |`);
  return [['| | expectation | |', '|---|---|---|', ...rows, ''].join('\n')];
}

function foldedParts({ stacks, console, metrics, launch }: Report): readonly string[] {
  const tail = console.lines.slice(-CONSOLE_TAIL).map(({ text }) => text);
  const measured = metrics.filter(({ value }) => value !== null).slice(0, MAX_ROWS);
  return [
    ...(stacks.length === 0
      ? []
      : [
          details(
            `Stacks of ${stacks.length} vCPUs and threads`,
            pre(stacks.slice(0, STACKS_TOLD).flatMap((stack) => stackLines(stack, FRAMES_TOLD))),
          ),
        ]),
    ...(tail.length === 0 ? [] : [details(`Console, last ${tail.length} lines`, pre(tail))]),
    ...(measured.length === 0
      ? []
      : [details('Metrics at the end', pre(measured.map((sample) => `${seriesKey(sample)}  ${formatSample(sample)}`)))]),
    ...(launch === null || launch.command.length === 0 ? [] : [details('Command', pre([launch.command.join(' ')]))]),
  ];
}
