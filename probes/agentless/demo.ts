// The demo guest (test/guests/demo): its allocator, garbage collector, network, clock and scheduler, from the globals
// alloc_stats, gc_stats, net_stats, tick_count, clock and sched.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { takeDemoCensus } from './demo-census.ts';
import { countByState, findGlobal, reading, type TypedValue, walkList } from './typed.ts';

const MAX_THREADS = 256;

const STATES: Readonly<Record<string, ThreadState>> = {
  THREAD_RUNNABLE: 'runnable',
  THREAD_RUNNING: 'running',
  THREAD_SLEEPING: 'sleeping',
  THREAD_BLOCKED: 'blocked',
  THREAD_EXITED: 'exited',
};

export const demo = defineProbe({
  name: 'demo',
  doc: "the demo guest's allocator, garbage collector, network, clock and threads",
  systems: ['demo'],
  missing: ({ types }) => {
    const absent = ['sched', 'alloc_stats', 'gc_stats'].filter((name) => types.findVariable(name) === null);
    return absent.length === 0 ? null : `no type for ${absent.join(', ')}: the image has no DWARF (build it with -g)`;
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'size of the kernel heap' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'allocated from the kernel heap' },
    'unikernel.memory.used.peak': { kind: 'gauge', unit: 'By', doc: 'highest use so far' },
    'unikernel.memory.allocations': { kind: 'counter', unit: '{allocation}', doc: 'allocations that succeeded' },
    'unikernel.memory.allocation.failures': { kind: 'counter', unit: '{allocation}', doc: 'allocations that failed' },
    'unikernel.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections' },
    'unikernel.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'pause of the last collection' },
    'unikernel.gc.pause.max': { kind: 'gauge', unit: 'ns', doc: 'longest pause' },
    'unikernel.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'all pauses together' },
    'unikernel.gc.heap.size': { kind: 'gauge', unit: 'By', doc: 'size of the collected heap' },
    'unikernel.gc.heap.used': { kind: 'gauge', unit: 'By', doc: 'live and dead objects' },
    'unikernel.gc.heap.live': { kind: 'gauge', unit: 'By', doc: 'what survived the last collection' },
    'unikernel.gc.allocated': { kind: 'counter', unit: 'By', doc: 'allocated by the program so far' },
    'system.network.io': { kind: 'counter', unit: 'By', doc: "bytes, by the guest's driver" },
    'system.network.packets': { kind: 'counter', unit: '{packet}', doc: "packets, by the guest's driver" },
    'system.network.dropped': { kind: 'counter', unit: '{packet}', doc: 'packets dropped by the driver' },
    'unikernel.uptime': { kind: 'gauge', unit: 'ns', doc: "the guest's monotonic clock" },
    'unikernel.ticks': { kind: 'counter', unit: '{tick}', doc: 'timer interrupts' },
    'unikernel.threads': { kind: 'gauge', unit: '{thread}', doc: 'threads by state' },
    'unikernel.context_switches': { kind: 'counter', unit: '{switch}', doc: 'context switches' },
  },
  sample: (guest) => {
    const read = (global: string, member: string): Reading => number(findGlobal(guest, global)?.member(member) ?? null);
    return {
      'unikernel.memory.limit': read('alloc_stats', 'heap_bytes'),
      'unikernel.memory.used': read('alloc_stats', 'bytes_in_use'),
      'unikernel.memory.used.peak': read('alloc_stats', 'peak_bytes'),
      'unikernel.memory.allocations': read('alloc_stats', 'total_allocs'),
      'unikernel.memory.allocation.failures': read('alloc_stats', 'failures'),
      'unikernel.gc.cycles': read('gc_stats', 'cycles'),
      'unikernel.gc.pause.last': read('gc_stats', 'pause_last_ns'),
      'unikernel.gc.pause.max': read('gc_stats', 'pause_max_ns'),
      'unikernel.gc.pause.time': read('gc_stats', 'pause_total_ns'),
      'unikernel.gc.heap.size': read('gc_stats', 'heap_size_bytes'),
      'unikernel.gc.heap.used': read('gc_stats', 'heap_used_bytes'),
      'unikernel.gc.heap.live': read('gc_stats', 'live_bytes'),
      'unikernel.gc.allocated': read('gc_stats', 'allocated_bytes'),
      'system.network.io': directions(guest, 'bytes'),
      'system.network.packets': directions(guest, 'packets'),
      'system.network.dropped': directions(guest, 'dropped'),
      'unikernel.uptime': read('clock', 'monotonic_ns'),
      'unikernel.ticks': number(findGlobal(guest, 'tick_count')),
      'unikernel.threads': countByState(threadsOf(guest), Object.values(STATES)),
      'unikernel.context_switches': read('sched', 'switches'),
    };
  },
  threads: threadsOf,
  census: takeDemoCensus,
});

function number(value: TypedValue | null): Reading {
  return reading(value, 'this build of the guest does not keep it');
}

function directions(guest: ProbeGuest, what: string): Reading {
  const stats = findGlobal(guest, 'net_stats');
  const series = [
    { direction: 'receive', value: stats?.member(`rx_${what}`)?.number() ?? null },
    { direction: 'transmit', value: stats?.member(`tx_${what}`)?.number() ?? null },
  ].flatMap(({ direction, value }) => (value === null ? [] : [{ value, attributes: { direction } }]));
  return series.length > 0 ? series : { absent: 'this build of the guest has no network driver' };
}

function threadsOf(guest: ProbeGuest): readonly GuestThread[] {
  const first = findGlobal(guest, 'sched')?.member('threads')?.dereference() ?? null;
  return [...walkList(first, 'next', MAX_THREADS)].map(readThread);
}

function readThread(thread: TypedValue): GuestThread {
  const integer = (path: string): bigint | null => thread.member(path)?.integer() ?? null;
  const id = (value: TypedValue | null | undefined): string | null => value?.member('id')?.integer()?.toString() ?? null;
  const mutex = thread.member('waiting_for')?.dereference() ?? null;
  const [rsp, rbp, rip, base, size] = ['context.rsp', 'context.rbp', 'context.rip', 'stack_base', 'stack_size'].map(integer);
  return {
    id: id(thread) ?? '?',
    name: thread.member('name')?.text(16) ?? '?',
    state: STATES[thread.member('state')?.enumerator() ?? ''] ?? 'unknown',
    waitingFor: mutex === null ? null : `mutex ${mutex.member('name')?.text(32) ?? '?'}`,
    blockedBy: mutex === null ? null : id(mutex.member('owner')?.dereference()),
    registers: rsp == null || rbp == null || rip == null ? null : { machine: 'x86_64', values: { rsp, rbp, rip } },
    stack: base == null || size == null ? null : { base, size: Number(size) },
    cpuTimeNs: thread.member('cpu_time_ns')?.number() ?? null,
  };
}
