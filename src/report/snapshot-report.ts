// The report of what a session knows: a run, a dump, a recording, a bundle are all told from their last snapshot.

import type { Report } from '../model/report.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { makeReport } from './report.ts';

/** What the snapshot itself does not say. */
export type AroundSnapshot = Pick<Report, 'source' | 'seenAt'> &
  Partial<Pick<Report, 'launch' | 'expectations' | 'sources' | 'partial' | 'guestExit'>> & { readonly qemuFailed?: boolean };

/** So many lines of the console go into a report; the whole console is in the bundle. */
const CONSOLE_LINES = 500;

/** The report of a snapshot. */
export function reportOfSnapshot(snapshot: Snapshot, around: AroundSnapshot): Report {
  const { identity, crashes, images, stacks, registers, metrics, findings, console, diagnostics, outOfMemory } = snapshot;
  const series = [...metrics.values()];
  const shown = console.slice(-CONSOLE_LINES);
  return makeReport({
    ...{ crashes, images, stacks, registers, findings, diagnostics, outOfMemory },
    unikernel: identity?.unikernel ?? null,
    target: identity,
    metrics: series.map(({ latest }) => latest),
    history: series.filter(({ values }) => values.length > 1),
    guestExit: snapshot.guestExit,
    untold: isUntold(snapshot, around.partial ?? null),
    console: { before: snapshot.consoleDropped + console.length - shown.length, lines: shown },
    ...around,
  });
}

/**
 * Nobody can say whether it crashed: a dump without a single name and without the guest's words, or of which a part is missing. Whoever
 * passes such a guest as healthy passes a crash.
 */
function isUntold({ identity, images, console }: Snapshot, partial: string | null): boolean {
  const isNamed = images.some(({ match }) => match !== 'mismatch' && match !== 'no-file');
  return identity?.kind === 'dump' && (partial !== null || (!isNamed && console.length === 0));
}
