// Rumprun: the page allocator's words (lib/libbmk_core/pgalloc.c), which need no types; and, where its libraries were built with -g, the
// threads of bmk (lib/libbmk_core/sched.c: one list, later several queues) and NetBSD's interfaces (rumpns_ifnet_list). What NetBSD's
// uvmexp says in a rump kernel is made up (rumpkern/vm.c) and not read. Written from its source.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { countByState, findGlobal, orAbsent, readWord, series, seriesOf, type TypedValue, walkList } from './typed.ts';

const MAX_THREADS = 1024;
const MAX_INTERFACES = 64;
const KIB = 1024;
/** sched.c: THREAD_RUNNABLE. */
const RUNNABLE = 0x1n;
/** Heads of lists and what links them: since 2015 all threads are on threadq, before on threads. */
const LISTS = [
  { head: 'threadq', link: 'bt_threadq' },
  { head: 'threads', link: 'bt_entries' },
] as const;
const NO_TYPES = "Rumprun's libraries have no debug information: build them with -g";
const COUNTERS = {
  io: { receive: 'if_data.ifi_ibytes', transmit: 'if_data.ifi_obytes' },
  packets: { receive: 'if_data.ifi_ipackets', transmit: 'if_data.ifi_opackets' },
  errors: { receive: 'if_data.ifi_ierrors', transmit: 'if_data.ifi_oerrors' },
  dropped: { receive: 'if_data.ifi_iqdrops' },
};

export const rumprun = defineProbe({
  name: 'rumprun',
  doc: "Rumprun's pages, threads and interfaces",
  systems: ['rumprun'],
  missing: ({ symbols }) =>
    symbols.findSymbol('pgalloc_totalkb') === null || symbols.findSymbol('pgalloc_usedkb') === null
      ? 'no symbols pgalloc_totalkb and pgalloc_usedkb: the image is no Rumprun, or is stripped'
      : null,
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'memory the page allocator hands out' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages handed out' },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'free pages' },
    'unikernel.threads': { kind: 'gauge', unit: '{thread}', doc: 'threads by state' },
    'system.network.io': { kind: 'counter', unit: 'By', doc: 'bytes by interface' },
    'system.network.packets': { kind: 'counter', unit: '{packet}', doc: 'packets by interface' },
    'system.network.errors': { kind: 'counter', unit: '{packet}', doc: 'packets with an error' },
    'system.network.dropped': { kind: 'counter', unit: '{packet}', doc: 'packets dropped on their way in' },
  },
  sample: (guest) => {
    const [total, used] = ['pgalloc_totalkb', 'pgalloc_usedkb'].map((name) => readWord(guest, name));
    const limit = total == null ? null : Number(total) * KIB;
    const taken = used == null ? null : Number(used) * KIB;
    const interfaces = [
      ...walkList(
        findGlobal(guest, 'rumpns_ifnet_list')?.member('tqh_first')?.dereference() ?? null,
        'if_list.tqe_next',
        MAX_INTERFACES,
      ),
    ];
    const threads = threadsOf(guest);
    return {
      'unikernel.memory.limit': limit ?? { absent: 'unreadable' },
      'unikernel.memory.used': taken ?? { absent: 'unreadable' },
      'unikernel.memory.free': limit === null || taken === null ? { absent: 'unreadable' } : limit - taken,
      'unikernel.threads':
        threads.length === 0 ? { absent: NO_TYPES } : countByState(threads, ['runnable', 'sleeping', 'blocked']),
      'system.network.io': ofInterfaces(interfaces, 'io'),
      'system.network.packets': ofInterfaces(interfaces, 'packets'),
      'system.network.errors': ofInterfaces(interfaces, 'errors'),
      'system.network.dropped': ofInterfaces(interfaces, 'dropped'),
    };
  },
  threads: threadsOf,
});

function ofInterfaces(interfaces: readonly TypedValue[], what: keyof typeof COUNTERS): Reading {
  const found = interfaces.flatMap((each) =>
    seriesOf(
      series(each, 'direction', COUNTERS[what], NO_TYPES, { shared: { device: each.member('if_xname')?.text(16) ?? '?' } }),
    ),
  );
  return orAbsent(found, NO_TYPES);
}

function threadsOf(guest: ProbeGuest): readonly GuestThread[] {
  return LISTS.flatMap(({ head, link }) => {
    const first = findGlobal(guest, head)?.member('tqh_first')?.dereference() ?? null;
    return first?.member('bt_tcb') == null ? [] : [...walkList(first, `${link}.tqe_next`, MAX_THREADS)].map(readThread);
  }).slice(0, MAX_THREADS);
}

/** Which of the runnable threads runs is in a register of the CPU: none of them has registers here. */
function readThread(thread: TypedValue): GuestThread {
  const [rip, rsp, flags, wakeup] = ['bt_tcb.btcb_ip', 'bt_tcb.btcb_sp', 'bt_flags', 'bt_wakeup_time'].map(
    (path) => thread.member(path)?.integer() ?? null,
  );
  const state = stateOf(flags ?? null, wakeup ?? null);
  const stands = state === 'sleeping' || state === 'blocked';
  return {
    id: `0x${thread.address.toString(16)}`,
    name: thread.member('bt_name')?.text(16) || 'unnamed',
    state,
    waitingFor: null,
    blockedBy: null,
    registers: !stands || rip == null || rsp == null ? null : { machine: 'x86_64', values: { rip, rsp } },
    stack: null,
    cpuTimeNs: null,
  };
}

/** A time to wake of -1 means: when somebody wakes it. */
function stateOf(flags: bigint | null, wakeup: bigint | null): ThreadState {
  if (flags === null) return 'unknown';
  if ((flags & RUNNABLE) !== 0n) return 'runnable';
  return wakeup !== null && wakeup >= 0n ? 'sleeping' : 'blocked';
}
