// Of many runs, those that are worth telling in full: fifty runs that die of one bug are told once.

import type { Crash } from '../model/crash.ts';
import type { CrashGroup, Run, RunSet } from '../model/report.ts';

/** A bug's best telling: the first run whose crash knows most, else the first that is of it; null without the run. */
export function findTelling(
  { runs }: RunSet,
  group: Pick<CrashGroup, 'signature' | 'sources'>,
): { readonly run: Run; readonly crash: Crash } | null {
  const told = runs.flatMap((run) => {
    const { crash } = run.report;
    return crash !== null && group.sources.includes(run.name) ? [{ run, crash }] : [];
  });
  return told.find(({ crash }) => crash.signature === group.signature) ?? told[0] ?? null;
}

/** Without a crash, runs that failed alike are not told again and again either. */
const FAILURES_TOLD = 5;

/** In the order of the runs: one of each bug, the first that failed otherwise, and the first that passed where all did; at most `most`. */
export function runsInFull(set: RunSet, most: number): readonly Run[] {
  const { runs, groups } = set;
  if (runs.length === 1) return runs;
  const bugs = groups.flatMap((group) => findTelling(set, group)?.run ?? []);
  const failures = runs.filter(({ passed, report }) => !passed && report.crash === null).slice(0, FAILURES_TOLD);
  const chosen = new Set([...bugs, ...failures].slice(0, most));
  return chosen.size === 0 ? runs.slice(0, 1) : runs.filter((run) => chosen.has(run));
}
