// Unikraft's memory: the pages of the buddy allocator (lib/ukallocbbuddy), which every build counts, and what its allocators count of
// themselves (lib/ukalloc, if built with LIBUKALLOC_IFSTATS): that begins when they are registered, pages taken before are not in it.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal, reading, type TypedValue, walkList } from './typed.ts';
import { takeUkallocCensus } from './ukalloc-census.ts';

const MAX_ALLOCATORS = 64;
const MAX_REGIONS = 256;
const PAGE_SIZE = 4096;
const NO_STATS =
  'allocator statistics are not in this build: set CONFIG_LIBUKALLOC_IFSTATS=y (and CONFIG_LIBUKALLOC_IFSTATS_GLOBAL=y)';
const NO_BUDDY = 'the heap is not managed by ukallocbbuddy';

export const ukalloc = defineProbe({
  name: 'ukalloc',
  doc: "Unikraft's allocators",
  systems: ['unikraft'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('_uk_alloc_head') === null) return 'the image has no lib/ukalloc';
    return types.findVariable('_uk_alloc_head') === null
      ? 'no type for _uk_alloc_head: give the .dbg file that lies beside the image'
      : null;
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'pages the buddy allocator manages' },
    'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'free pages of the buddy allocator' },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages the buddy allocator has handed out' },
    'unikernel.memory.heap.allocated': { kind: 'gauge', unit: 'By', doc: "allocated now, by the allocators' own statistics" },
    'unikernel.memory.heap.allocated.peak': { kind: 'gauge', unit: 'By', doc: 'the most that was allocated so far' },
    'unikernel.memory.blocks': { kind: 'gauge', unit: '{allocation}', doc: 'allocations not freed yet' },
    'unikernel.memory.allocations': { kind: 'counter', unit: '{allocation}', doc: 'allocations that succeeded' },
    'unikernel.memory.frees': { kind: 'counter', unit: '{allocation}', doc: 'allocations given back' },
    'unikernel.memory.allocation.failures': { kind: 'counter', unit: '{allocation}', doc: 'allocations that failed' },
  },
  sample: (guest) => {
    const allocators = findAllocators(guest);
    const buddies = findBuddies(guest, allocators);
    return {
      'unikernel.memory.limit': inPages(buddies, managedPages),
      'unikernel.memory.free': inPages(buddies, freePages),
      'unikernel.memory.used': inPages(buddies, handedOut),
      'unikernel.memory.heap.allocated': statistic(guest, allocators, 'cur_mem_use'),
      'unikernel.memory.heap.allocated.peak': statistic(guest, allocators, 'max_mem_use'),
      'unikernel.memory.blocks': statistic(guest, allocators, 'cur_nb_allocs'),
      'unikernel.memory.allocations': statistic(guest, allocators, 'tot_nb_allocs'),
      'unikernel.memory.frees': statistic(guest, allocators, 'tot_nb_frees'),
      'unikernel.memory.allocation.failures': statistic(guest, allocators, 'nb_enomem'),
    };
  },
  census: (guest) => takeUkallocCensus(guest, findBuddies(guest, findAllocators(guest))),
});

function findAllocators(guest: ProbeGuest): readonly TypedValue[] {
  return [...walkList(findGlobal(guest, '_uk_alloc_head')?.dereference() ?? null, 'next', MAX_ALLOCATORS)];
}

function findBuddies(guest: ProbeGuest, allocators: readonly TypedValue[]): readonly TypedValue[] {
  return allocators.flatMap((allocator) => findBuddy(guest, allocator) ?? []);
}

/** Of all allocators together where the build keeps that, else of each by its place in the list. */
function statistic(guest: ProbeGuest, allocators: readonly TypedValue[], name: string): Reading {
  const global = findGlobal(guest, '_uk_alloc_stats_global')?.member(name) ?? null;
  if (global !== null) return reading(global, 'unreadable');
  const series = allocators.flatMap((allocator, index) => {
    const value = allocator.member(`_stats.${name}`)?.number() ?? null;
    return value === null ? [] : [{ value, attributes: { allocator: String(index) } }];
  });
  return series.length === 0 ? { absent: NO_STATS } : series;
}

/** An allocator's private part, when its functions say that it is a buddy allocator. */
function findBuddy({ types, symbols }: ProbeGuest, allocator: TypedValue): TypedValue | null {
  const layout = types.findType('uk_bbpalloc');
  const ours = symbols.findSymbol('bbuddy_palloc')?.address;
  if (layout === null || ours === undefined || allocator.member('palloc')?.integer() !== ours) return null;
  return allocator.member('priv')?.as(layout) ?? null;
}

function managedPages(buddy: TypedValue): number | null {
  const regions = [...walkList(buddy.member('memr_head')?.dereference() ?? null, 'next', MAX_REGIONS)];
  const pages = regions.map((region) => region.member('nr_pages')?.number() ?? null);
  return pages.length === 0 || pages.includes(null) ? null : pages.reduce<number>((total, count) => total + (count ?? 0), 0);
}

function freePages(buddy: TypedValue): number | null {
  return buddy.member('nr_free_pages')?.number() ?? null;
}

function handedOut(buddy: TypedValue): number | null {
  const [managed, free] = [managedPages(buddy), freePages(buddy)];
  return managed === null || free === null ? null : managed - free;
}

function inPages(buddies: readonly TypedValue[], count: (buddy: TypedValue) => number | null): Reading {
  const pages = buddies.map(count).filter((value) => value !== null);
  return pages.length === 0 ? { absent: NO_BUDDY } : pages.reduce((total, value) => total + value, 0) * PAGE_SIZE;
}
