// What holds Go's heap: objects that variables and stacks reach, by a walk like the collector's (runtime/mgcmark.go). Words are taken for
// pointers when they lie in a span: where pointers are in an object is kept in another form in each release, and a number that looks like
// one is rare in 64 bits. An object is told once, for the first that reaches it: the program's own variables come before its libraries',
// those before the runtime's, and stacks come last.

import type { HeapRow } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { RowTally } from './census-rows.ts';
import { GoObjects } from './go-objects.ts';
import { readGoroutines } from './go-scheduler.ts';
import type { Span } from './go-spans.ts';

const MAX_OBJECTS = 32 * 1024 * 1024;
const MAX_STACK = 1024 * 1024;
const MAX_GOROUTINES = 1024;
const MAX_VARIABLES = 16 * 1024 * 1024;

/** A pointer into the heap that is no object's. `rank`: lower ones come first. */
interface Root {
  readonly name: string;
  readonly rank: number;
  readonly object: number;
}

/** Roots of `allocated` bytes, the one that holds most first; null with why. With both: what was found before the walk had to end. */
export function findRoots(
  guest: ProbeGuest,
  spans: readonly Span[],
  allocated: number,
): { readonly roots: readonly HeapRow[] | null; readonly rootsAbsent: string | null } {
  const heap = new GoObjects(guest, spans);
  if (heap.count > MAX_OBJECTS) return { roots: null, rootsAbsent: `more than ${MAX_OBJECTS} objects: too many to walk` };
  const variables = variableRoots(guest, heap);
  if (variables === null) return { roots: null, rootsAbsent: 'no symbols say where the variables of the program are' };
  const tally = new RowTally();
  for (const { name, object } of [...variables, ...stackRoots(guest, heap)].sort((a, b) => a.rank - b.rank)) {
    const { bytes, count } = heap.reach(object);
    if (count > 0) tally.add(name, bytes, count);
  }
  const rootsAbsent = heap.isExhausted ? 'the heap is too large to walk to its end: what is told is a part' : null;
  // What was reached may be some slots more than are in use: of a word that looked like a pointer, or was left on a stack.
  if (!heap.isExhausted && allocated > tally.bytes)
    tally.add('nothing: garbage that is not collected yet', allocated - tally.bytes, null);
  return { roots: tally.rows(), rootsAbsent };
}

/** Words of .data and .bss that point into the heap; null where they cannot be found. */
function variableRoots(guest: ProbeGuest, heap: GoObjects): readonly Root[] | null {
  const parts = [
    ['runtime.data', 'runtime.edata'],
    ['runtime.bss', 'runtime.ebss'],
  ].map(([from, to]) => [guest.symbols.findSymbol(from!)?.address, guest.symbols.findSymbol(to!)?.address] as const);
  if (parts.some(([from, to]) => from === undefined || to === undefined)) return null;
  return parts.flatMap(([from, to]) => {
    const size = Math.min(Math.max(0, Number(to! - from!)), MAX_VARIABLES);
    return heap.pointersIn(Number(from), size).map(({ at, object }): Root => {
      const name = guest.symbols.findObject?.(BigInt(at))?.name ?? 'variables without a name';
      return { name, rank: rankOf(name), object };
    });
  });
}

function rankOf(name: string): number {
  if (name.startsWith('main.')) return 0;
  // A package path with a domain is not of the standard library.
  if (/^[^/]*\.[^/]*\//.test(name)) return 1;
  return /^(?:runtime|internal)[./]/.test(name) ? 3 : 2;
}

/** The words above each stack pointer; of one that runs, all of its stack. */
function stackRoots(guest: ProbeGuest, heap: GoObjects): readonly Root[] {
  return readGoroutines(guest)
    .slice(0, MAX_GOROUTINES)
    .flatMap(({ name, registers, stack }) => {
      if (stack === null || !(stack.size > 0)) return [];
      const [low, high] = [Number(stack.base), Number(stack.base) + stack.size];
      const sp = Number(registers?.values['rsp'] ?? stack.base);
      const from = Math.max(sp >= low && sp < high ? sp : low, high - MAX_STACK);
      return heap
        .pointersIn(from & ~7, high - from)
        .map(({ object }): Root => ({ name: `the stack of ${name}`, rank: 4, object }));
    });
}
