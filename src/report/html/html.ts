// The report as one page of HTML: for one run all of it, for many what they have in common first.

import type { CrashGroup, Run, RunSet } from '../../model/report.ts';
import type { ReportFormat } from '../format.ts';
import { runsInFull } from '../tellings.ts';
import { formatSpan } from '../times.ts';
import { folded, html, type Markup, section, table } from './markup.ts';
import { page } from './page.ts';
import { factList, headline, runSections } from './run.ts';

/** Runs told in full on a page of many; all are in its table. */
const RUNS_IN_FULL = 20;

export const htmlFormat: ReportFormat = {
  name: 'html',
  fileName: 'report.html',
  doc: 'one page of HTML that needs no network',
  render: (set, { version }) => {
    const [only] = set.runs;
    const foot = html`<p>Written by unidbg ${version}. Everything a guest said stands here as text; nothing is loaded, nothing is sent.</p>`;
    return set.runs.length === 1 && only !== undefined
      ? page(
          `${only.report.verdict}: ${headline(only.report)}`,
          oneHead(only, set),
          [comparisonSection(set), ...runSections(only.report)],
          foot,
        )
      : page(set.title, manyHead(set), manyBody(set), foot);
  },
};

function oneHead(run: Run, { title }: RunSet): Markup {
  const { report } = run;
  return html`<span class="verdict ${report.verdict}">${report.verdict}</span> <span class="soft">${title}</span>
<h1>${headline(report)}</h1>
${factList(run)}`;
}

function manyHead({ title, runs, groups }: RunSet): Markup {
  const passed = runs.filter((run) => run.passed).length;
  const ok = passed === runs.length;
  return html`<span class="verdict ${ok ? 'ok' : ''}">${passed} of ${runs.length} passed</span>
<h1>${title}</h1>
<p class="soft">${groups.length} bug${groups.length === 1 ? '' : 's'}</p>`;
}

function manyBody(set: RunSet): readonly (Markup | null)[] {
  const { runs } = set;
  const full = runsInFull(set, RUNS_IN_FULL);
  return [
    section('bugs', set.comparison === null ? 'Bugs' : `Bugs, against ${set.comparison.baseline}`, bugTable(set)),
    section('runs', 'Runs', runTable(runs, full)),
    ...full.map(
      (run) => html`<div id="${anchorOf(run, runs)}">${folded(
        html`<b>${run.name}</b> <span class="verdict ${run.report.verdict}">${run.report.verdict}</span> ${headline(run.report)}`,
        html`${factList(run)}${runSections(run.report)}`,
        { open: full.length === 1, kind: 'run' },
      )}</div>
`,
    ),
  ];
}

function anchorOf(run: Run, runs: readonly Run[]): string {
  return `run-${runs.indexOf(run) + 1}`;
}

function bugTable({ groups, comparison, runs }: RunSet): Markup | null {
  const seen = groups.map((group) => [
    `${group.count} of ${runs.length}`,
    comparison === null ? '' : stateMark(group, comparison.known),
    group.kind,
    group.title,
    html`<code>${group.signature}</code>`,
  ]);
  const gone = (comparison?.fixed ?? []).map(({ title, signature }) => [
    'none',
    NOT_SEEN,
    '',
    title,
    html`<code>${signature}</code>`,
  ]);
  return table(['runs', '', 'kind', 'what', 'signature'], [...seen, ...gone]);
}

const NOT_SEEN = html`<span class="state met">not seen</span>`;

function stateMark({ signature }: CrashGroup, known: readonly CrashGroup[]): Markup {
  const state = known.some((group) => group.signature === signature) ? 'known' : 'new';
  return html`<span class="state ${state}">${state}</span>`;
}

function comparisonSection({ comparison, groups }: RunSet): Markup | null {
  if (comparison === null) return null;
  const { baseline, fixed, known } = comparison;
  const rows = [
    ...groups.map((group) => [stateMark(group, known), group.title, html`<code>${group.signature}</code>`]),
    ...fixed.map(({ title, signature }) => [
      html`<span class="state met">not seen</span>`,
      title,
      html`<code>${signature}</code>`,
    ]),
  ];
  return section('baseline', `Against ${baseline}`, table([], rows) ?? html`<p>No bug, then and now.</p>`);
}

function runTable(runs: readonly Run[], full: readonly Run[]): Markup | null {
  const rows = runs.map((run) => [
    html`<span class="state ${run.passed ? 'met' : ''}">${run.passed ? 'passed' : 'failed'}</span>`,
    full.includes(run) ? html`<a href="#${anchorOf(run, runs)}">${run.name}</a>` : run.name,
    run.report.verdict,
    run.report.launch === null ? '' : formatSpan(run.report.launch.durationMs),
    headline(run.report),
  ]);
  return table(['', 'run', 'verdict', 'time', 'what'], rows);
}
