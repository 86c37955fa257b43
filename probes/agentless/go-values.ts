// How the Go runtime's own variables are read: integers that became atomics, slices, and names that moved from one structure to another
// between releases. A release is never asked for its number: each name is tried where it is now and where it was before.

import type { ProbeGuest } from '../../src/model/probe.ts';
import { findGlobal, type TypedValue } from './typed.ts';

const POINTER = 8;
const WORD = 8;
/** Pointers that are read at once: a page of them. */
const POINTERS_AT_ONCE = 512;

/** An integer, or the one in runtime/internal/atomic's wrappers. Exact. */
export function integer(value: TypedValue | null | undefined): bigint | null {
  if (value == null) return null;
  return value.layout.kind === 'struct' ? (value.member('value')?.integer() ?? null) : value.integer();
}

/** As `integer`, and floats. */
export function number(value: TypedValue | null | undefined): number | null {
  if (value == null) return null;
  return value.layout.kind === 'struct' ? (value.member('value')?.number() ?? null) : value.number();
}

/** The first of `variable.member` paths that this release has. */
export function firstOf(guest: ProbeGuest, ...paths: readonly (readonly [variable: string, member: string])[]): bigint | null {
  for (const [variable, member] of paths) {
    const value = integer(findGlobal(guest, `runtime.${variable}`)?.member(member));
    if (value !== null) return value;
  }
  return null;
}

/** The elements of a slice of pointers, `most` at most, null ones left out. */
export function elements(guest: ProbeGuest, slice: TypedValue | null, most: number): TypedValue[] {
  const array = slice?.member('array')?.dereference() ?? null;
  if (array?.layout.kind !== 'pointer') return [];
  const count = Math.max(0, Math.min(number(slice?.member('len')) ?? 0, most));
  const pointers: bigint[] = [];
  for (let at = 0; at < count; at += POINTERS_AT_ONCE) {
    pointers.push(...words(guest, array.address + BigInt(at * POINTER), Math.min(POINTERS_AT_ONCE, count - at)));
  }
  // The layout is taken from one of them: goroutines are many.
  const some = pointers.findIndex((address) => address !== 0n);
  const first = some < 0 ? null : array.moved(array.address + BigInt(some * POINTER)).dereference();
  return first === null ? [] : pointers.filter((address) => address !== 0n).map((address) => first.moved(address));
}

/** An array of integers, or of pointers, of eight bytes each; none when it cannot be read. */
export function arrayWords(guest: ProbeGuest, array: TypedValue | null): readonly bigint[] {
  if (array?.layout.kind !== 'array' || array.element(0)?.layout.size !== WORD) return [];
  return words(guest, array.address, Math.min(array.layout.count ?? 0, POINTERS_AT_ONCE));
}

function words({ memory }: ProbeGuest, address: bigint, count: number): bigint[] {
  const bytes = memory.read(BigInt.asUintN(64, address), count * WORD);
  if (bytes === null) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, index) => view.getBigUint64(index * WORD, true));
}
