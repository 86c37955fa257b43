// Where reports go: a folder, standard output, GitHub's step summary.

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorMessage, UnidbgError } from '../../model/error.ts';
import type { RunSet } from '../../model/report.ts';
import type { ReportContext } from '../../report/format.ts';
import { REPORT_FORMATS, renderReport } from '../../report/formats.ts';

/** Makes the folder, before anything is run. Throws FILE_UNWRITABLE. */
export function makeReportFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new UnidbgError('FILE_UNWRITABLE', `cannot make the folder ${folder}: ${errorMessage(cause)}`, { cause });
  }
}

/** Writes each form into the folder; gives the paths. Throws FILE_UNWRITABLE. */
export function writeReports(runs: RunSet, folder: string, context: ReportContext): readonly string[] {
  return REPORT_FORMATS.map(({ fileName, render }) => {
    const path = join(folder, fileName);
    try {
      writeFileSync(path, render(runs, context));
    } catch (cause) {
      throw new UnidbgError('FILE_UNWRITABLE', `cannot write the report ${path}: ${errorMessage(cause)}`, { cause });
    }
    return path;
  });
}

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
