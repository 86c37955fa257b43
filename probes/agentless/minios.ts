// Mini-OS, and with it ClickOS and MirageOS on Xen until 3: free pages (mm.c: nr_free_pages, or the buddy allocator's free_head where it
// is older), and threads (sched.c). Which of the runnable threads runs is told by the stack pointer alone, so none of them has registers.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { countByState, findGlobal, type TypedValue, walkList } from './typed.ts';

const MAX_THREADS = 256;
const MAX_CHUNKS = 4096;
const MAX_ORDER = 52;
const PAGE_SIZE = 4096;
/** include/sched.h: RUNNABLE_FLAG. */
const RUNNABLE = 0x1n;
const NOT_KEPT = 'this Mini-OS does not keep it';

export const minios = defineProbe({
  name: 'minios',
  doc: "Mini-OS' pages and threads",
  systems: ['minios', 'clickos'],
  missing: ({ types, symbols }) => {
    // PVH images are linked as ELF32, which drops their symbols: names come from DWARF alone there.
    if (types.findVariable('free_head') !== null && types.findVariable('idle_thread') !== null) return null;
    return symbols.findSymbol('free_head') === null || symbols.findSymbol('idle_thread') === null
      ? 'no symbols of a Mini-OS: give the ELF of the domain (mini-os, not mini-os.gz)'
      : 'no type for free_head and idle_thread: build Mini-OS with debug=y';
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'memory the domain has' },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'free pages' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'memory of the domain that is not free, its image among it' },
    'unikernel.threads': { kind: 'gauge', unit: '{thread}', doc: 'threads by state' },
  },
  sample: (guest) => {
    const [limit, free] = [inBytes(findGlobal(guest, 'nr_mem_pages')), freeBytes(guest)];
    return {
      'unikernel.memory.limit': limit ?? {
        absent: 'this Mini-OS was built without CONFIG_BALLOON: it does not keep how much it has',
      },
      'unikernel.memory.free': free ?? { absent: NOT_KEPT },
      'unikernel.memory.used': limit === null || free === null ? { absent: NOT_KEPT } : limit - free,
      'unikernel.threads': countByState(threadsOf(guest), ['runnable', 'sleeping', 'blocked']),
    };
  },
  threads: threadsOf,
});

function inBytes(pages: TypedValue | null): number | null {
  const count = pages?.number() ?? null;
  return count === null ? null : count * PAGE_SIZE;
}

/** Counted, or the free lists added up: chunks of 2^order pages in free_head[order], each list ended by a tail without a next. */
function freeBytes(guest: ProbeGuest): number | null {
  const counted = inBytes(findGlobal(guest, 'nr_free_pages'));
  const heads = findGlobal(guest, 'free_head');
  if (counted !== null || heads?.layout.kind !== 'array') return counted;
  let [bytes, left] = [0, MAX_CHUNKS];
  for (let order = 0; order < Math.min(heads.layout.count ?? 0, MAX_ORDER); order += 1) {
    const first = heads.element(order);
    if (first?.integer() == null) return null;
    const chunks = [...walkList(first.dereference(), 'next', left)].filter(
      (chunk) => (chunk.member('next')?.integer() ?? 0n) !== 0n,
    );
    bytes += chunks.length * 2 ** order * PAGE_SIZE;
    left -= chunks.length;
  }
  return left > 0 ? bytes : null;
}

function threadsOf(guest: ProbeGuest): readonly GuestThread[] {
  const lists = ['thread_list', 'exited_threads'].map(
    (name) => findGlobal(guest, name)?.member('tqh_first')?.dereference() ?? null,
  );
  return lists
    .flatMap((first, index) =>
      [...walkList(first, 'thread_list.tqe_next', MAX_THREADS)].map((thread) => readThread(thread, index === 1)),
    )
    .slice(0, MAX_THREADS);
}

function readThread(thread: TypedValue, isExited: boolean): GuestThread {
  const [rip, rsp, flags, wakeup, base] = ['ip', 'sp', 'flags', 'wakeup_time', 'stack'].map(
    (name) => thread.member(name)?.integer() ?? null,
  );
  const state = isExited ? 'exited' : stateOf(flags ?? null, wakeup ?? null);
  const stands = state === 'sleeping' || state === 'blocked';
  return {
    id: `0x${thread.address.toString(16)}`,
    name: thread.member('name')?.text(32) ?? 'unnamed',
    state,
    waitingFor: null,
    blockedBy: null,
    registers: !stands || rip == null || rsp == null ? null : { machine: 'x86_64', values: { rip, rsp } },
    stack: base == null || base === 0n ? null : { base, size: STACK_SIZE },
    cpuTimeNs: null,
  };
}

/** arch/x86: __STACK_SIZE. */
const STACK_SIZE = 65_536;

function stateOf(flags: bigint | null, wakeup: bigint | null): ThreadState {
  if (flags === null) return 'unknown';
  if ((flags & RUNNABLE) !== 0n) return 'runnable';
  return wakeup !== null && wakeup !== 0n ? 'sleeping' : 'blocked';
}
