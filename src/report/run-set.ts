// Many runs put together to what is told of them: their bugs, and what is new, known or fixed against a baseline.

import type { Report, Run, RunSet } from '../model/report.ts';
import { type Baseline, compareWithBaseline } from './baseline.ts';
import { groupCrashes } from './groups.ts';

/** The runs told together. Each run counts with its first crash: what came after it may be its consequence. */
export function makeRunSet(title: string, runs: readonly Run[], baseline: Baseline | null = null): RunSet {
  const seen = runs.flatMap(({ name, report: { crash, seenAt } }) =>
    crash === null ? [] : [{ crash, seen: { source: name, at: seenAt } }],
  );
  const groups = groupCrashes(seen);
  return { title, runs, groups, comparison: baseline === null ? null : compareWithBaseline(groups, baseline) };
}

/** One report alone. */
export function runSetOf(report: Report, baseline: Baseline | null = null): RunSet {
  const run = { name: report.source, report, passed: report.verdict === 'ok', bundle: null };
  return makeRunSet(report.source, [run], baseline);
}
