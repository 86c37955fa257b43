// The major heap of OCaml 5 (runtime/shared_heap.c): lists of pools by size class, swept or not, of each domain and left by ended ones, and
// lists of large blocks. A slot of a pool whose header is 0 is free.

import type { ProbeGuest } from '../../src/model/probe.ts';
import { type Header, type HeapPart, headerAt, WORD } from './ocaml-blocks.ts';
import { findGlobal, type TypedValue, walkList } from './typed.ts';

/** POOL_WSIZE of runtime/caml/sizeclasses.h; its sizes are read, this no debug information tells. */
const POOL_BYTES = 4096 * WORD;
const MAX_POOLS = 32_768;
const MAX_LARGE = 65_536;
const LISTS = ['avail_pools', 'full_pools', 'unswept_avail_pools', 'unswept_full_pools'] as const;
const LEFT_LISTS = ['global_avail_pools', 'global_full_pools'] as const;
const MAX_CLASSES = 64;

/** All pools and large blocks. */
export interface Pools {
  readonly parts: readonly HeapPart[];
  /** Headers of the blocks in use; stops when the budget is used up. */
  headers(budget: { blocks: number }): Generator<Header>;
}

interface Pool extends HeapPart {
  /** Words from one slot to the next. */
  readonly slot: number;
}

/** Pools of these `caml_heap_state`s; null where the runtime's sizes are not known. */
export function readPools(guest: ProbeGuest, heaps: readonly TypedValue[]): Pools | null {
  const slots = numbersOf(findGlobal(guest, 'wsize_sizeclass'));
  const wasted = numbersOf(findGlobal(guest, 'wastage_sizeclass'));
  if (slots.length === 0 || wasted.length !== slots.length) return null;
  const left = findGlobal(guest, 'pool_freelist');
  const lists = [
    ...heaps.flatMap((heap) => LISTS.map((name) => heap.member(name))),
    ...LEFT_LISTS.map((name) => left?.member(name) ?? null),
  ];
  const pools = lists.flatMap((list) => poolsOf(list, slots, wasted)).slice(0, MAX_POOLS);
  const large = [
    ...heaps.flatMap((heap) => ['swept_large', 'unswept_large'].map((name) => heap.member(name))),
    left?.member('global_large') ?? null,
  ].flatMap((list) => largeOf(guest, list));
  return {
    parts: [...pools, ...large.map(({ part }) => part)],
    *headers(budget) {
      for (const pool of pools) yield* slotsInUse(guest, pool, budget);
      for (const { header } of large) if ((budget.blocks -= 1) > 0) yield header;
    },
  };
}

function poolsOf(list: TypedValue | null, slots: readonly number[], wasted: readonly number[]): readonly Pool[] {
  return slots.flatMap((slot, index) => {
    const pools = [...walkList(list?.element(index)?.dereference() ?? null, 'next', MAX_POOLS)];
    return pools.flatMap(({ address, layout }): readonly Pool[] => {
      const start = Number(address) + layout.size + wasted[index]! * WORD;
      return address < 2n ** 48n && slot > 0 ? [{ start, end: Number(address) + POOL_BYTES, slot }] : [];
    });
  });
}

function* slotsInUse({ memory }: ProbeGuest, { start, end, slot }: Pool, budget: { blocks: number }): Generator<Header> {
  const bytes = start < end ? memory.read(BigInt(start), end - start) : null;
  if (bytes === null) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + slot * WORD <= bytes.length; at += slot * WORD) {
    if ((budget.blocks -= 1) <= 0) return;
    const header = headerAt(view, at);
    if (header.words > 0 && header.words < slot) yield header;
  }
}

/** A large block's header stands right behind its place in the list. */
function largeOf(
  { memory }: ProbeGuest,
  list: TypedValue | null,
): readonly { readonly header: Header; readonly part: HeapPart }[] {
  return [...walkList(list?.dereference() ?? null, 'next', MAX_LARGE)].flatMap(({ address, layout }) => {
    const start = address + BigInt(layout.size);
    const bytes = start < 2n ** 48n ? memory.read(start, WORD) : null;
    if (bytes === null) return [];
    const header = headerAt(new DataView(bytes.buffer, bytes.byteOffset, WORD), 0);
    const end = Number(start) + (header.words + 1) * WORD;
    return header.words > 0 && end < 2 ** 48 ? [{ header, part: { start: Number(start), end } }] : [];
  });
}

function numbersOf(array: TypedValue | null): readonly number[] {
  const count = array?.layout.kind === 'array' ? Math.min(array.layout.count ?? 0, MAX_CLASSES) : 0;
  return Array.from({ length: count }, (_, index) => array?.element(index)?.number() ?? 0);
}
