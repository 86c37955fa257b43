// What probes share over typed reads: a value as a reading, series of one metric, what C++ wraps, threads counted by state.

import type { TypedValue } from '../../src/bytes/typed-value.ts';
import type { Layout } from '../../src/model/layout.ts';
import type { ProbeGuest, Reading, ReadingSeries } from '../../src/model/probe.ts';
import type { Memory } from '../../src/model/target.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';

export { findGlobal, TypedValue, walkList, walkTree } from '../../src/bytes/typed-value.ts';

/** A reading, or why there is none. */
export function reading(value: TypedValue | null, absent: string): Reading {
  return value?.number() ?? { absent };
}

/**
 * Series of one metric from members of one structure: value of `attribute` → path of the member. Those that cannot be read are left
 * out; a reading of none is absent. `shared`: attributes of them all.
 */
export function series(
  value: TypedValue | null,
  attribute: string,
  members: Readonly<Record<string, string>>,
  absent: string,
  {
    convert,
    ...options
  }: { readonly shared?: Readonly<Record<string, string>>; readonly convert?: (raw: number) => number } = {},
): Reading {
  return orAbsent(
    readMembers(value, members).map(({ label, raw }) => ({
      value: convert?.(raw) ?? raw,
      attributes: { ...options.shared, [attribute]: label },
    })),
    absent,
  );
}

/** As `series`, for counters of whatever width their type has: those below 64 bits say where they begin anew. */
export function counterSeries(
  value: TypedValue | null,
  attribute: string,
  members: Readonly<Record<string, string>>,
  absent: string,
): Reading {
  return orAbsent(
    readMembers(value, members).map(({ label, raw, size }) => ({
      value: raw,
      attributes: { [attribute]: label },
      ...(size < 8 ? { wrapsAt: 2 ** (8 * size) } : {}),
    })),
    absent,
  );
}

/** The series of a reading; none when it is absent. */
export function seriesOf(from: Reading): readonly ReadingSeries[] {
  return typeof from === 'object' && !('absent' in from) ? from : [];
}

/** Series, or why there is none. */
export function orAbsent(found: readonly ReadingSeries[], absent: string): Reading {
  return found.length === 0 ? { absent } : found;
}

function readMembers(
  value: TypedValue | null,
  members: Readonly<Record<string, string>>,
): readonly { readonly label: string; readonly raw: number; readonly size: number }[] {
  return Object.entries(members).flatMap(([label, path]) => {
    const member = value?.member(path) ?? null;
    const raw = member?.number() ?? null;
    return member === null || raw === null ? [] : [{ label, raw, size: member.layout.size }];
  });
}

/** An unsigned little-endian word that is found by symbol alone, in code that is built without debug information. */
export function readWord({ symbols, memory }: Pick<ProbeGuest, 'symbols' | 'memory'>, name: string): bigint | null {
  const symbol = symbols.findSymbol(name);
  return symbol === null ? null : readWordAt(memory, symbol.address);
}

/** An unsigned little-endian word of 64 bits. */
export function readWordAt(memory: Memory, address: bigint): bigint | null {
  const bytes = memory.read(address, 8);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}

/** How many threads are in each of the states this scheduler tells apart, zero included: a series must not keep its last value. */
export function countByState(threads: readonly Pick<GuestThread, 'state'>[], told: readonly ThreadState[]): Reading {
  if (threads.length === 0) return { absent: 'no thread was found in memory' };
  const states = [...new Set([...told, ...threads.map((thread) => thread.state)])].sort();
  return states.map((state) => ({ value: threads.filter((thread) => thread.state === state).length, attributes: { state } }));
}

type Scalar = 'integer' | 'pointer' | 'enum';
interface Place {
  readonly offset: number;
  readonly layout: Layout;
}

const MAX_DEPTH = 12;
const MAX_VISITED = 256;

/** Where scalars lie in wrappers, by the wrapper's layout. */
const places = new WeakMap<Layout, Map<Scalar, Place | null>>();

/**
 * The scalar that a C++ wrapper of one holds (std::atomic, std::unique_ptr, std::chrono::duration, Boost's list headers): the first of
 * this kind in it, bases included. Null when there is none.
 */
export function unwrap(value: TypedValue | null | undefined, kind: Scalar): TypedValue | null {
  if (value == null) return null;
  const known = places.get(value.layout) ?? new Map<Scalar, Place | null>();
  const place = known.get(kind) ?? findScalar(value.layout, kind, { visited: 0 }, 0);
  places.set(value.layout, known.set(kind, place));
  return place === null ? null : value.moved(value.address + BigInt(place.offset)).as(place.layout);
}

function findScalar(layout: Layout, kind: Scalar, budget: { visited: number }, depth: number): Place | null {
  budget.visited += 1;
  if (layout.kind === kind) return { offset: 0, layout };
  if ((layout.kind !== 'struct' && layout.kind !== 'union') || depth >= MAX_DEPTH) return null;
  for (const member of layout.members) {
    if (budget.visited >= MAX_VISITED) return null;
    const found = findScalar(member.layout(), kind, budget, depth + 1);
    if (found !== null) return { offset: member.offset + found.offset, layout: found.layout };
  }
  return null;
}
