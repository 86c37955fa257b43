// OSv's threads (core/sched.cc): sched::thread_map, a std::unordered_map of all; what does not run has rsp, rbp and rip in _state. Who
// waits for a mutex or a condition variable has a wait_record on its stack: the lock whose queue holds it is found through pointers beside it.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { countByState, findGlobal, type TypedValue, unwrap, walkList } from './typed.ts';

const MAX_THREADS = 1024;
/** How much of a waiting thread's stack is looked through: what waits is called at its end. */
const STACK_BYTES = 2048;
const WORD = 8;
const MAX_WAITERS = 64;
const NODE = 'std::__detail::_Hash_node<std::pair<unsigned int const, sched::thread*>, false>';
const PAIR = 'std::pair<unsigned int const, sched::thread*>';
/** sched::thread::status. */
const STATES: Readonly<Record<string, ThreadState>> = {
  ...{ waiting: 'waiting', sending_lock: 'waiting', running: 'running', queued: 'runnable', waking: 'runnable' },
  ...{ terminating: 'exited', terminated: 'exited' },
};

export const osvSched = defineProbe({
  name: 'osv-sched',
  doc: "OSv's threads",
  systems: ['osv'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('_ZN5sched10thread_mapE') === null)
      return "no symbols of OSv's kernel: give its loader.elf with --symbols";
    return types.findVariable('sched::thread_map') === null
      ? 'no type for sched::thread_map: give loader.elf, not loader-stripped.elf'
      : null;
  },
  metrics: {
    'unikernel.threads': {
      kind: 'gauge',
      unit: '{thread}',
      doc: "threads by state, the kernel's own included; who waits for a lock counts as waiting",
    },
    'unikernel.context_switches': {
      kind: 'counter',
      unit: '{switch}',
      doc: 'context switches of the threads that there are now',
    },
    'unikernel.preemptions': { kind: 'counter', unit: '{switch}', doc: 'those of them to a thread that would have gone on' },
    'unikernel.migrations': {
      kind: 'counter',
      unit: '{migration}',
      doc: 'moves to another CPU of the threads that there are now',
    },
    'unikernel.thread.cpu.time': {
      kind: 'counter',
      unit: 's',
      doc: 'CPU time of the threads that there are now, idle ones apart',
    },
  },
  sample: (guest) => {
    const threads = findThreads(guest);
    const sum = (name: string): number | { absent: string } => {
      const counts = threads.map((thread) => unwrap(thread.member(name), 'integer')?.number() ?? null);
      const known = counts.filter((count) => count !== null);
      return known.length === 0 ? { absent: 'no thread was found in memory' } : known.reduce((total, count) => total + count, 0);
    };
    const busy = threads.filter((thread) => !/^idle\d+$/.test(nameOf(thread)));
    const times = busy.flatMap((thread) => cpuTimeOf(thread) ?? []);
    return {
      'unikernel.threads': countByState(
        threads.map((thread) => ({ state: stateOf(thread) })),
        ['running', 'runnable', 'sleeping', 'waiting'],
      ),
      'unikernel.context_switches': sum('stat_switches'),
      'unikernel.preemptions': sum('stat_preemptions'),
      'unikernel.migrations': sum('stat_migrations'),
      'unikernel.thread.cpu.time':
        times.length === 0 ? { absent: 'no thread was found in memory' } : times.reduce((total, time) => total + time, 0) / 1e9,
    };
  },
  threads: (guest) => {
    const threads = findThreads(guest);
    const lockTypes = findLockTypes(guest);
    const ids = new Map(threads.map((thread) => [thread.address, idOf(thread)]));
    return threads.map((thread) => readThread(thread, lockTypes === null ? null : findLock(guest, thread, lockTypes, ids)));
  },
});

function findThreads(guest: ProbeGuest): readonly TypedValue[] {
  const [node, pair] = [NODE, PAIR].map((name) => guest.types.findType(name));
  const first = findGlobal(guest, 'sched::thread_map')?.member('_M_h._M_before_begin._M_nxt') ?? null;
  const start = first?.integer() ?? 0n;
  if (first === null || node == null || pair == null || start === 0n) return [];
  return [...walkList(first.moved(start).as(node), '_M_nxt', MAX_THREADS)].flatMap(
    (each) => each.member('_M_storage')?.as(pair).member('second')?.dereference() ?? [],
  );
}

interface Lock {
  readonly waitingFor: string;
  readonly blockedBy: string | null;
}

function readThread(thread: TypedValue, lock: Lock | null): GuestThread {
  const state = stateOf(thread);
  const stands = state !== 'running' && state !== 'exited' && state !== 'unknown';
  const [rsp, rbp, rip] = ['rsp', 'rbp', 'rip'].map((name) => thread.member(`_state.${name}`)?.integer() ?? null);
  const [base, size] = ['begin', 'size'].map((name) => thread.member(`_attr._stack.${name}`)?.integer() ?? null);
  const isLocked = state === 'waiting' || state === 'sleeping';
  return {
    id: idOf(thread),
    name: nameOf(thread),
    state: isLocked && lock?.blockedBy != null ? 'blocked' : state,
    waitingFor: isLocked ? (lock?.waitingFor ?? null) : null,
    blockedBy: isLocked ? (lock?.blockedBy ?? null) : null,
    registers: !stands || rsp == null || rbp == null || rip == null ? null : { machine: 'x86_64', values: { rip, rsp, rbp } },
    stack: base == null || size == null || size === 0n ? null : { base, size: Number(size) },
    cpuTimeNs: cpuTimeOf(thread),
  };
}

function idOf(thread: TypedValue): string {
  return thread.member('_id')?.integer()?.toString() ?? '?';
}

function nameOf(thread: TypedValue): string {
  return thread.member('_attr._name._M_elems')?.text(16) || 'unnamed';
}

/** As of its last switch: what it runs now is not in it yet. */
function cpuTimeOf(thread: TypedValue): number | null {
  return unwrap(thread.member('_total_cpu_time'), 'integer')?.number() ?? null;
}

/** A thread that waits with a timer set wakes by itself: it sleeps. */
function stateOf(thread: TypedValue): ThreadState {
  const detached = unwrap(thread.member('_detached_state'), 'pointer')?.dereference() ?? null;
  const state = STATES[unwrap(detached?.member('st'), 'enum')?.enumerator() ?? ''] ?? 'unknown';
  const timers = unwrap(thread.member('_active_timers'), 'integer')?.integer() ?? 0n;
  return state === 'waiting' && timers > 0n ? 'sleeping' : state;
}

interface LockTypes {
  readonly mutex: TypedValue['layout'];
  readonly condvar: TypedValue['layout'];
  readonly record: TypedValue['layout'];
}

function findLockTypes({ types }: ProbeGuest): LockTypes | null {
  const [mutex, condvar, record] = ['lockfree::mutex', 'condvar', 'wait_record'].map((name) => types.findType(name));
  return mutex == null || condvar == null || record == null ? null : { mutex, condvar, record };
}

/** The lock in whose queue this thread's wait_record is: certain, or null. What was there before stays on stacks and must not pass for one. */
function findLock(guest: ProbeGuest, thread: TypedValue, types: LockTypes, ids: ReadonlyMap<bigint, string>): Lock | null {
  const state = stateOf(thread);
  if (state !== 'waiting' && state !== 'sleeping') return null;
  const rsp = thread.member('_state.rsp')?.integer() ?? 0n;
  const words = readStack(guest, rsp);
  // A record fills a cache line, and begins with the thread that waits.
  const line = BigInt(types.record.size || WORD);
  const records = words.flatMap((word, index) => (word === thread.address ? [rsp + BigInt(index * WORD)] : []));
  const aligned = records.filter((address) => address % line === 0n);
  if (aligned.length === 0) return null;
  for (const word of new Set(words)) {
    if (word === 0n || word % BigInt(WORD) !== 0n || word === thread.address) continue;
    const mutex = thread.moved(word).as(types.mutex);
    const owner = unwrap(mutex.member('owner'), 'pointer')?.integer() ?? 0n;
    const lists = ['pushlist', 'poplist'].map((list) => unwrap(mutex.member(`waitqueue.${list}`), 'pointer'));
    if (ids.has(owner) && lists.some((list) => recordsOf(list, types).some((record) => aligned.includes(record)))) {
      return { waitingFor: `mutex 0x${word.toString(16)}`, blockedBy: ids.get(owner) ?? null };
    }
    const waiters = thread.moved(word).as(types.condvar).member('_waiters_fifo');
    const queue = recordsOf(waiters?.member('oldest') ?? null, types);
    const isWhole = queue.length > 0 && queue.at(-1) === waiters?.member('newest')?.integer();
    if (isWhole && queue.some((record) => aligned.includes(record))) {
      return { waitingFor: `condition variable 0x${word.toString(16)}`, blockedBy: null };
    }
  }
  return null;
}

function readStack({ memory }: ProbeGuest, rsp: bigint): readonly bigint[] {
  const toPageEnd = 4096 - Number(rsp & 0xfffn);
  const bytes =
    rsp === 0n || rsp % BigInt(WORD) !== 0n
      ? null
      : (memory.read(rsp, STACK_BYTES) ?? memory.read(rsp, Math.min(STACK_BYTES, toPageEnd)));
  if (bytes === null) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / WORD }, (_, index) => view.getBigUint64(index * WORD, true));
}

/** Addresses of a list's wait_records, oldest first; most words that are tried are no locks. */
function recordsOf(list: TypedValue | null, { record }: LockTypes): readonly bigint[] {
  const first = list?.integer() ?? 0n;
  if (list === null || first === 0n || first % BigInt(WORD) !== 0n) return [];
  return [...walkList(list.moved(first).as(record), 'next', MAX_WAITERS)].map(({ address }) => address);
}
