// The threads panel: the guest scheduler's threads, what each waits for, and who blocks whom.

import { formatNanoseconds } from '../../src/model/quantity.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { parsePattern } from '../filter.ts';
import type { ScreenState } from '../state.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { fit, padEnd, padStart, span } from '../text.ts';
import type { Row } from './list.ts';

/** A row and its thread. */
export interface ThreadRow extends Row {
  readonly thread: GuestThread;
}

/** Threads in the scheduler's order. */
export function threadRows(snapshot: Snapshot, state: ScreenState): readonly ThreadRow[] {
  const pattern = parsePattern(state.filters.threads ?? '');
  const deadlocked = findDeadlocked(snapshot.threads);
  const names = new Map(snapshot.threads.map((thread) => [thread.id, thread.name]));
  return snapshot.threads
    .map((thread): ThreadRow => {
      const text = `${thread.id} ${thread.name} ${thread.state} ${thread.waitingFor ?? ''}`;
      return { key: thread.id, thread, text, draw: (width) => threadLine(thread, names, deadlocked.has(thread.id), width) };
    })
    .filter((row) => pattern === null || pattern.matches(row.text));
}

function threadLine(thread: GuestThread, names: ReadonlyMap<string, string>, deadlocked: boolean, width: number): Line {
  const blocker = thread.blockedBy === null ? '' : ` held by ${names.get(thread.blockedBy) ?? thread.blockedBy}`;
  const waits = `${thread.waitingFor ?? ''}${blocker}`;
  const style: Style = thread.state === 'running' ? 'good' : thread.state === 'blocked' ? 'warning' : 'plain';
  const nameWidth = Math.min(18, Math.max(8, Math.floor(width / 4)));
  const cpu = thread.cpuTimeNs === null || width < 60 ? '' : formatNanoseconds(thread.cpuTimeNs);
  const head: Line = [
    span(padStart(thread.id, 4), 'dim'),
    span(' '),
    span(padEnd(thread.name, nameWidth), 'strong'),
    span(' '),
    // Each of them waits for the next: none will ever run again.
    deadlocked ? span('deadlock ', 'bad') : span(padEnd(thread.state, 9), style),
    span(waits, 'plain'),
  ];
  return cpu === '' ? head : [...fit(head, width - 8), span(padStart(cpu, 8), 'dim')];
}

/** Ids of threads on a cycle of `blockedBy`: a deadlock. Each walk is bounded by the number of threads. */
export function findDeadlocked(threads: readonly GuestThread[]): ReadonlySet<string> {
  const blockedBy = new Map(threads.map((thread) => [thread.id, thread.blockedBy]));
  const isOnCycle = (start: string): boolean => {
    let at = blockedBy.get(start) ?? null;
    for (let step = 0; step < threads.length && at !== null; step += 1) {
      if (at === start) return true;
      at = blockedBy.get(at) ?? null;
    }
    return false;
  };
  return new Set(threads.filter(({ id }) => isOnCycle(id)).map(({ id }) => id));
}

/** What the panel says while no scheduler has been read. */
export function emptyThreads(): readonly Line[] {
  return [
    [span("no scheduler of the guest's has been read", 'dim')],
    [span('(a probe for this unikernel and its symbols are needed: see 7 Overview)', 'dim')],
  ];
}
