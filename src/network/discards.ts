// The journal of what the janitor threw away unread: a line is written before the bytes go, so whoever reads zeros finds out.

import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Packets of a file up to `end` (a record's boundary) of which nothing before is there any more. */
export interface Discard {
  /** Which file, by its number. */
  readonly file: number;
  readonly end: number;
  /** Packets in the file up to `end`, since it began. */
  readonly packets: number;
}

const NAME = 'discarded';

/** Notes a discard in the capture's folder. */
export function writeDiscard(folder: string, { file, end, packets }: Discard): void {
  appendFileSync(join(folder, NAME), `${String(file)} ${String(end)} ${String(packets)}\n`, { mode: 0o600 });
}

/** The newest discard of a file; null when nothing of it was thrown away. */
export function findDiscard(folder: string, file: number): Discard | null {
  let text: string;
  try {
    text = readFileSync(join(folder, NAME), 'latin1');
  } catch {
    return null;
  }
  const lines = text.split('\n').map((line) => /^(\d+) (\d+) (\d+)$/.exec(line));
  const last = lines.findLast((fields) => fields !== null && Number(fields[1]) === file);
  return last == null ? null : { file, end: Number(last[2]), packets: Number(last[3]) };
}
