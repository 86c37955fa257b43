// Reports on disk: every form into a folder, and the baseline that they are held against.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errorMessage, UnidbgError } from '../model/error.ts';
import type { RunSet } from '../model/report.ts';
import { type Baseline, parseBaseline } from '../report/baseline.ts';
import type { ReportContext } from '../report/format.ts';
import { REPORT_FORMATS } from '../report/formats.ts';
import { version } from './version.ts';

/** What reports made here depend on: this version, and the repository that the current folder is in. */
export function reportContext(): ReportContext {
  return { version: version(), root: findRepository(process.cwd()) };
}

/** Writes every form into `folder`, which is made where it is not there; gives the paths. Throws FILE_UNWRITABLE. */
export function writeReports(runs: RunSet, folder: string): readonly string[] {
  const context = reportContext();
  makeFolder(folder);
  return REPORT_FORMATS.map(({ fileName, render }) => {
    const path = join(folder, fileName);
    orUnwritable(path, () => {
      writeFileSync(path, render(runs, context));
    });
    return path;
  });
}

/** Makes a folder for reports, and those that it is in. Throws FILE_UNWRITABLE. */
export function makeFolder(folder: string): void {
  orUnwritable(folder, () => {
    makeFolders(folder);
  });
}

// Not mkdirSync's own `recursive`: where nothing can be made (`/proc/x`) Node 24 tries for ever.
function makeFolders(folder: string): void {
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(folder) !== folder) makeFolders(dirname(folder));
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another run that writes into the same folder was first.
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

/** The baseline in a file. Throws FILE_UNREADABLE, and REPORT_MALFORMED when it is none. */
export function readBaseline(path: string): Baseline {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UnidbgError('FILE_UNREADABLE', `the baseline ${path} cannot be read: ${errorMessage(cause)}`, {
      cause,
      facts: { path },
    });
  }
  return parseBaseline(text, path);
}

/** The nearest folder with a repository in it, upwards; the folder itself without one. */
function findRepository(folder: string): string {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return at;
    if (dirname(at) === at) return folder;
  }
}

function orUnwritable(path: string, body: () => unknown): void {
  try {
    body();
  } catch (cause) {
    throw new UnidbgError('FILE_UNWRITABLE', `cannot write ${path}: ${errorMessage(cause)}`, { cause, facts: { path } });
  }
}
