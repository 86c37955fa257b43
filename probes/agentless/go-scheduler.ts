// Go's scheduler (runtime/proc.go, runtime2.go): goroutines by state and by what they wait for, run queues, processors, threads.
// Goroutines are found without types too (go-evidence.ts); counts that need the scheduler's structure are then absent.

import type { ProbeGuest, Reading } from '../../src/model/probe.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';
import { type FoundGoroutine, findGoroutines } from './go-evidence.ts';
import { elements, integer, number } from './go-values.ts';
import { countByState, findGlobal, reading, type TypedValue } from './typed.ts';

const MAX_GOROUTINES = 4096;
const MAX_PROCESSORS = 1024;
const MAX_REASONS = 128;
/** runtime2.go: _Gidle … _Gpreempted; a set bit 12 says that the collector scans its stack. */
const STATES: readonly (ThreadState | null)[] = [
  ...[null, 'runnable', 'running', 'blocked', 'waiting', null, null, null, 'running', 'waiting'],
] as const;
const SCAN = 0x1000;
const SYSCALL = 3;
const NOT_KEPT = 'this release of Go does not keep it under a known name';

/** Goroutines, 4096 at most. */
export function readGoroutines(guest: ProbeGuest): readonly GuestThread[] {
  const all = findGlobal(guest, 'runtime.allgs');
  if (all === null) return findGoroutines(guest, MAX_GOROUTINES)?.flatMap((found) => threadOf(found) ?? []) ?? [];
  const reasons = waitReasons(guest);
  return elements(guest, all, MAX_GOROUTINES).flatMap((g) => readGoroutine(g, reasons) ?? []);
}

/** How many are in each state. */
export function countStates(goroutines: readonly GuestThread[]): Reading {
  return countByState(goroutines, ['running', 'runnable', 'waiting', 'blocked']);
}

/** How many wait for each of the reasons that this program's runtime knows, zero included. Reasons that share a text are one. */
export function countWaits(guest: ProbeGuest, goroutines: readonly GuestThread[]): Reading {
  const reasons = [...new Set(waitReasons(guest))].filter((reason) => reason !== null);
  if (reasons.length === 0 || goroutines.length === 0) return { absent: NOT_KEPT };
  return reasons.map((reason) => ({
    value: goroutines.filter(({ state, waitingFor }) => state === 'waiting' && waitingFor === reason).length,
    attributes: { reason },
  }));
}

/** Counts of the scheduler's own. */
export function readScheduler(guest: ProbeGuest): Readonly<Record<SchedulerMetric, Reading>> {
  const sched = findGlobal(guest, 'runtime.sched');
  const [made, freed] = [number(sched?.member('mnext')), number(sched?.member('nmfreed'))];
  return {
    'go.goroutine.count': countGoroutines(guest, sched) ?? { absent: NOT_KEPT },
    'go.schedule.queue': countQueued(guest, sched) ?? { absent: NOT_KEPT },
    'go.processor.limit': reading(findGlobal(guest, 'runtime.gomaxprocs'), NOT_KEPT),
    'go.processor.idle': number(sched?.member('npidle')) ?? { absent: NOT_KEPT },
    'go.thread.count': made === null || freed === null ? { absent: NOT_KEPT } : made - freed,
    'go.thread.idle': number(sched?.member('nmidle')) ?? { absent: NOT_KEPT },
  };
}

type SchedulerMetric =
  | 'go.goroutine.count'
  | 'go.schedule.queue'
  | `go.processor.${'limit' | 'idle'}`
  | `go.thread.${'count' | 'idle'}`;

/** gcount: all, less those kept for reuse and the runtime's own. */
function countGoroutines(guest: ProbeGuest, sched: TypedValue | null): number | null {
  const all = number(findGlobal(guest, 'runtime.allgs')?.member('len'));
  const system = number(sched?.member('ngsys'));
  const free = first(sched, 'gFree.n') ?? sum(first(sched, 'gFree.stack.size'), first(sched, 'gFree.noStack.size'));
  if (all === null || free === null || system === null) return null;
  const cached = processors(guest).map((p) => first(p, 'gFree.n', 'gFree.size') ?? 0);
  return Math.max(1, all - free - system - cached.reduce((total, count) => total + count, 0));
}

/** Goroutines that could run and do not: in the queue of all, and in each processor's own. */
function countQueued(guest: ProbeGuest, sched: TypedValue | null): number | null {
  const shared = first(sched, 'runqsize', 'runq.size');
  if (shared === null) return null;
  return processors(guest).reduce((total, p) => {
    const [head, tail] = [number(p.member('runqhead')) ?? 0, number(p.member('runqtail')) ?? 0];
    const next = (integer(p.member('runnext')) ?? 0n) === 0n ? 0 : 1;
    // Both count up and wrap at 32 bits; the queue has 256 places.
    return total + Math.min((tail - head) >>> 0, 256) + next;
  }, shared);
}

function processors(guest: ProbeGuest): readonly TypedValue[] {
  return elements(guest, findGlobal(guest, 'runtime.allp'), MAX_PROCESSORS);
}

function first(value: TypedValue | null, ...paths: readonly string[]): number | null {
  for (const path of paths) {
    const found = number(value?.member(path));
    if (found !== null) return found;
  }
  return null;
}

function sum(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

/** The runtime's table of what a goroutine may wait for; null where it has no text. */
function waitReasons(guest: ProbeGuest): readonly (string | null)[] {
  const table = findGlobal(guest, 'runtime.waitReasonStrings');
  const count = table?.layout.kind === 'array' ? Math.min(table.layout.count ?? 0, MAX_REASONS) : 0;
  return Array.from({ length: count }, (_, index) => text(table?.element(index) ?? null));
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
function readGoroutine(g: TypedValue, reasons: readonly (string | null)[]): GuestThread | null {
  const status = (number(g.member('atomicstatus')) ?? 0) & ~SCAN;
  const state = STATES[status] ?? null;
  if (state === null) return null;
  const id = String(number(g.member('goid')) ?? '?');
  const [low, high] = [g.member('stack.lo')?.integer() ?? null, g.member('stack.hi')?.integer() ?? null];
  return {
    id: `go${id}`,
    name: `goroutine ${id}`,
    state,
    waitingFor:
      state === 'waiting' ? (reasons[number(g.member('waitreason')) ?? 0] ?? null) : status === SYSCALL ? 'a system call' : null,
    blockedBy: null,
    registers: state === 'running' ? leftRegisters(g, low, high) : savedRegisters(g, status === SYSCALL),
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

/**
 * Where a goroutine that runs left its own stack: while the runtime works for it on the system's stack (asm_amd64.s: systemstack). Back
 * on its own the saved sp is cleared.
 */
function leftRegisters(g: TypedValue, low: bigint | null, high: bigint | null): Registers | null {
  const saved = savedRegisters(g, false);
  const sp = saved?.values['rsp'] ?? 0n;
  return low !== null && high !== null && low < sp && sp < high ? saved : null;
}

/** A Go string of at most 64 bytes. */
function text(value: TypedValue | null): string | null {
  const length = number(value?.member('len'));
  return length === null || length <= 0 ? null : (value?.member('str')?.text(Math.min(length, 64)) ?? null);
}
