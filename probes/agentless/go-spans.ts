// Spans of Go's heap (runtime/mheap.go: mheap_.allspans, struct mspan): each holds objects of one size, with pointers in them or without.
// Members are found by name, those that became atomics or smaller integers since too.

import type { ProbeGuest } from '../../src/model/probe.ts';
import { elements } from './go-values.ts';
import { findGlobal, type TypedValue } from './typed.ts';

const PAGE_BYTES = 8192;
/** A heap of 8 KiB spans only has so many in some 800 MB. */
const MAX_SPANS = 100_000;
/** mSpanInUse: in the collected heap. Manual ones are stacks and the runtime's own. */
const IN_USE = 1;
const MAX_STRUCT = 1024;

/** A span in use. */
export interface Span {
  readonly start: number;
  readonly bytes: number;
  /** Of one object. */
  readonly size: number;
  readonly slots: number;
  /** Slots that are allocated. */
  readonly used: number;
  readonly hasPointers: boolean;
}

/** Spans in use by address; null where this release does not keep them under known names. `whole`: there are no more. */
export function readSpans(guest: ProbeGuest): { readonly spans: readonly Span[]; readonly whole: boolean } | null {
  const all = findGlobal(guest, 'runtime.mheap_')?.member('allspans') ?? null;
  const length = all?.member('len')?.number() ?? 0;
  const pointers = elements(guest, all, MAX_SPANS);
  const [first] = pointers;
  const read = first === undefined ? null : findReader(first);
  if (read === null) return null;
  const spans = pointers.flatMap(({ address }) => read(guest, address) ?? []).sort((a, b) => a.start - b.start);
  return { spans: spans.filter(({ start }, index) => start >= endOf(spans[index - 1])), whole: length <= MAX_SPANS };
}

/** Of what is not this program's memory any more, spans may overlap: no two are of the same place. */
function endOf(span: Span | undefined): number {
  return span === undefined ? 0 : span.start + span.bytes;
}

type Field = (view: DataView) => number;

/** Reads a span from one piece of memory: there may be many. */
function findReader(span: TypedValue): ((guest: ProbeGuest, address: bigint) => Span | null) | null {
  const size = span.layout.size;
  const [start, pages, slots, bytes, used, spanClass] = [
    'startAddr',
    'npages',
    'nelems',
    'elemsize',
    'allocCount',
    'spanclass',
  ].map((name) => fieldOf(span, span.member(name)));
  const state = fieldOf(span, span.member('state.s.value') ?? span.member('state.s') ?? span.member('state'));
  if (start == null || pages == null || slots == null || bytes == null || used == null || spanClass == null) return null;
  if (state === null || size > MAX_STRUCT) return null;
  return ({ memory }, address) => {
    const read = memory.read(BigInt.asUintN(64, address), size);
    if (read === null) return null;
    const view = new DataView(read.buffer, read.byteOffset, size);
    const found = {
      start: start(view),
      bytes: pages(view) * PAGE_BYTES,
      size: bytes(view),
      slots: slots(view),
      used: used(view),
    };
    return state(view) === IN_USE && isOne(found) ? { ...found, hasPointers: (spanClass(view) & 1) === 0 } : null;
  };
}

function isOne({ start, bytes, size, slots, used }: Omit<Span, 'hasPointers'>): boolean {
  return Number.isSafeInteger(start + bytes) && bytes > 0 && size >= 8 && slots > 0 && slots * size <= bytes && used <= slots;
}

/** An unsigned integer of up to eight bytes at its place in the structure. */
function fieldOf(within: TypedValue, member: TypedValue | null): Field | null {
  if (member === null) return null;
  const offset = Number(member.address - within.address);
  const { size } = member.layout;
  if (offset + size > within.layout.size) return null;
  if (size === 8) return (view) => view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
  if (size === 4) return (view) => view.getUint32(offset, true);
  if (size === 2) return (view) => view.getUint16(offset, true);
  return size === 1 ? (view) => view.getUint8(offset) : null;
}
