// OCaml's garbage collector from outside: what Gc.quick_stat computes (runtime/gc_ctrl.c), from the runtime's own structures.
// OCaml 4 keeps them behind the global Caml_state; OCaml 5 in each domain's state, found through all_domains (runtime/domain.c),
// with some counters moved to globals. Told apart by which of them the image has; offsets are DWARF's, never a version's.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal, reading, type TypedValue } from './typed.ts';

/** The runtime's own limit on domains. */
const MAX_DOMAINS = 128;
const WORD = 8;
const NOT_KEPT = "this version of OCaml's runtime does not keep it";

export const ocaml = defineProbe({
  name: 'ocaml',
  doc: "OCaml's garbage collector: words allocated, collections, heap",
  systems: ['ocaml'],
  missing: ({ types, symbols }) => {
    const root = ['Caml_state', 'all_domains'].find((name) => symbols.findSymbol(name) !== null);
    if (root === undefined) return 'the image has no OCaml runtime (neither Caml_state nor all_domains)';
    return types.findVariable(root) === null ? `no type for ${root}: OCaml's runtime was built without -g` : null;
  },
  metrics: {
    'ocaml.gc.minor.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the minor heap' },
    'ocaml.gc.promoted.words': { kind: 'counter', unit: '{word}', doc: 'words that survived a minor collection' },
    'ocaml.gc.major.words': { kind: 'counter', unit: '{word}', doc: 'words allocated in the major heap, promoted ones included' },
    'ocaml.gc.minor.collections': { kind: 'counter', unit: '{collection}', doc: 'minor collections' },
    'ocaml.gc.major.cycles': { kind: 'counter', unit: '{cycle}', doc: 'major cycles completed' },
    'ocaml.gc.major.forced': { kind: 'counter', unit: '{cycle}', doc: 'major cycles that the program asked for' },
    'ocaml.gc.compactions': { kind: 'counter', unit: '{compaction}', doc: 'heap compactions' },
    'ocaml.gc.heap.size': { kind: 'gauge', unit: 'By', doc: 'size of the major heap' },
    'ocaml.gc.heap.size.peak': { kind: 'gauge', unit: 'By', doc: 'largest size of the major heap so far' },
    'ocaml.gc.heap.live': { kind: 'gauge', unit: 'By', doc: 'blocks in the major heap that are not known to be dead' },
    'ocaml.domains': { kind: 'gauge', unit: '{domain}', doc: 'domains that run' },
  },
  sample: (guest) => {
    const single = findGlobal(guest, 'Caml_state')?.dereference() ?? null;
    return single === null ? sampleDomains(guest, domainsOf(guest)) : sampleSingle(guest, single);
  },
});

/** OCaml 4: one state, statistics as doubles. */
function sampleSingle(guest: ProbeGuest, state: TypedValue): Record<string, Reading> {
  const words = (name: string): number | null => state.member(name)?.number() ?? null;
  const allocated = findGlobal(guest, 'caml_allocated_words')?.number() ?? null;
  const bytes = (name: string): Reading => scaled(words(name));
  return {
    'ocaml.gc.minor.words': sum([words('stat_minor_words'), youngWords(state, 'young_alloc_end')]),
    'ocaml.gc.promoted.words': sum([words('stat_promoted_words')]),
    'ocaml.gc.major.words': sum([words('stat_major_words'), allocated]),
    'ocaml.gc.minor.collections': reading(state.member('stat_minor_collections'), NOT_KEPT),
    'ocaml.gc.major.cycles': reading(state.member('stat_major_collections'), NOT_KEPT),
    'ocaml.gc.major.forced': reading(state.member('stat_forced_major_collections'), NOT_KEPT),
    'ocaml.gc.compactions': reading(state.member('stat_compactions'), NOT_KEPT),
    'ocaml.gc.heap.size': bytes('stat_heap_wsz'),
    'ocaml.gc.heap.size.peak': bytes('stat_top_heap_wsz'),
    'ocaml.gc.heap.live': { absent: NOT_KEPT },
    'ocaml.domains': { absent: 'OCaml 4 has no domains' },
  };
}

/** OCaml 5: statistics of each domain, collections counted once for all. */
function sampleDomains(guest: ProbeGuest, domains: readonly TypedValue[]): Record<string, Reading> {
  const over = (...paths: string[]): (number | null)[] => domains.flatMap((state) => paths.map((path) => readPath(state, path)));
  const young = domains.map((state) => youngWords(state, 'young_end'));
  return {
    'ocaml.gc.minor.words': sum([...over('stat_minor_words'), ...young]),
    'ocaml.gc.promoted.words': sum(over('stat_promoted_words')),
    'ocaml.gc.major.words': sum(over('stat_major_words', 'allocated_words')),
    'ocaml.gc.minor.collections': reading(findGlobal(guest, 'caml_minor_collections_count'), NOT_KEPT),
    'ocaml.gc.major.cycles': reading(findGlobal(guest, 'caml_major_cycles_completed'), NOT_KEPT),
    'ocaml.gc.major.forced': sum(over('stat_forced_major_collections')),
    'ocaml.gc.compactions': reading(findGlobal(guest, 'caml_compactions_count'), NOT_KEPT),
    'ocaml.gc.heap.size': scaled(total(over('shared_heap->stats.pool_words', 'shared_heap->stats.large_words'))),
    'ocaml.gc.heap.size.peak': scaled(total(over('shared_heap->stats.pool_max_words', 'shared_heap->stats.large_max_words'))),
    'ocaml.gc.heap.live': scaled(total(over('shared_heap->stats.pool_live_words', 'shared_heap->stats.large_words'))),
    'ocaml.domains': reading(findGlobal(guest, 'caml_num_domains_running'), NOT_KEPT),
  };
}

/** The states of all domains that ever ran: an array of slots up to OCaml 5.2, a pointer to them since 5.3; used from the first on. */
function domainsOf(guest: ProbeGuest): readonly TypedValue[] {
  const all = findGlobal(guest, 'all_domains');
  const slots = all?.layout.kind === 'array' ? Math.min(all.layout.count ?? MAX_DOMAINS, MAX_DOMAINS) : MAX_DOMAINS;
  const states: TypedValue[] = [];
  for (let index = 0; index < slots; index += 1) {
    const state = all?.at(index)?.member('state')?.dereference() ?? null;
    if (state === null) break;
    states.push(state);
  }
  return states;
}

/** Words allocated since the last minor collection: the minor heap is used from its end down. Stale while OCaml code holds young_ptr in a register. */
function youngWords(state: TypedValue, end: string): number | null {
  const [top, at] = [state.member(end)?.number(), state.member('young_ptr')?.number()];
  return top == null || at == null ? null : (top - at) / WORD;
}

/** A member path in which `->` follows a pointer. */
function readPath(value: TypedValue, path: string): number | null {
  const [first, ...rest] = path.split('->');
  const member = value.member(first!);
  if (rest.length === 0) return member?.number() ?? null;
  const target = member?.dereference() ?? null;
  return target === null ? null : readPath(target, rest.join('->'));
}

function total(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length < values.length || known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

function sum(values: readonly (number | null)[]): Reading {
  return total(values) ?? { absent: NOT_KEPT };
}

function scaled(words: number | null): Reading {
  return words === null ? { absent: NOT_KEPT } : words * WORD;
}
