// `ps`: the guest's threads, goroutines and fibres: state, CPU, what each waits for, where it is.

import type { Frame } from '../../model/frame.ts';
import { formatNanoseconds, formatShare } from '../../model/quantity.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { GuestThread } from '../../model/thread.ts';
import { tableLines } from '../table.ts';
import type { Seen, View } from './view.ts';

/** A thread, or a vCPU where no scheduler is known, as the view shows it. */
interface Entry {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  /** Part of one CPU between the last two looks. */
  readonly cpu: number | null;
  readonly cpuTimeNs: number | null;
  readonly waitingFor: string | null;
  readonly blockedBy: string | null;
  readonly where: Frame | null;
}

export const ps: View = {
  name: 'ps',
  doc: "list the guest's threads, goroutines and fibres: state, CPU time, where each is",
  notes: `
CPU and TIME are the guest scheduler's own, where it counts them. WHERE is the innermost function that is not a
scheduler's or a lock's; \`unidbg backtrace\` prints whole stacks. Where no scheduler is known, the vCPUs are listed.`,
  settleMs: 1600,
  captures: false,
  lines: (seen) => {
    const entries = findEntries(seen);
    const hasTime = entries.some(({ cpuTimeNs }) => cpuTimeNs !== null);
    const columns = [
      { title: 'ID', align: 'right' as const },
      { title: 'NAME' },
      { title: 'STATE' },
      ...(hasTime
        ? [
            { title: 'CPU', align: 'right' as const },
            { title: 'TIME', align: 'right' as const },
          ]
        : []),
      { title: 'WAITS FOR' },
      { title: 'WHERE' },
    ];
    const rows = entries.map(({ id, name, state, cpu, cpuTimeNs, waitingFor, blockedBy, where }) => [
      id,
      name,
      state,
      ...(hasTime ? [cpu === null ? '–' : formatShare(cpu), cpuTimeNs === null ? '–' : formatNanoseconds(cpuTimeNs)] : []),
      `${waitingFor ?? ''}${blockedBy === null ? '' : ` held by ${blockedBy}`}`.trim(),
      where === null ? '' : sayWhere(where),
    ]);
    const table = tableLines(columns, rows);
    if (seen.snapshot.threads.length > 0 || table.length === 0) return table;
    return [
      ...table,
      '',
      'No scheduler of this guest is known, or its symbols are missing: these are its vCPUs (--symbols ELF).',
    ];
  },
  document: (seen) => ({ kind: seen.snapshot.threads.length > 0 ? 'threads' : 'vcpus', threads: findEntries(seen) }),
};

/** Who runs first, then by CPU, then as the scheduler lists them. */
export function findEntries({ snapshot, shares }: Seen): readonly Entry[] {
  const { threads } = snapshot;
  if (threads.length === 0) return vcpusOf(snapshot);
  const entries = threads.map(
    (thread): Entry => ({
      ...{ id: thread.id, name: thread.name, state: thread.state, cpuTimeNs: thread.cpuTimeNs },
      ...{ waitingFor: thread.waitingFor, blockedBy: nameOf(thread.blockedBy, threads) },
      cpu: shares.shares.get(thread.id) ?? null,
      where: placeOf(snapshot, thread),
    }),
  );
  return entries.toSorted((a, b) => Number(b.state === 'running') - Number(a.state === 'running') || (b.cpu ?? 0) - (a.cpu ?? 0));
}

function vcpusOf({ stacks }: Snapshot): readonly Entry[] {
  return stacks
    .filter(({ kind }) => kind === 'vcpu')
    .map(({ id, name, state, frames }) => ({
      ...{ id, name, state, cpu: null, cpuTimeNs: null, waitingFor: null, blockedBy: null },
      where: frames[0] ?? null,
    }));
}

function nameOf(id: string | null, threads: readonly GuestThread[]): string | null {
  return id === null ? null : (threads.find((thread) => thread.id === id)?.name ?? id);
}

/** A thread that runs is where a vCPU is, which one is only known when there is one. */
function placeOf({ stacks }: Snapshot, thread: GuestThread): Frame | null {
  const vcpus = stacks.filter(({ kind }) => kind === 'vcpu');
  const stack = stacks.find(({ kind, id }) => kind === 'thread' && id === thread.id);
  const frames = stack?.frames ?? (thread.state === 'running' && vcpus.length === 1 ? (vcpus[0]?.frames ?? []) : []);
  const own = frames.find(({ function: name }) => name !== null && !WAITING.test(name));
  // A run time's own thread is in nothing else: the function it began with tells what it is for.
  return (
    own ??
    frames.findLast(({ function: name, file }) => name !== null && file !== null && !BEGINNING.test(name)) ??
    frames[0] ??
    null
  );
}

/** Functions in which a thread waits, of schedulers, locks and run times: every thread is in one, so the one who called it says more. */
const WAITING =
  /switch|sched|yield|park|block|wait|sleep|suspend|halt|futex|syscall|(?:^|[._:])(?:cond|sem|mutex|poll|epoll|select|lock|recv|read|accept)(?:[._:]|$)|^runtime\.|^internal\/|^sync\./i;

/** Where every goroutine or thread begins. */
const BEGINNING = /goexit|thread_start|^clone$/;

function sayWhere({ function: name, file, line, pc }: Frame): string {
  const place = file === null ? '' : ` (${file.slice(file.lastIndexOf('/') + 1)}${line === null ? '' : `:${line}`})`;
  return `${name ?? `0x${pc.toString(16)}`}${place}`;
}
