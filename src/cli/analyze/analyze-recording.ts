// A recording to a report: what the session knew of the guest at its end.

import { closeSync, openSync, readSync } from 'node:fs';
import { reportOfSnapshot } from '../../report/snapshot-report.ts';
import { openRecording } from '../../session/recording.ts';
import { Session } from '../../session/session.ts';
import type { Analysis } from './analyze-log.ts';
import { writtenAt } from './read-input.ts';

const MARK = '{"unidbgRecording":';

/** Whether the file begins as a recording does; false too where it cannot be read. */
export function isRecording(path: string): boolean {
  if (path === '-') return false;
  try {
    const file = openSync(path, 'r');
    try {
      const head = Buffer.alloc(MARK.length);
      return readSync(file, head, 0, head.length, 0) === head.length && head.toString('latin1') === MARK;
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}

/** The report of a recording. Throws RECORDING_MALFORMED, FILE_UNREADABLE. */
export function analyzeRecording(path: string): Analysis {
  const reader = openRecording(path);
  try {
    const session = new Session();
    let seenAt: number | null = null;
    for (const event of reader.events()) {
      if (event.type === 'crash') seenAt ??= event.at;
      session.emit(event);
    }
    const report = reportOfSnapshot(session.snapshot(), { source: path, seenAt: seenAt ?? writtenAt(path) });
    const seen = { source: path, at: report.seenAt };
    return { report, firsts: report.crash === null ? [] : [{ crash: report.crash, seen }] };
  } finally {
    reader.close();
  }
}
