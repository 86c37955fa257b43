// OCaml 5's collector (runtime/domain.c, gc_stats.c, shared_heap.c): statistics in each domain's state, found through all_domains, and
// what domains that ended left behind. Words are those of Gc.counters: Gc.quick_stat leaves out what came since the last minor
// collection, and sees other domains, and all heaps, as they were then.

import type { ProbeGuest, Reading, ReadingSeries, Readings } from '../../src/model/probe.ts';
import type { OcamlMetric } from './ocaml-metrics.ts';
import { inBytes, youngWords } from './ocaml-single.ts';
import { findGlobal, reading, type TypedValue } from './typed.ts';

/** The runtime's own limit on domains up to 5.2; later ones may be told another. */
const MAX_DOMAINS = 128;
const WORD = 8;
const NOT_KEPT = "this version of OCaml's runtime does not keep it";

/** One slot: a domain that runs, or that ended and left its statistics to all. */
export interface Domain {
  readonly id: number;
  readonly state: TypedValue;
  /** struct heap_stats of its part of the major heap; null once it ended. */
  readonly heap: TypedValue | null;
}

/** Numbers of all domains together, and of each. */
export function readDomains(guest: ProbeGuest): Readings<OcamlMetric> {
  const domains = domainsOf(guest);
  if (domains.length === 0) return {};
  const heaps = [...domains.flatMap(({ heap }) => heap ?? []), ...optional(findGlobal(guest, 'pool_freelist')?.member('stats'))];
  const heap = (...names: string[]): number | null => total(heaps, names);
  const ended = findGlobal(guest, 'orphaned_alloc_stats');
  const words = (own: string, left: string, more: (domain: Domain) => number | null): number | null =>
    plus(sum(domains.map((domain) => plus(number(domain.state, own), more(domain)))), ended === null ? 0 : number(ended, left));
  const minor = words('stat_minor_words', 'minor_words', ({ state }) => youngWords(state, 'young_end'));
  const major = words('stat_major_words', 'major_words', ({ state }) => number(state, 'allocated_words'));
  const promoted = words('stat_promoted_words', 'promoted_words', () => 0);
  const none = (): number => 0;
  return {
    'ocaml.gc.minor.words': known(minor),
    'ocaml.gc.promoted.words': known(promoted),
    'ocaml.gc.major.words': known(major),
    'ocaml.gc.allocated': inBytes(minus(plus(minor, major), promoted)),
    'ocaml.gc.minor.collections': minorCollections(guest, domains),
    'ocaml.gc.major.cycles': reading(findGlobal(guest, 'caml_major_cycles_completed'), NOT_KEPT),
    'ocaml.gc.major.forced': known(words('stat_forced_major_collections', 'forced_major_collections', none)),
    'ocaml.gc.compactions': reading(findGlobal(guest, 'caml_compactions_count'), NOT_KEPT),
    'ocaml.gc.heap.size': inBytes(heap('pool_words', 'large_words')),
    'ocaml.gc.heap.size.peak': inBytes(heap('pool_max_words', 'large_max_words')),
    'ocaml.gc.heap.live': inBytes(heap('pool_live_words', 'large_words')),
    'ocaml.gc.heap.free': inBytes(minus(heap('pool_words'), heap('pool_live_words', 'pool_frag_words'))),
    'ocaml.gc.heap.fragments': inBytes(heap('pool_frag_words')),
    'ocaml.gc.heap.blocks': known(heap('pool_live_blocks', 'large_blocks')),
    'ocaml.gc.heap.large': inBytes(heap('large_words')),
    'ocaml.gc.heap.chunks': { absent: 'OCaml 5 has pools, not chunks' },
    'ocaml.gc.minor.size': inBytes(sum(running(domains).map(({ state }) => number(state, 'minor_heap_wsz')))),
    'ocaml.gc.custom': inBytes(sum(running(domains).map(({ state }) => number(state, 'dependent_size')))),
    'ocaml.gc.custom.speed': known(sum(running(domains).map(({ state }) => number(state, 'extra_heap_resources')))),
    'ocaml.domains': reading(findGlobal(guest, 'caml_num_domains_running'), NOT_KEPT),
    'ocaml.domain.minor.words': each(domains, ({ state }) =>
      plus(number(state, 'stat_minor_words'), youngWords(state, 'young_end')),
    ),
    'ocaml.domain.promoted.words': each(domains, ({ state }) => number(state, 'stat_promoted_words')),
    'ocaml.domain.major.words': each(domains, ({ state }) =>
      plus(number(state, 'stat_major_words'), number(state, 'allocated_words')),
    ),
    'ocaml.domain.heap.size': each(domains, (domain) => heapBytes(domain, 'pool_words')),
    'ocaml.domain.heap.live': each(domains, (domain) => heapBytes(domain, 'pool_live_words')),
  };
}

/** The states of all domains that ever ran: an array of slots up to OCaml 5.2, a pointer to them since 5.3; used from the first on. */
export function domainsOf(guest: ProbeGuest): readonly Domain[] {
  const all = findGlobal(guest, 'all_domains');
  const slots = all?.layout.kind === 'array' ? Math.min(all.layout.count ?? MAX_DOMAINS, MAX_DOMAINS) : MAX_DOMAINS;
  const domains: Domain[] = [];
  for (let id = 0; id < slots; id += 1) {
    const state = all?.at(id)?.member('state')?.dereference() ?? null;
    if (state === null) break;
    domains.push({ id, state, heap: state.member('shared_heap')?.dereference()?.member('stats') ?? null });
  }
  return domains;
}

function running(domains: readonly Domain[]): readonly Domain[] {
  return domains.filter(({ heap }) => heap !== null);
}

/** All domains stop for one together; OCaml 5.0 counts it in each of them. */
function minorCollections(guest: ProbeGuest, domains: readonly Domain[]): Reading {
  const count = findGlobal(guest, 'caml_minor_collections_count')?.number();
  return count ?? known(sum(domains.map(({ state }) => number(state, 'stat_minor_collections'))));
}

/** Series of all slots: one whose domain ended is at zero, and begins anew with the next domain. */
function each(domains: readonly Domain[], read: (domain: Domain) => number | null): Reading {
  const series = domains.flatMap((domain): readonly ReadingSeries[] => {
    const value = read(domain);
    return value === null ? [] : [{ value, attributes: { domain: String(domain.id) } }];
  });
  return series.length === 0 ? { absent: NOT_KEPT } : series;
}

function heapBytes({ heap }: Domain, pools: string): number | null {
  if (heap === null) return 0;
  const words = total([heap], [pools, 'large_words']);
  return words === null ? null : words * WORD;
}

function number(value: TypedValue, name: string): number | null {
  return value.member(name)?.number() ?? null;
}

/** These members of all of these structures together. */
function total(values: readonly TypedValue[], names: readonly string[]): number | null {
  return sum(values.flatMap((value) => names.map((name) => number(value, name))));
}

function sum(values: readonly (number | null)[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((all, value) => plus(all, value), 0);
}

function plus(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

function minus(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a - b;
}

function known(value: number | null): Reading {
  return value ?? { absent: NOT_KEPT };
}

function optional<T>(value: T | null | undefined): readonly T[] {
  return value == null ? [] : [value];
}
