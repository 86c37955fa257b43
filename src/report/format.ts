// What a form of a report is. Each is one file in this folder + one line in formats.ts.

import type { RunSet } from '../model/report.ts';

/** What a rendering depends on beside the report. No clock: the same report gives the same bytes. */
export interface ReportContext {
  /** unidbg's version. */
  readonly version: string;
  /** Absolute path of the repository: files under it are named relative to it. */
  readonly root: string;
}

/** A form of a report. */
export interface ReportFormat {
  readonly name: string;
  /** What the file is called in a folder of reports. */
  readonly fileName: string;
  readonly doc: string;
  /** The whole document, its last line ended. Pure; total on any report, whatever a guest wrote into it. */
  readonly render: (runs: RunSet, context: ReportContext) => string;
}
