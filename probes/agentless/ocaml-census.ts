// What OCaml's heap is made of: blocks by tag and size, of the minor heap and the major one. OCaml 4 has chunks of blocks side by side
// (runtime/caml/major_gc.h); OCaml 5 pools of blocks of one size, and large blocks each by itself (runtime/shared_heap.c). What types they
// have is not kept. Dead blocks that were not swept yet are in use as well.

import type { HeapCensus } from '../../src/model/heap.ts';
import type { ProbeGuest } from '../../src/model/probe.ts';
import { RowTally } from './census-rows.ts';
import { type HeapPart, tallyBlock, WORD, walkBlocks } from './ocaml-blocks.ts';
import { domainsOf } from './ocaml-domains.ts';
import { readPools } from './ocaml-pools.ts';
import { findOcamlRoots, type StackPart } from './ocaml-roots.ts';
import { findSingle, memberOf } from './ocaml-single.ts';
import { findGlobal, readWord, type TypedValue } from './typed.ts';

const MAX_CHUNKS = 4096;
const MAX_BLOCKS = 20_000_000;
/** Colour of free blocks in OCaml 4. */
const BLUE = 2;

/** Null where the runtime has no types, or there is no heap yet. */
export function takeOcamlCensus(guest: ProbeGuest): HeapCensus | null {
  const single = findSingle(guest);
  return single === null ? censusOfDomains(guest) : censusOfChunks(guest, single);
}

function censusOfChunks(guest: ProbeGuest, state: TypedValue): HeapCensus | null {
  const chunks = readChunks(guest);
  if (chunks === null) return null;
  const tally = new RowTally();
  const budget = { blocks: MAX_BLOCKS };
  const young = youngPart(state, 'young_alloc_end');
  for (const part of chunks) {
    walkBlocks(guest.memory, part, budget, (header) => {
      // A free block that is only a header is white.
      if (header.colour !== BLUE && header.words > 0) tallyBlock(tally, header);
    });
  }
  for (const part of young)
    walkBlocks(guest.memory, part, budget, (header) => {
      tallyBlock(tally, header);
    });
  const stacks = stackPart(memberOf(state, 'bottom_of_stack'), memberOf(state, 'top_of_stack'));
  return finish(guest, tally, budget, [...chunks, ...young], stacks);
}

function censusOfDomains(guest: ProbeGuest): HeapCensus | null {
  const domains = domainsOf(guest).filter(({ heap }) => heap !== null);
  const pools = readPools(
    guest,
    domains.flatMap(({ state }) => state.member('shared_heap')?.dereference() ?? []),
  );
  if (pools === null) return null;
  const tally = new RowTally();
  const budget = { blocks: MAX_BLOCKS };
  const young = domains.flatMap(({ state }) => youngPart(state, 'young_end'));
  for (const header of pools.headers(budget)) tallyBlock(tally, header);
  for (const part of young)
    walkBlocks(guest.memory, part, budget, (header) => {
      tallyBlock(tally, header);
    });
  const stacks = domains.flatMap(({ state }) => {
    const stack = state.member('current_stack')?.dereference() ?? null;
    return stackPart(stack?.member('sp') ?? null, stack?.member('handler') ?? null);
  });
  return finish(guest, tally, budget, [...pools.parts, ...young], stacks);
}

function finish(
  guest: ProbeGuest,
  tally: RowTally,
  budget: { readonly blocks: number },
  parts: readonly HeapPart[],
  stacks: readonly StackPart[],
): HeapCensus | null {
  if (tally.bytes === 0) return null;
  const totalBytes = budget.blocks > 0 ? tally.bytes : null;
  const { roots, rootsAbsent } = findOcamlRoots(guest, parts, stacks, tally.bytes);
  return { heap: 'OCaml', by: 'size-class', totalBytes, rows: tally.rows(), roots, rootsAbsent, probe: 'ocaml' };
}

/** caml_heap_start and what follows it by the heads before each chunk; null without them. */
function readChunks(guest: ProbeGuest): readonly HeapPart[] | null {
  const head = guest.types.findType('heap_chunk_head');
  const start = findGlobal(guest, 'caml_heap_start')?.integer() ?? readWord(guest, 'caml_heap_start') ?? 0n;
  const any = findGlobal(guest, 'caml_heap_start') ?? findSingle(guest);
  if (head === null || start === 0n || any === null) return null;
  const chunks: HeapPart[] = [];
  const seen = new Set<bigint>();
  for (let at = start; at !== 0n && !seen.has(at) && chunks.length < MAX_CHUNKS; ) {
    seen.add(at);
    const chunk = any.as(head).moved(BigInt.asUintN(64, at - BigInt(head.size)));
    const size = chunk.member('size')?.integer() ?? 0n;
    if (size > 0n && size < 2n ** 46n && at < 2n ** 48n) chunks.push({ start: Number(at), end: Number(at + size) });
    at = chunk.member('next')?.integer() ?? 0n;
  }
  return chunks.length === 0 ? null : chunks;
}

/** The minor heap is used from its end down. */
function youngPart(state: TypedValue, end: string): readonly HeapPart[] {
  const [from, to] = [memberOf(state, 'young_ptr')?.integer() ?? 0n, memberOf(state, end)?.integer() ?? 0n];
  const isOne = from > 0n && from < to && to < 2n ** 48n && from % BigInt(WORD) === 0n;
  return isOne ? [{ start: Number(from), end: Number(to) }] : [];
}

function stackPart(low: TypedValue | null, high: TypedValue | null): readonly StackPart[] {
  const [from, to] = [low?.integer() ?? 0n, high?.integer() ?? 0n];
  return from > 0n && from < to && to < 2n ** 48n ? [{ start: Number(from), end: Number(to) }] : [];
}
