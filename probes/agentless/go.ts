// Go's runtime from outside: garbage collector and heap (runtime.memstats, runtime.gcController, both read by runtime.ReadMemStats in
// the program itself) and goroutines (runtime.allgs). Fields move between releases and plain integers become atomics, so each is
// tried by name under its present and its former types; what a release lacks is absent. Without types only goroutines are found (go-evidence.ts).

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { type FoundGoroutine, findGoroutines } from './go-evidence.ts';
import type { TypedValue } from './typed.ts';
import { countByState, findGlobal } from './typed.ts';

const MAX_GOROUTINES = 4096;
const MAX_PROCESSORS = 1024;
/** runtime2.go: _Gidle … _Gpreempted; a set bit 12 says that the collector scans its stack. */
const STATES: readonly (ThreadState | null)[] = [
  ...[null, 'runnable', 'running', 'blocked', 'waiting', null, null, null, 'running', 'waiting'],
] as const;
const SCAN = 0x1000;
const SYSCALL = 3;
const POINTER = 8;
const NOT_KEPT = 'this release of Go does not keep it under a known name';
const STRIPPED = {
  absent: 'the program has no DWARF (it was stripped, or linked with -ldflags=-w): where its counters lie is not known',
};
const ABSENT = {
  'go.memory.gc.cycles': STRIPPED,
  'go.memory.gc.pause.time': STRIPPED,
  'go.memory.gc.pause.last': STRIPPED,
  'go.memory.gc.goal': STRIPPED,
  'go.memory.gc.cpu': STRIPPED,
  'go.memory.heap.used': STRIPPED,
  'go.memory.heap.live': STRIPPED,
  'go.memory.heap.free': STRIPPED,
  'go.memory.heap.released': STRIPPED,
  'go.memory.used': STRIPPED,
  'go.memory.allocated': STRIPPED,
  'go.goroutine.count': STRIPPED,
};

export const go = defineProbe({
  name: 'go',
  doc: "Go's garbage collector, heap and goroutines",
  systems: ['go'],
  missing: ({ types, symbols }) => {
    if (types.findVariable('runtime.memstats') !== null || symbols.findSymbol('runtime.bss') !== null) return null;
    return symbols.findSymbol('runtime.memstats') === null
      ? "no symbols of a Go program: give its ELF with --symbols, beside the kernel's"
      : 'no type for runtime.memstats: the program was linked without DWARF (-ldflags=-w)';
  },
  metrics: {
    'go.memory.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: 'collections completed' },
    'go.memory.gc.pause.time': { kind: 'counter', unit: 'ns', doc: 'all stop-the-world pauses together' },
    'go.memory.gc.pause.last': { kind: 'gauge', unit: 'ns', doc: 'pause of the last collection' },
    'go.memory.gc.goal': { kind: 'gauge', unit: 'By', doc: 'heap size at which the next collection is due' },
    'go.memory.gc.cpu': { kind: 'gauge', unit: '1', doc: 'fraction of CPU time spent in collections since the start' },
    'go.memory.heap.used': { kind: 'gauge', unit: 'By', doc: 'spans in use' },
    'go.memory.heap.live': { kind: 'gauge', unit: 'By', doc: 'bytes the collector believes to be live or newly allocated' },
    'go.memory.heap.free': { kind: 'gauge', unit: 'By', doc: 'free spans that the system has not got back' },
    'go.memory.heap.released': { kind: 'gauge', unit: 'By', doc: 'free spans given back to the system' },
    'go.memory.used': { kind: 'gauge', unit: 'By', doc: 'memory the runtime has mapped and ready' },
    'go.memory.allocated': { kind: 'counter', unit: 'By', doc: 'bytes allocated, as of the last refill of each cache' },
    'go.goroutine.count': { kind: 'gauge', unit: '{goroutine}', doc: "goroutines of the program: runtime.NumGoroutine's count" },
    'go.goroutine.states': { kind: 'gauge', unit: '{goroutine}', doc: "goroutines by state, the runtime's own included" },
  },
  sample: (guest) => {
    const memstats = findGlobal(guest, 'runtime.memstats');
    if (memstats === null) return { ...ABSENT, 'go.goroutine.states': countStates(guest) };
    const controller = findGlobal(guest, 'runtime.gcController');
    const collected = number(memstats.member('numgc'));
    const heap = (name: string): Reading => known(number(controller?.member(name)));
    return {
      'go.memory.gc.cycles': known(collected),
      'go.memory.gc.pause.time': known(number(memstats.member('pause_total_ns'))),
      'go.memory.gc.pause.last': lastPause(memstats, collected),
      'go.memory.gc.goal': heap('gcPercentHeapGoal'),
      'go.memory.gc.cpu': known(number(memstats.member('gc_cpu_fraction'))),
      'go.memory.heap.used': heap('heapInUse'),
      'go.memory.heap.live': heap('heapLive'),
      'go.memory.heap.free': heap('heapFree'),
      'go.memory.heap.released': heap('heapReleased'),
      'go.memory.used': heap('mappedReady'),
      'go.memory.allocated': heap('totalAlloc'),
      'go.goroutine.count': known(countGoroutines(guest)),
      'go.goroutine.states': countStates(guest),
    };
  },
  threads: goroutines,
});

function countStates(guest: ProbeGuest): Reading {
  return countByState(goroutines(guest), ['running', 'runnable', 'waiting', 'blocked']);
}

/** An integer, or the one in runtime/internal/atomic's wrappers. */
function number(value: TypedValue | null | undefined): number | null {
  if (value == null) return null;
  return value.layout.kind === 'struct' ? (value.member('value')?.number() ?? null) : value.number();
}

function known(value: number | null): Reading {
  return value ?? { absent: NOT_KEPT };
}

/** The newest of a ring of 256. */
function lastPause(memstats: TypedValue | null, collected: number | null): Reading {
  if (collected === 0) return { absent: 'there was no collection yet' };
  return known(collected === null ? null : number(memstats?.member('pause_ns')?.element((collected + 255) % 256)));
}

/** gcount() of proc.go: all, less those kept for reuse and the runtime's own. */
function countGoroutines(guest: ProbeGuest): number | null {
  const sched = findGlobal(guest, 'runtime.sched');
  const [all, free, system] = [
    number(findGlobal(guest, 'runtime.allgs')?.member('len')),
    number(sched?.member('gFree.n')),
    number(sched?.member('ngsys')),
  ];
  if (all === null || free === null || system === null) return null;
  const cached = elements(findGlobal(guest, 'runtime.allp'), MAX_PROCESSORS).map((p) => number(p.member('gFree.n')) ?? 0);
  return all - free - system - cached.reduce((total, count) => total + count, 0);
}

/** What the pointers of a slice point at. The layout is taken once: goroutines are many. */
function elements(slice: TypedValue | null, most: number): TypedValue[] {
  const array = slice?.member('array') ?? null;
  const length = number(slice?.member('len')) ?? 0;
  const pointer = array?.layout.kind === 'pointer' ? array.layout.target() : null;
  const layout = pointer?.kind === 'pointer' ? pointer.target() : null;
  const first = array?.dereference() ?? null;
  if (layout === null || first === null) return [];
  return Array.from({ length: Math.max(0, Math.min(length, most)) }, (_, index) => first.address + BigInt(index * POINTER))
    .map((address) => first.moved(address).integer() ?? 0n)
    .filter((address) => address !== 0n)
    .map((address) => first.moved(address).as(layout));
}

function goroutines(guest: ProbeGuest): readonly GuestThread[] {
  const all = findGlobal(guest, 'runtime.allgs');
  if (all === null) return findGoroutines(guest, MAX_GOROUTINES)?.flatMap((found) => threadOf(found) ?? []) ?? [];
  const reasons = findGlobal(guest, 'runtime.waitReasonStrings');
  const reasonTexts = new Map<number, string | null>();
  const reasonOf = (index: number | null): string | null => {
    if (index === null || index < 0 || index > 255) return null;
    if (!reasonTexts.has(index)) reasonTexts.set(index, text(reasons?.element(index) ?? null));
    return reasonTexts.get(index) ?? null;
  };
  return elements(all, MAX_GOROUTINES).flatMap((g) => readGoroutine(g, reasonOf) ?? []);
}

/** A goroutine found without types. Its saved registers are those of its last system call too (proc.go: save). */
function threadOf({ id, status, sp, pc, stackLow, stackHigh, waitReason }: FoundGoroutine): GuestThread | null {
  const state = STATES[status & ~SCAN] ?? null;
  if (state === null) return null;
  return {
    ...{ id: `go${id}`, name: `goroutine ${id}`, state, blockedBy: null, cpuTimeNs: null },
    waitingFor: state === 'waiting' ? waitReason : (status & ~SCAN) === SYSCALL ? 'a system call' : null,
    registers: state === 'running' ? null : { machine: 'x86_64', values: { rip: pc, rsp: sp } },
    stack: stackHigh > stackLow ? { base: stackLow, size: Number(stackHigh - stackLow) } : null,
  };
}

/** Null for one that is dead or not begun: its memory is kept for the next. */
function readGoroutine(g: TypedValue, reasonOf: (index: number | null) => string | null): GuestThread | null {
  const status = (number(g.member('atomicstatus')) ?? 0) & ~SCAN;
  const state = STATES[status] ?? null;
  if (state === null) return null;
  const id = String(number(g.member('goid')) ?? '?');
  const [low, high] = [g.member('stack.lo')?.integer() ?? null, g.member('stack.hi')?.integer() ?? null];
  return {
    id: `go${id}`,
    name: `goroutine ${id}`,
    state,
    waitingFor: state === 'waiting' ? reasonOf(number(g.member('waitreason'))) : status === SYSCALL ? 'a system call' : null,
    blockedBy: null,
    registers: state === 'running' ? null : savedRegisters(g, status === SYSCALL),
    stack: low === null || high === null ? null : { base: low, size: Number(high - low) },
    cpuTimeNs: null,
  };
}

function savedRegisters(g: TypedValue, inSystemCall: boolean): Registers | null {
  const [pc, sp] = inSystemCall ? ['syscallpc', 'syscallsp'] : ['sched.pc', 'sched.sp'];
  const [rip, rsp, rbp] = [pc, sp, 'sched.bp'].map((path) => g.member(path)?.integer() ?? null);
  if (rip == null || rsp == null) return null;
  const base = rbp == null || inSystemCall ? {} : { rbp };
  return { machine: 'x86_64', values: { rip, rsp, ...base } };
}

/** A Go string of at most 64 bytes. */
function text(value: TypedValue | null): string | null {
  const length = number(value?.member('len'));
  return length === null || length <= 0 ? null : (value?.member('str')?.text(Math.min(length, 64)) ?? null);
}
