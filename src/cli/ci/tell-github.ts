// What GitHub Actions is told of the runs: annotations on source lines, and the step's summary.

import { appendFileSync } from 'node:fs';
import { errorMessage } from '../../model/error.ts';
import type { RunSet } from '../../model/report.ts';
import type { ReportContext } from '../../report/format.ts';
import { renderReport } from '../../report/formats.ts';

/** Annotations for `write`, and the step's summary. A summary that cannot be written must not fail the step: `remark` is told. */
export function tellGitHub(
  runs: RunSet,
  context: ReportContext,
  summary: string | undefined,
  write: (text: string) => void,
  remark: (text: string) => void,
): void {
  write(renderReport('github', runs, context));
  if (summary === undefined || summary === '') return;
  try {
    appendFileSync(summary, renderReport('markdown', runs, context));
  } catch (error) {
    remark(`GitHub's step summary cannot be written: ${errorMessage(error)}`);
  }
}
