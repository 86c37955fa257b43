// Go's heap as runtime.ReadMemStats computes it (runtime/mstats.go, mcache.go, mgcpacer.go). ReadMemStats stops the world and has each
// processor's cache hand in what it counted; from outside that part is read where it lies (`handedInLater`), so that the sums are equal.
// Sums are exact to the byte while the program stands still; while it runs, an allocation may be counted a moment early or late.

import type { ProbeGuest, Reading } from '../../src/model/probe.ts';
import { arrayWords, elements, firstOf, integer, number } from './go-values.ts';
import { findGlobal, type TypedValue } from './typed.ts';

const MAX_PROCESSORS = 1024;
/** Spans in processors' caches: some 130 each. */
const MAX_CACHED_SPANS = 16_384;
/** More bytes, or objects, than this no processors' caches hold: a memory that was not yet this program's may say otherwise. */
const MAX_HELD = 1n << 26n;
const MAX_INT64 = 2n ** 63n - 1n;
const OFF = 2n ** 64n - 1n;
const MEBIBYTE = 1_048_576n;
const NOT_KEPT = { absent: 'this release of Go does not keep it under a known name' };

/** Sums since the start, as MemStats has them. */
interface Allocations {
  readonly bytes: bigint;
  readonly freedBytes: bigint;
  readonly objects: bigint;
  readonly freedObjects: bigint;
}

/** What processors' caches have counted and not handed in. Negative in releases that count a span as full from the time it is cached. */
interface Later {
  readonly bytes: bigint;
  readonly objects: bigint;
  readonly tiny: bigint;
}

/** Sizes of the heap and what was allocated in it. */
export function readHeap(guest: ProbeGuest): Readonly<Record<HeapMetric, Reading>> {
  const [used, released] = [heapSize(guest, 'heapInUse', 'heap_inuse'), heapSize(guest, 'heapReleased', 'heap_released')];
  const free = heapFree(guest, used, released);
  const allocations = countAllocations(guest);
  return {
    'go.memory.heap.live': firstOf(guest, ['gcController', 'heapLive'], ['memstats', 'heap_live']) ?? NOT_KEPT,
    'go.memory.heap.marked': firstOf(guest, ['gcController', 'heapMarked'], ['memstats', 'heap_marked']) ?? NOT_KEPT,
    'go.memory.heap.used': used ?? NOT_KEPT,
    'go.memory.heap.free': free ?? NOT_KEPT,
    'go.memory.heap.released': released ?? NOT_KEPT,
    'go.memory.heap.idle': plus(free, released) ?? NOT_KEPT,
    'go.memory.heap.size': plus(used, free) ?? NOT_KEPT,
    'go.memory.heap.allocated': allocations === null ? NOT_KEPT : allocations.bytes - allocations.freedBytes,
    'go.memory.heap.objects': allocations === null ? NOT_KEPT : allocations.objects - allocations.freedObjects,
    'go.memory.allocated': allocations?.bytes ?? NOT_KEPT,
    'go.memory.allocations': allocations?.objects ?? NOT_KEPT,
    'go.memory.frees': allocations?.freedObjects ?? NOT_KEPT,
    'go.memory.used': memoryUsed(guest),
  };
}

type HeapMetric =
  | `go.memory.heap.${'live' | 'marked' | 'used' | 'free' | 'released' | 'idle' | 'size' | 'allocated' | 'objects'}`
  | `go.memory.${'allocated' | 'allocations' | 'frees' | 'used'}`;

/** What makes the next collection due. */
export function readPacing(
  guest: ProbeGuest,
): Readonly<Record<'go.memory.gc.goal' | 'go.memory.limit' | 'go.config.gogc', Reading>> {
  const limit = integer(findGlobal(guest, 'runtime.gcController')?.member('memoryLimit'));
  const percent =
    integer(findGlobal(guest, 'runtime.gcController')?.member('gcPercent')) ?? integer(findGlobal(guest, 'runtime.gcpercent'));
  const goal = collectionGoal(guest, limit);
  return {
    'go.memory.gc.goal': goal === OFF ? { absent: 'the collector is off (GOGC=off, no memory limit)' } : (goal ?? NOT_KEPT),
    'go.memory.limit':
      limit === null
        ? { absent: 'this release of Go has no memory limit' }
        : limit === MAX_INT64
          ? { absent: 'no memory limit is set: GOMEMLIMIT or debug.SetMemoryLimit sets one' }
          : limit,
    'go.config.gogc': percent ?? NOT_KEPT,
  };
}

/** gcControllerState.heapGoal, or the plain number of older releases; all ones when nothing makes a collection due. */
function collectionGoal(guest: ProbeGuest, limit: bigint | null): bigint | null {
  const controller = findGlobal(guest, 'runtime.gcController');
  const member = (name: string): bigint | null => integer(controller?.member(name));
  const byPercent = member('gcPercentHeapGoal');
  if (byPercent === null) return firstOf(guest, ['gcController', 'heapGoal'], ['memstats', 'next_gc']);
  const byLimit =
    limit === null || limit === MAX_INT64 ? null : goalOfLimit(limit, member, controller?.member('lastConsMark') != null);
  if (byLimit !== null && byLimit < byPercent) return byLimit;
  if (byPercent === OFF) return OFF;
  const [triggered, sweep] = [member('triggered') ?? OFF, member('sweepDistMinTrigger') ?? 0n];
  // A collection that was triggered already gets 64 KiB to run.
  return largest(byPercent, sweep, triggered === OFF ? 0n : triggered + 65_536n);
}

/**
 * memoryLimitHeapGoal: what the limit leaves to the heap, less a headroom. That was a mebibyte, and is 3 % since about the time the
 * pacer keeps the last four costs of marking (lastConsMark; Go 1.20 may have that and a mebibyte).
 */
function goalOfLimit(limit: bigint, member: (name: string) => bigint | null, byPercentage: boolean): bigint | null {
  const [free, mapped, marked] = [member('heapFree'), member('mappedReady'), member('heapMarked')];
  const [allocated, freed] = [member('totalAlloc'), member('totalFree')];
  if (free === null || mapped === null || marked === null || allocated === null || freed === null) return null;
  const left = limit - (mapped - free - (allocated - freed)) - largest(mapped - limit, 0n);
  if (left <= 0n) return marked;
  const headroom = byPercentage ? largest((left / 100n) * 3n, MEBIBYTE) : MEBIBYTE;
  return largest(left - headroom, headroom, marked);
}

function heapSize(guest: ProbeGuest, now: string, before: string): bigint | null {
  return firstOf(guest, ['gcController', now], ['memstats', before]);
}

function heapFree(guest: ProbeGuest, used: bigint | null, released: bigint | null): bigint | null {
  const free = firstOf(guest, ['gcController', 'heapFree']);
  const all = free === null ? firstOf(guest, ['memstats', 'heap_sys']) : null;
  return free ?? (all === null || used === null || released === null ? null : all - used - released);
}

/** What the runtime has of the system and did not give back, as OpenTelemetry divides it. */
function memoryUsed(guest: ProbeGuest): Reading {
  const stacks = heapStatistic(guest, 'inStacks') ?? firstOf(guest, ['memstats', 'stacks_inuse']);
  const total = firstOf(guest, ['gcController', 'mappedReady']) ?? addUp(guest, stacks);
  if (stacks === null || total === null) return NOT_KEPT;
  return [
    { value: stacks, attributes: { 'go.memory.type': 'stack' } },
    { value: total - stacks, attributes: { 'go.memory.type': 'other' } },
  ];
}

/** MemStats.Sys less HeapReleased, of releases that keep the parts only. */
function addUp(guest: ProbeGuest, stacks: bigint | null): bigint | null {
  const names = ['heap_sys', 'stacks_sys', 'mspan_sys', 'mcache_sys', 'buckhash_sys', 'other_sys'];
  const parts = names.map((name) => firstOf(guest, ['memstats', name]));
  parts.push(firstOf(guest, ['memstats', 'gcMiscSys'], ['memstats', 'gc_sys']), stacks);
  const released = firstOf(guest, ['memstats', 'heap_released']);
  const whole = parts.reduce(plus);
  if (whole == null || released === null) return null;
  return whole - released + (heapStatistic(guest, 'inWorkBufs') ?? 0n) + (heapStatistic(guest, 'inPtrScalarBits') ?? 0n);
}

/** A number of consistentHeapStats: three deltas are merged by whoever reads it. */
function heapStatistic(guest: ProbeGuest, name: string): bigint | null {
  const all = findGlobal(guest, 'runtime.memstats')?.member('heapStats.stats') ?? null;
  const parts = [0, 1, 2].map((index) => integer(all?.element(index)?.member(name)));
  const sum = parts.reduce(plus);
  return sum == null ? null : BigInt.asIntN(64, sum);
}

/** As heapStatistic, of an array: one sum for each size class. */
function heapStatistics(guest: ProbeGuest, name: string): readonly bigint[] {
  const all = findGlobal(guest, 'runtime.memstats')?.member('heapStats.stats') ?? null;
  const parts = [0, 1, 2].map((index) => arrayWords(guest, all?.element(index)?.member(name) ?? null));
  const shortest = Math.min(...parts.map((part) => part.length));
  return Array.from({ length: shortest }, (_, index) =>
    BigInt.asUintN(
      64,
      parts.reduce((sum, part) => sum + (part[index] ?? 0n), 0n),
    ),
  );
}

function countAllocations(guest: ProbeGuest): Allocations | null {
  // What a cache hands in between the two readings must be missed, never counted twice: the one that then falls is read first.
  const first = countsAhead(guest) ? handedInLater(guest) : null;
  const [allocated, freed] = [heapStatistics(guest, 'smallAllocCount'), heapStatistics(guest, 'smallFreeCount')];
  const [large, largeFreed] = [heapStatistic(guest, 'largeAllocCount'), heapStatistic(guest, 'largeFreeCount')];
  const tiny = heapStatistic(guest, 'tinyAllocCount') ?? firstOf(guest, ['memstats', 'tinyallocs']);
  if (tiny === null || large === null || largeFreed === null || allocated.length === 0) return null;
  const bytes = firstOf(guest, ['gcController', 'totalAlloc']) ?? bytesOf(guest, allocated, heapStatistic(guest, 'largeAlloc'));
  const freedBytes = firstOf(guest, ['gcController', 'totalFree']) ?? bytesOf(guest, freed, heapStatistic(guest, 'largeFree'));
  if (bytes === null || freedBytes === null) return null;
  const later = first ?? handedInLater(guest);
  return neverBackwards(guest, later, {
    bytes: bytes + later.bytes,
    freedBytes,
    objects: total(allocated) + large + tiny + later.objects + later.tiny,
    freedObjects: total(freed) + largeFreed + tiny + later.tiny,
  });
}

/** A counter as it was told, and what caches held of it then. */
interface Told {
  readonly value: bigint;
  readonly held: bigint;
}

const told = new WeakMap<object, Readonly<Record<'bytes' | 'objects' | 'freedObjects', Told>>>();

/**
 * A processor hands in its counts at each collection. When that happens while they are read they are missed once, and a counter that
 * falls means a restart to whoever watches it. So a fall by no more than the caches held keeps the last number; a deeper one is a restart.
 */
function neverBackwards({ types }: ProbeGuest, later: Later, now: Allocations): Allocations {
  const before = told.get(types);
  const objects = size(later.objects) + size(later.tiny);
  const next = {
    bytes: tell(before?.bytes, { value: now.bytes, held: size(later.bytes) }),
    objects: tell(before?.objects, { value: now.objects, held: objects }),
    freedObjects: tell(before?.freedObjects, { value: now.freedObjects, held: size(later.tiny) }),
  };
  told.set(types, next);
  return { ...now, bytes: next.bytes.value, objects: next.objects.value, freedObjects: next.freedObjects.value };
}

function tell(last: Told | undefined, now: Told): Told {
  const fallen = last === undefined ? 0n : last.value - now.value;
  if (last === undefined || fallen <= 0n || fallen > smaller(last.held + now.held, MAX_HELD)) return now;
  return { value: last.value, held: largest(last.held, now.held) };
}

/** Bytes of so many objects of each size class. */
function bytesOf(guest: ProbeGuest, counts: readonly bigint[], large: bigint | null): bigint | null {
  const sizes = findGlobal(guest, 'runtime.class_to_size');
  if (sizes === null || large === null) return null;
  return counts.reduce((sum, count, index) => sum + count * (integer(sizes.element(index)) ?? 0n), large);
}

/** What mcache.releaseAll will hand in. */
function handedInLater(guest: ProbeGuest): Later {
  const empty = findGlobal(guest, 'runtime.emptymspan')?.address ?? 0n;
  let [bytes, objects, tiny, left] = [0n, 0n, 0n, MAX_CACHED_SPANS];
  for (const processor of elements(guest, findGlobal(guest, 'runtime.allp'), MAX_PROCESSORS)) {
    const cache = processor.member('mcache')?.dereference() ?? null;
    tiny += integer(cache?.member('tinyAllocs')) ?? 0n;
    const spans = cache?.member('alloc') ?? null;
    const first = spans?.element(0)?.dereference() ?? null;
    for (const address of first === null ? [] : arrayWords(guest, spans)) {
      if (address === empty || address === 0n || left === 0) continue;
      left -= 1;
      const span = first!.moved(address);
      const slots = slotsUsed(span);
      objects += slots;
      bytes += slots * (integer(span.member('elemsize')) ?? 0n);
    }
  }
  return { bytes, objects, tiny };
}

/** Whether a span counts as full from the time it is cached: until Go 1.18. */
function countsAhead(guest: ProbeGuest): boolean {
  return findGlobal(guest, 'runtime.emptymspan')?.member('allocCountBeforeCache') == null;
}

/** Objects allocated in a cached span and not counted yet; less than none where it counts as full already. */
function slotsUsed(span: TypedValue): bigint {
  const now = number(span.member('allocCount'));
  const before = span.member('allocCountBeforeCache');
  const from = number(before ?? span.member('nelems'));
  return now === null || from === null ? 0n : BigInt(now - from);
}

function plus(a: bigint | null | undefined, b: bigint | null | undefined): bigint | null {
  return a == null || b == null ? null : a + b;
}

function total(values: readonly bigint[]): bigint {
  return values.reduce((sum, value) => sum + value, 0n);
}

function size(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function largest(...values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (a > b ? a : b));
}
