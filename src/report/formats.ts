// All forms of a report, by name.

import { UnidbgError } from '../model/error.ts';
import type { RunSet } from '../model/report.ts';
import type { ReportContext, ReportFormat } from './format.ts';
import { githubFormat } from './github.ts';
import { htmlFormat } from './html/html.ts';
import { jsonFormat } from './json.ts';
import { junitFormat } from './junit.ts';
import { markdownFormat } from './markdown.ts';
import { sarifFormat } from './sarif.ts';
import { textFormat } from './text.ts';

export const REPORT_FORMATS: readonly ReportFormat[] = [
  jsonFormat,
  textFormat,
  markdownFormat,
  githubFormat,
  junitFormat,
  sarifFormat,
  htmlFormat,
];

/** The form of that name. Throws USAGE, naming those that there are. */
export function formatNamed(name: string): ReportFormat {
  const found = REPORT_FORMATS.find((format) => format.name === name);
  if (found !== undefined) return found;
  const known = REPORT_FORMATS.map((format) => format.name).join(', ');
  throw new UnidbgError('USAGE', `"${name}" is not a form of a report; these are: ${known}`);
}

/** The report in that form. Throws USAGE. */
export function renderReport(name: string, runs: RunSet, context: ReportContext): string {
  return formatNamed(name).render(runs, context);
}
