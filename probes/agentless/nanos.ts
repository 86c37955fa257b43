// Nanos: physical memory (page_heap), the page cache, page faults (mm_stats), and the program's threads: processes[1]->threads is a
// red-black tree of struct thread, each with the registers it left user mode with in context.frame (src/x86_64/frame.h) and the system
// call it is in. What its /proc/meminfo tells inside is the same words.

import { defineProbe, type ProbeGuest } from '../../src/model/probe.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { GuestThread } from '../../src/model/thread.ts';
import { countByState, findGlobal, reading, series, type TypedValue, walkTree } from './typed.ts';

const MAX_THREADS = 1024;
/** Index 0 is the kernel's own dummy. */
const PROGRAM = 1;
/** Words of context.frame, in their order. */
const FRAME = [
  ...['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'],
];
/** Where the program's own thread is known by its base of FS; no part of those words that make a frame. */
const FSBASE = 22;
/** The exception it left user mode by, and the address a page fault was about. */
const VECTOR = 24;
const CR2 = 27;
const PAGE_FAULT = 14n;
/** Linux numbers of system calls that a thread may sit in for long. */
const WAITING_IN: Readonly<Record<string, string>> = {
  ...{ 0: 'read', 1: 'write', 7: 'poll', 23: 'select', 34: 'pause', 35: 'nanosleep', 42: 'connect', 43: 'accept', 44: 'sendto' },
  ...{ 45: 'recvfrom', 46: 'sendmsg', 47: 'recvmsg', 61: 'wait4', 128: 'rt_sigtimedwait', 130: 'rt_sigsuspend', 202: 'futex' },
  ...{ 230: 'clock_nanosleep', 232: 'epoll_wait', 270: 'pselect6', 271: 'ppoll', 281: 'epoll_pwait', 288: 'accept4' },
};
/** Not on any CPU: context.active_cpu. */
const NOWHERE = 0xffff_ffffn;
const NOT_KEPT = 'this kernel does not keep it';
/** Lists of struct pagecache. */
const CACHE_STATES = { free: 'free.pages', new: 'new.pages', active: 'active.pages', writing: 'writing.pages' };

export const nanos = defineProbe({
  name: 'nanos',
  doc: "Nanos' memory, page faults and the program's threads",
  systems: ['nanos'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('page_heap') === null)
      return "no symbols of the kernel: give its kernel.elf with --symbols, beside the program's";
    const untyped = ['page_heap', 'processes'].filter((name) => types.findVariable(name) === null);
    return untyped.length === 0 ? null : `no type for ${untyped.join(', ')}: kernel.elf has no DWARF`;
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'physical memory the kernel hands out pages from' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'physical memory handed out, to kernel, page cache and program' },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'physical memory not handed out: MemFree of its /proc/meminfo' },
    'unikernel.memory.available': {
      kind: 'gauge',
      unit: 'By',
      doc: 'free, and what the page cache would give back: MemAvailable',
    },
    'unikernel.memory.cached': { kind: 'gauge', unit: 'By', doc: 'pages of files in the page cache: Cached' },
    'unikernel.memory.cache.pages': { kind: 'gauge', unit: '{page}', doc: 'pages of the page cache by state' },
    'unikernel.page_faults': { kind: 'counter', unit: '{fault}', doc: 'page faults: minor, and major (read from disk)' },
    'process.cpu.time': { kind: 'counter', unit: 's', doc: 'CPU time of the program, in user mode and in the kernel' },
    'unikernel.threads': { kind: 'gauge', unit: '{thread}', doc: "the program's threads by state" },
  },
  sample: (guest) => {
    const pages = findGlobal(guest, 'page_heap');
    const [total, allocated] = ['total', 'allocated'].map((name) => pages?.member(name)?.number() ?? null);
    const free = total == null || allocated == null ? null : total - allocated;
    const cache = findGlobal(guest, 'global_pagecache')?.dereference() ?? null;
    const cached = cachedBytes(cache);
    const available = free === null || cached === null ? null : free + cached;
    return {
      'unikernel.memory.limit': reading(pages?.member('total') ?? null, NOT_KEPT),
      'unikernel.memory.used': reading(pages?.member('allocated') ?? null, NOT_KEPT),
      'unikernel.memory.free': free ?? { absent: NOT_KEPT },
      'unikernel.memory.available': available ?? { absent: NOT_KEPT },
      'unikernel.memory.cached': cached ?? { absent: NOT_KEPT },
      'unikernel.memory.cache.pages': series(cache, 'state', CACHE_STATES, NOT_KEPT),
      'unikernel.page_faults': series(
        findGlobal(guest, 'mm_stats'),
        'type',
        { minor: 'minor_faults', major: 'major_faults' },
        NOT_KEPT,
      ),
      'process.cpu.time': series(findProgram(guest), 'mode', { user: 'utime', system: 'stime' }, NOT_KEPT, {
        convert: fixedPointSeconds,
      }),
      'unikernel.threads': countByState(threadsOf(guest), ['running', 'runnable', 'waiting']),
    };
  },
  threads: threadsOf,
});

function findProgram(guest: ProbeGuest): TypedValue | null {
  return findGlobal(guest, 'processes')?.element(PROGRAM)?.dereference() ?? null;
}

/** Pages are 1 << page_order bytes. */
function cachedBytes(cache: TypedValue | null): number | null {
  const [pages, order] = ['total_pages', 'page_order'].map((name) => cache?.member(name)?.number() ?? null);
  return pages == null || order == null || order < 0 || order > 30 ? null : pages * 2 ** order;
}

/** Nanos' timestamps: seconds, with 32 bits behind the point. */
function fixedPointSeconds(raw: number): number {
  return raw / 2 ** 32;
}

function threadsOf(guest: ProbeGuest): readonly GuestThread[] {
  const layout = guest.types.findType('struct thread');
  const root = findProgram(guest)?.member('threads')?.dereference()?.member('root')?.dereference() ?? null;
  if (layout === null) return [];
  const nodes = walkTree(root, (node) => [1, 0].map((side) => node.member('c')?.element(side) ?? null), MAX_THREADS);
  const threads = [...nodes].flatMap((node) => node.container(layout, 'n') ?? []);
  return threads.map(readThread).sort((a, b) => Number(a.id) - Number(b.id));
}

function readThread(thread: TypedValue): GuestThread {
  const tid = thread.member('tid')?.integer() ?? null;
  const cpu = thread.member('context.active_cpu')?.integer() ?? NOWHERE;
  const context = thread.member('syscall')?.dereference() ?? null;
  const call = context?.member('call')?.integer() ?? null;
  // A system call that waits for nothing goes on as soon as there is a CPU for it.
  const isBlocked = call !== null && context?.member('uc.blocked_on')?.integer() !== 0n;
  const isRunning = cpu !== NOWHERE;
  const missed = isRunning || call !== null ? null : missedPage(thread.member('context.frame'));
  return {
    id: tid === null ? '?' : String(tid),
    // Only who calls prctl(PR_SET_NAME) has a name.
    name: thread.member('name')?.text(16) || `thread ${tid ?? '?'}`,
    state: isRunning ? 'running' : isBlocked || missed !== null ? 'waiting' : 'runnable',
    waitingFor: isRunning || !isBlocked ? missed : (WAITING_IN[String(call)] ?? `system call ${call}`),
    blockedBy: null,
    registers: isRunning ? null : readFrame(thread.member('context.frame')),
    stack: null,
    cpuTimeNs: cpuTime(thread),
  };
}

/** A thread that is in no system call left user mode by a page fault, and has not come back: its page is being found, or never will be. */
function missedPage(frame: TypedValue | null): string | null {
  const address = frame?.element(CR2)?.integer() ?? null;
  const isFault = frame?.element(VECTOR)?.integer() === PAGE_FAULT;
  return isFault && address !== null ? `memory for the page of 0x${address.toString(16)}` : null;
}

function readFrame(frame: TypedValue | null): Registers | null {
  const words = FRAME.map((name, index) => [name, frame?.element(index)?.integer() ?? null] as const);
  if (words.some(([, value]) => value === null)) return null;
  const base = frame?.element(FSBASE)?.integer() ?? null;
  const values = Object.fromEntries(words.map(([name, value]) => [name, value ?? 0n]));
  return { machine: 'x86_64', values: base === null || base === 0n ? values : { ...values, fs_base: base } };
}

function cpuTime(thread: TypedValue): number | null {
  const [user, system] = [thread.member('utime')?.number(), thread.member('stime')?.number()];
  return user == null || system == null ? null : Math.round(fixedPointSeconds(user + system) * 1e9);
}
