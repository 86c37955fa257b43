// The threads panel: the guest scheduler's threads, what each costs, where it is, what it waits for, and who blocks whom.

import { formatNanoseconds } from '../../src/model/quantity.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { parsePattern } from '../filter.ts';
import { formatShare } from '../format.ts';
import type { SortKey } from '../sorting.ts';
import { sorted, sortWords } from '../sorting.ts';
import type { ScreenState } from '../state.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { fit, lineWidth, padEnd, padStart, span, textWidth, truncate } from '../text.ts';
import { findingLines } from './findings.ts';
import type { Row } from './list.ts';
import { tellingOf } from './stacks.ts';

/** A row and its thread; null for the words of a finding. */
export interface ThreadRow extends Row {
  readonly thread: GuestThread | null;
}

/** A thread with what is known of it besides. */
interface Known {
  readonly thread: GuestThread;
  /** Part of one CPU; null = not counted, or seen once only. */
  readonly share: number | null;
  /** Its innermost functions, the scheduler's own left out; empty when its stack was not read. */
  readonly where: string;
}

const STATE_ORDER: readonly GuestThread['state'][] = [
  'running',
  'runnable',
  'blocked',
  'waiting',
  'sleeping',
  'unknown',
  'exited',
];

const SORT_KEYS: readonly SortKey<Known>[] = [
  { name: 'CPU', value: ({ share, thread }) => share ?? (thread.cpuTimeNs === null ? null : 0), descending: true },
  { name: 'CPU time', value: ({ thread }) => thread.cpuTimeNs, descending: true },
  { name: 'state', value: ({ thread }) => STATE_ORDER.indexOf(thread.state), descending: false },
  { name: 'name', value: ({ thread }) => thread.name, descending: false },
];

/** How many keys there are to sort by. */
export const THREAD_SORTS = SORT_KEYS.length;

/** Threads in the order asked for; by CPU at first, or as the scheduler has them where it does not count. */
export function threadRows(snapshot: Snapshot, state: ScreenState): readonly ThreadRow[] {
  const pattern = parsePattern(state.filters.threads ?? '');
  const deadlocked = findDeadlocked(snapshot.threads);
  const names = new Map(snapshot.threads.map((thread) => [thread.id, thread.name]));
  const where = tellingOf(snapshot);
  const known = snapshot.threads.map(
    (thread): Known => ({ thread, share: state.cpu.shares.get(thread.id) ?? null, where: where(thread).join(' ← ') }),
  );
  const nameWidth = Math.min(
    24,
    known.reduce((most, { thread }) => Math.max(most, textWidth(thread.name)), 6),
  );
  const idWidth = Math.min(
    8,
    known.reduce((most, { thread }) => Math.max(most, thread.id.length), 3),
  );
  const rows = sorted(known, SORT_KEYS, state.sorts.threads).map((one): ThreadRow => {
    const { thread } = one;
    const text = `${thread.id} ${thread.name} ${thread.state} ${thread.waitingFor ?? ''} ${one.where}`;
    const cells = { nameWidth, idWidth, isDeadlocked: deadlocked.has(thread.id) };
    return { key: thread.id, thread, text, draw: (width) => threadLine(one, names, cells, width) };
  });
  return pattern === null ? [...findingRows(snapshot, state), ...rows] : rows.filter((row) => pattern.matches(row.text));
}

function findingRows(snapshot: Snapshot, state: ScreenState): readonly ThreadRow[] {
  return findingLines(snapshot, 'threads', Math.min(80, state.size.columns)).map((line, index) => ({
    key: `finding:${index}`,
    thread: null,
    text: '',
    heading: true,
    draw: () => line,
  }));
}

interface Cells {
  readonly nameWidth: number;
  readonly idWidth: number;
  readonly isDeadlocked: boolean;
}

/** ` 12 worker-0  37 %  waiting  handle_request ← serve   mutex queue_lock held by gc`. */
function threadLine({ thread, share, where }: Known, names: ReadonlyMap<string, string>, cells: Cells, width: number): Line {
  const blocker = thread.blockedBy === null ? '' : ` held by ${names.get(thread.blockedBy) ?? thread.blockedBy}`;
  const waits = `${thread.waitingFor ?? ''}${blocker}`;
  const style: Style = thread.state === 'running' ? 'good' : thread.state === 'blocked' ? 'warning' : 'plain';
  const nameWidth = Math.min(cells.nameWidth, Math.max(8, Math.floor(width / 4)));
  const cpu = share === null ? '' : formatShare(share);
  const time = thread.cpuTimeNs === null || width < 60 ? '' : formatNanoseconds(thread.cpuTimeNs);
  const head: Line = [
    span(padStart(thread.id, cells.idWidth), 'dim'),
    span(' '),
    span(padEnd(thread.name, nameWidth), 'strong'),
    ...(thread.cpuTimeNs === null ? [] : [span(padStart(cpu, 7), (share ?? 0) >= 0.5 ? 'warning' : 'plain')]),
    span(' '),
    // Each of them waits for the next: none will ever run again.
    cells.isDeadlocked ? span('deadlock ', 'bad') : span(padEnd(thread.state, 9), style),
  ];
  const room = width - lineWidth(head) - (time === '' ? 0 : 8);
  return [
    ...fit([...head, ...restOf(waits, where, room)], width - (time === '' ? 0 : 8)),
    ...(time === '' ? [] : [span(padStart(time, 8), 'dim')]),
  ];
}

/** What it waits for is never pushed out by where it is. */
function restOf(waits: string, where: string, room: number): Line {
  if (waits === '') return [span(where, 'function')];
  const left = room - textWidth(waits) - 2;
  return where === '' || left < 8 ? [span(waits)] : [span(truncate(where, left), 'function'), span('  '), span(waits)];
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

/** Right end of the title. */
export function threadsRemark(snapshot: Snapshot, state: ScreenState): Line {
  return snapshot.threads.length === 0 ? [] : [span(` ${sortWords(SORT_KEYS, state.sorts.threads)} `, 'dim')];
}
