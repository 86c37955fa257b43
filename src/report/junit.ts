// JUnit's XML, as Ant writes it and Jenkins, GitLab and others read it: the part that both the Windy Road schema (junit.xsd) and Jenkins'
// xunit plugin (junit-10.xsd) allow. A suite per set of runs, a case per run.

import type { Report, Run, RunSet } from '../model/report.ts';
import type { ReportFormat } from './format.ts';
import { escapeMarkup, toPrintableLine } from './printable.ts';
import { reportLines } from './text.ts';
import { isoTime } from './times.ts';

/** Lines of each console's end. */
const CONSOLE_TAIL = 100;

export const junitFormat: ReportFormat = {
  name: 'junit',
  fileName: 'junit.xml',
  doc: "JUnit's XML: a test case per run",
  render: (runs, { version }) =>
    ['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites>', ...suiteLines(runs, version), '</testsuites>', ''].join('\n'),
};

function suiteLines({ title, runs, comparison }: RunSet, version: string): readonly string[] {
  const started = Math.min(...runs.flatMap(({ report: { launch, seenAt } }) => launch?.startedAt ?? seenAt ?? []));
  const properties = [
    ['unidbg.version', version],
    ...(comparison === null ? [] : [['unidbg.baseline', comparison.baseline]]),
  ] as const;
  return [
    `  <testsuite${attributes({
      id: '0',
      package: 'unidbg',
      name: token(title),
      // The schema wants one; a report of which nobody knows when it was is of no time.
      timestamp: isoTime(started)?.slice(0, 19) ?? '1970-01-01T00:00:00',
      hostname: 'localhost',
      tests: String(runs.length),
      failures: String(runs.filter((run) => outcomeOf(run) === 'failure').length),
      errors: String(runs.filter((run) => outcomeOf(run) === 'error').length),
      time: seconds(runs.reduce((sum, { report }) => sum + (report.launch?.durationMs ?? 0), 0)),
    })}>`,
    '    <properties>',
    ...properties.map(([name, value]) => `      <property${attributes({ name, value: toPrintableLine(value) })}/>`),
    '    </properties>',
    ...runs.flatMap((run) => caseLines(run, title)),
    `    <system-out>${escapeMarkup(consolesOf(runs))}</system-out>`,
    `    <system-err>${escapeMarkup(runs.flatMap(({ report }) => report.launch?.qemuOutput ?? []).join('\n'))}</system-err>`,
    '  </testsuite>',
  ];
}

function caseLines(run: Run, title: string): readonly string[] {
  const { name, report } = run;
  const open = `    <testcase${attributes({
    name: token(name),
    classname: token(title),
    time: seconds(report.launch?.durationMs ?? 0),
  })}`;
  const outcome = outcomeOf(run);
  if (outcome === null) return [`${open}/>`];
  const told = attributes({ message: toPrintableLine(summaryOf(report)), type: report.verdict });
  const text = escapeMarkup(reportLines(report, { all: false }).join('\n'));
  return [`${open}>`, `      <${outcome}${told}>${text}</${outcome}>`, '    </testcase>'];
}

/** `error`: nothing can be told of the guest. */
function outcomeOf({ passed, report: { verdict } }: Run): 'failure' | 'error' | null {
  if (passed) return null;
  return verdict === 'qemu-failed' ? 'error' : 'failure';
}

/** One line: what a list of failed tests shows. */
function summaryOf({ verdict, crash, guestExit, expectations, launch }: Report): string {
  if (crash !== null) return `${crash.kind}: ${crash.title}`;
  const broken = expectations.find(({ state }) => state !== 'met');
  if (verdict === 'qemu-failed') return launch?.qemuOutput.at(-1) ?? 'QEMU failed';
  if (verdict === 'expectation-failed' && broken !== undefined) return `${broken.text}: ${broken.reason}`;
  return guestExit?.how ?? verdict;
}

function consolesOf(runs: readonly Run[]): string {
  const parts = runs.map(({ name, report }) => {
    const tail = report.console.lines.slice(-CONSOLE_TAIL).map(({ text }) => text);
    return [...(runs.length === 1 ? [] : [`── ${name}`]), ...tail].join('\n');
  });
  return parts.join('\n');
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${escapeMarkup(value)}"`)
    .join('');
}

/** xs:token: no spaces at the ends, none doubled; and something. */
function token(text: string): string {
  return toPrintableLine(text).replaceAll(/\s+/g, ' ').trim() || 'unnamed';
}

/** xs:decimal; at most three digits behind the point (Surefire). */
function seconds(ms: number): string {
  return Number.isFinite(ms) && ms > 0 ? (ms / 1000).toFixed(3) : '0';
}
