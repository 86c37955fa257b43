// Unikraft's threads (lib/uksched): every scheduler's thread_list, a BSD tail queue; a thread that does not run has its pc and
// stack pointer in ctx. What a thread waits for is not recorded: it is off the run queue, with or without a time to wake.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { countByState, findGlobal, type TypedValue, walkList } from './typed.ts';

const MAX_SCHEDULERS = 64;
const MAX_THREADS = 256;
const MAX_VCPUS = 256;
/** lib/uksched/include/uk/thread.h: UK_THREADF_RUNNABLE and UK_THREADF_EXITED. */
const RUNNABLE = 0x8n;
const EXITED = 0x10n;

export const ukSched = defineProbe({
  name: 'uk-sched',
  doc: "Unikraft's threads",
  systems: ['unikraft'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('uk_sched_head') === null) return 'the image has no lib/uksched: the program runs on the boot stack';
    return types.findVariable('uk_sched_head') === null
      ? 'no type for uk_sched_head: give the .dbg file that lies beside the image'
      : null;
  },
  metrics: { 'unikernel.threads': { kind: 'gauge', unit: '{thread}', doc: 'threads by state' } },
  sample: (guest) => ({ 'unikernel.threads': countByState(threadsOf(guest), ['running', 'runnable', 'sleeping', 'blocked']) }),
  threads: threadsOf,
});

function threadsOf(guest: ProbeGuest): readonly GuestThread[] {
  const schedulers = [...walkList(findGlobal(guest, 'uk_sched_head')?.dereference() ?? null, 'next', MAX_SCHEDULERS)];
  const lists = schedulers.flatMap((scheduler) => [scheduler.member('thread_list'), scheduler.member('exited_threads')]);
  const threads: TypedValue[] = [];
  for (const list of lists) {
    const first = list?.member('tqh_first')?.dereference() ?? null;
    threads.push(...walkList(first, 'thread_list.tqe_next', MAX_THREADS - threads.length));
  }
  const running = runningThreads(guest);
  return threads.map((thread) => readThread(thread, running));
}

/** Addresses of what each vCPU runs; the memory of one that is idle holds the idle thread. */
function runningThreads(guest: ProbeGuest): ReadonlySet<bigint> {
  const current = findGlobal(guest, '__uk_sched_thread_current');
  const count = current?.layout.kind === 'array' ? Math.min(current.layout.count ?? 1, MAX_VCPUS) : 0;
  return new Set(Array.from({ length: count }, (_, index) => current?.element(index)?.integer() ?? 0n));
}

function readThread(thread: TypedValue, running: ReadonlySet<bigint>): GuestThread {
  const integer = (path: string): bigint | null => thread.member(path)?.integer() ?? null;
  const [rip, rsp] = [integer('ctx.ip'), integer('ctx.sp')];
  const state = running.has(thread.address) ? 'running' : stateOf(integer('flags'), integer('wakeup_time'));
  return {
    id: `0x${thread.address.toString(16)}`,
    name: thread.member('name')?.text(32) ?? 'unnamed',
    state,
    waitingFor: null,
    blockedBy: null,
    registers: state === 'running' || rip === null || rsp === null ? null : { machine: 'x86_64', values: { rip, rsp } },
    stack: null,
    cpuTimeNs: thread.member('exec_time')?.number() ?? null,
  };
}

function stateOf(flags: bigint | null, wakeupTime: bigint | null): ThreadState {
  if (flags === null) return 'unknown';
  if ((flags & EXITED) !== 0n) return 'exited';
  if ((flags & RUNNABLE) !== 0n) return 'runnable';
  return wakeupTime !== null && wakeupTime !== 0n ? 'sleeping' : 'blocked';
}
