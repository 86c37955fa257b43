// OCaml 4's collector (runtime/gc_ctrl.c, caml/domain_state.tbl): one state behind Caml_state, statistics as doubles, the free list
// and what is allocated between slices in globals. Distributions strip the runtime of its types, and a C stub built with -g has that
// of the state (its members with an underscore before, unless CAML_NAME_SPACE is set): then globals are found by symbol, each a word.

import type { ProbeGuest, Reading, Readings } from '../../src/model/probe.ts';
import type { OcamlMetric } from './ocaml-metrics.ts';
import { findGlobal, reading, TypedValue } from './typed.ts';

const WORD = 8;
const NOT_KEPT = "this version of OCaml's runtime does not keep it";
const ONE = { absent: 'OCaml 4 has no domains' };
const POOLS = { absent: 'OCaml 4 has no pools' };

/** The state that Caml_state points at, or null. */
export function findSingle(guest: ProbeGuest): TypedValue | null {
  const typed = findGlobal(guest, 'Caml_state');
  if (typed !== null) return typed.dereference();
  const layout = guest.types.findType('caml_domain_state');
  const state = wordAt(guest, 'Caml_state')?.getBigUint64(0, true) ?? 0n;
  return layout === null || state === 0n ? null : new TypedValue(guest.memory, state, layout);
}

/** Its numbers: those of Gc.quick_stat, and the free list's. */
export function readSingle(guest: ProbeGuest, state: TypedValue): Readings<OcamlMetric> {
  const member = (name: string): number | null => memberOf(state, name)?.number() ?? null;
  const read = (name: string): Reading => reading(memberOf(state, name), NOT_KEPT);
  const minor = add(member('stat_minor_words'), youngWords(state, 'young_alloc_end'));
  const major = add(member('stat_major_words'), count(guest, 'caml_allocated_words'));
  const [promoted, size, free] = [member('stat_promoted_words'), member('stat_heap_wsz'), count(guest, 'caml_fl_cur_wsz')];
  const allocated = add(add(minor, major), promoted === null ? null : -promoted);
  return {
    'ocaml.gc.minor.words': minor ?? { absent: NOT_KEPT },
    'ocaml.gc.promoted.words': promoted ?? { absent: NOT_KEPT },
    'ocaml.gc.major.words': major ?? { absent: NOT_KEPT },
    'ocaml.gc.allocated': inBytes(allocated),
    'ocaml.gc.minor.collections': read('stat_minor_collections'),
    'ocaml.gc.major.cycles': read('stat_major_collections'),
    'ocaml.gc.major.forced': read('stat_forced_major_collections'),
    'ocaml.gc.compactions': read('stat_compactions'),
    'ocaml.gc.heap.size': inBytes(size),
    'ocaml.gc.heap.size.peak': inBytes(member('stat_top_heap_wsz')),
    'ocaml.gc.heap.live': inBytes(add(size, free === null ? null : -free)),
    'ocaml.gc.heap.free': inBytes(free),
    'ocaml.gc.heap.chunks': read('stat_heap_chunks'),
    'ocaml.gc.heap.fragments': POOLS,
    'ocaml.gc.heap.blocks': POOLS,
    'ocaml.gc.heap.large': POOLS,
    'ocaml.gc.minor.size': inBytes(member('minor_heap_wsz')),
    'ocaml.gc.custom': inBytes(count(guest, 'caml_dependent_size')),
    'ocaml.gc.custom.speed': fraction(guest, 'caml_extra_heap_resources'),
    'ocaml.domains': ONE,
    'ocaml.domain.minor.words': ONE,
    'ocaml.domain.promoted.words': ONE,
    'ocaml.domain.major.words': ONE,
    'ocaml.domain.heap.size': ONE,
    'ocaml.domain.heap.live': ONE,
  };
}

/**
 * Words allocated since the last minor collection: the minor heap is used from its end down. While OCaml code runs it holds young_ptr in
 * a register, and what it allocated since its last call of C is not seen yet: less than one minor heap, and a later sample has it.
 */
export function youngWords(state: TypedValue, end: string): number | null {
  const [top, at] = [memberOf(state, end)?.number(), memberOf(state, 'young_ptr')?.number()];
  return top == null || at == null ? null : (top - at) / WORD;
}

/** Words as bytes. */
export function inBytes(words: number | null): Reading {
  return words === null ? { absent: NOT_KEPT } : words * WORD;
}

/** A member of the state, under its name or with an underscore before. */
export function memberOf(state: TypedValue, name: string): TypedValue | null {
  return state.member(name) ?? state.member(`_${name}`);
}

function count(guest: ProbeGuest, name: string): number | null {
  const typed = findGlobal(guest, name);
  if (typed !== null) return typed.number();
  const word = wordAt(guest, name);
  return word === null ? null : Number(word.getBigInt64(0, true));
}

function fraction(guest: ProbeGuest, name: string): Reading {
  const typed = findGlobal(guest, name);
  const value = typed === null ? wordAt(guest, name)?.getFloat64(0, true) : typed.number();
  return value != null && Number.isFinite(value) ? value : { absent: NOT_KEPT };
}

function wordAt({ memory, symbols }: ProbeGuest, name: string): DataView | null {
  const address = symbols.findSymbol(name)?.address;
  const bytes = address === undefined ? null : memory.read(address, WORD);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, WORD);
}

function add(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}
