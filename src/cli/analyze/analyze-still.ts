// A recording, a bundle or a dump to a report: what its session knows at its end.

import type { Report } from '../../model/report.ts';
import { reportOfSnapshot } from '../../report/snapshot-report.ts';
import { readExcerpts } from '../../session/source-excerpts.ts';
import { reportContext } from '../report-files.ts';
import { openStill, type StillKind, type StillOptions } from '../still-guest.ts';
import type { Analysis } from './analyze-log.ts';
import { writtenAt } from './read-input.ts';

/** The report of a file that holds a guest. Throws as openStill does. */
export async function analyzeStill(path: string, kind: StillKind, options: StillOptions): Promise<Analysis> {
  const crashedAt: number[] = [];
  const still = await openStill(path, kind, options, (session) => {
    session.subscribe((event) => {
      // What a dump tells is told now, and was true when it was written.
      if (event.type === 'crash' && kind !== 'dump') crashedAt.push(event.at);
    });
  });
  try {
    const snapshot = still.session.snapshot();
    const asked = snapshot.outOfMemory?.allocating ?? null;
    const roots = [...(options.source ?? []), process.cwd()];
    const sources = readExcerpts(snapshot.crashes, roots, reportContext().root, asked);
    const around = { source: path, seenAt: crashedAt[0] ?? writtenAt(path), partial: still.partial, sources };
    const report: Report = reportOfSnapshot(snapshot, around);
    const seen = { source: path, at: report.seenAt };
    return { report, firsts: report.crash === null ? [] : [{ crash: report.crash, seen }] };
  } finally {
    still.close();
  }
}
