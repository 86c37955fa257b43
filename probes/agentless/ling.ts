// LING (Erlang on Xen) from outside, by symbols alone, as it is built without types: its own statistics (core/sys_stats.c), whose meaning
// is told by the texts that it would print them with; pages that were handed out and never come back (core/arch/xen/mm.c); freed nodes that
// wait to be used again (core/nalloc.c); its registry of processes (core/hash.c).

import type { MetricDeclaration } from '../../src/model/metric.ts';
import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';

const PAGE = 4096;
/** A term and so a heap's word has 32 bits on every machine. */
const WORD = 4;
const POINTER = 8;
const MAX_STATISTICS = 16;
/** struct memnode_t: next, index (in pages). */
const NODE_PAGES = 8;
const FREE_LISTS = 20;
const MAX_NODES = 16_384;
/** struct hash_t: nodes, buckets, nr_buckets; struct hash_entry_t: next, …, klen. Its count is never lowered. */
const HASH = { buckets: 8, count: 16, size: 24 };
const ENTRY = { keyLength: 24, size: 32 };
const MAX_BUCKETS = 256;
const MAX_PROCESSES = 65_536;
const NOT_KEPT = { absent: 'this build of LING has no symbol of it' };

/** What LING prints of a statistic, and the metric it is. */
const STATISTICS: readonly (readonly [
  text: RegExp,
  metric: keyof typeof METRICS,
  scale: number,
  attributes: Attributes | null,
])[] = [
  [/^GC: %llu runs/, 'erlang.gc.cycles', 1, null],
  [/^GC: %llu words reclaimed/, 'erlang.gc.reclaimed', WORD, null],
  [/^proc_main: %llu reductions/, 'erlang.reductions', 1, null],
  [/^sched: %llu contexts switched/, 'erlang.context_switches', 1, null],
  [/^io: %llu received/, 'erlang.console.io', 1, { direction: 'receive' }],
  [/^io: %llu sent/, 'erlang.console.io', 1, { direction: 'transmit' }],
];

type Attributes = Readonly<Record<string, string>>;

const METRICS = {
  'erlang.gc.cycles': { kind: 'counter', unit: '{cycle}', doc: "collections of processes' heaps" },
  'erlang.gc.reclaimed': { kind: 'counter', unit: 'By', doc: 'bytes that collections freed' },
  'erlang.reductions': { kind: 'counter', unit: '{reduction}', doc: 'reductions: calls of functions, more or less' },
  'erlang.context_switches': { kind: 'counter', unit: '{switch}', doc: 'switches from process to process' },
  'erlang.console.io': { kind: 'counter', unit: 'By', doc: 'bytes over the console' },
  'erlang.process.count': { kind: 'gauge', unit: '{process}', doc: 'processes that are alive' },
  'erlang.process.started': { kind: 'counter', unit: '{process}', doc: 'processes that were ever made' },
  'erlang.memory.size': { kind: 'gauge', unit: 'By', doc: 'pages handed out so far: they never come back' },
  'erlang.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages handed out, without freed nodes' },
  'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'pages that can be handed out' },
  'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages handed out, without freed nodes' },
  'unikernel.memory.free': { kind: 'gauge', unit: 'By', doc: 'pages never handed out, and freed nodes' },
} satisfies Readonly<Record<string, MetricDeclaration>>;

export const ling = defineProbe({
  name: 'ling',
  doc: "LING's collector, processes and memory; written from its source",
  systems: ['ling'],
  missing: ({ symbols }) =>
    symbols.findSymbol('sys_stats_counters') === null
      ? 'no symbol sys_stats_counters: give the image of LING with --symbols, not stripped'
      : null,
  metrics: METRICS,
  sample: (guest) => ({
    ...readStatistics(guest),
    ...readMemory(guest),
    'erlang.process.count': countProcesses(guest),
    'erlang.process.started': viewAt(guest, addressOf(guest, 'next_proc_id'), 4)?.getUint32(0, true) ?? NOT_KEPT,
  }),
});

function readStatistics(guest: ProbeGuest): Partial<Record<keyof typeof METRICS, Reading>> {
  const counters = addressOf(guest, 'sys_stats_counters');
  const size = guest.symbols.findSymbol('sys_stats_counters')?.size ?? 0;
  const count = Math.min(Math.floor(size / POINTER), MAX_STATISTICS);
  const values = viewAt(guest, counters, count * POINTER);
  const formats = viewAt(guest, addressOf(guest, 'sys_stats_formats'), count * POINTER);
  const series = new Map<keyof typeof METRICS, { readonly value: bigint; readonly attributes: Attributes }[]>();
  for (let index = 0; values !== null && formats !== null && index < count; index += 1) {
    const text = readText(guest, formats.getBigUint64(index * POINTER, true));
    const known = STATISTICS.find(([pattern]) => pattern.test(text));
    if (known === undefined) continue;
    const [, metric, scale, attributes] = known;
    const value = values.getBigUint64(index * POINTER, true) * BigInt(scale);
    series.set(metric, [...(series.get(metric) ?? []), { value, attributes: attributes ?? {} }]);
  }
  return Object.fromEntries(STATISTICS.map(([, metric]) => [metric, series.get(metric) ?? NOT_KEPT]));
}

/** The first page that LING handed out holds a copy of its data. */
function readMemory(guest: ProbeGuest): Partial<Record<keyof typeof METRICS, Reading>> {
  const [start, end, first] = ['free_pages_start', 'free_pages_end', 'data_section_backup'].map((name) =>
    readWord(guest, addressOf(guest, name)),
  );
  const freed = countFreePages(guest);
  if (start == null || end == null || first == null || first === 0n || first > start || start > end || freed === null) {
    const names = ['erlang.memory.size', 'erlang.memory.used', 'unikernel.memory.limit', 'unikernel.memory.used'] as const;
    return Object.fromEntries([...names, 'unikernel.memory.free'].map((name) => [name, NOT_KEPT]));
  }
  const [size, limit] = [start - first, end - first];
  const used = size - BigInt(freed * PAGE);
  return {
    'erlang.memory.size': size,
    'erlang.memory.used': used < 0n ? 0n : used,
    'unikernel.memory.limit': limit,
    'unikernel.memory.used': used < 0n ? 0n : used,
    'unikernel.memory.free': used < 0n ? limit : limit - used,
  };
}

/** Pages of nodes that nobody has; null when their lists cannot be read, or never end. */
function countFreePages(guest: ProbeGuest): number | null {
  const lists = viewAt(guest, addressOf(guest, 'node_allocator'), FREE_LISTS * POINTER);
  if (lists === null) return null;
  let [pages, nodes] = [0, 0];
  for (let list = 0; list < FREE_LISTS; list += 1) {
    for (let at = lists.getBigUint64(list * POINTER, true); at !== 0n; nodes += 1) {
      const node = viewAt(guest, at, NODE_PAGES + 4);
      if (node === null || nodes >= MAX_NODES) return null;
      pages += node.getUint32(NODE_PAGES, true);
      at = node.getBigUint64(0, true);
    }
  }
  return pages;
}

/** Keys of the registry are process numbers of one term. */
function countProcesses(guest: ProbeGuest): Reading {
  const table = viewAt(guest, readWord(guest, addressOf(guest, 'registry')), HASH.size);
  const bucketCount = table?.getUint32(HASH.count, true) ?? 0;
  const buckets =
    bucketCount > MAX_BUCKETS ? null : viewAt(guest, table?.getBigUint64(HASH.buckets, true) ?? null, bucketCount * POINTER);
  if (buckets === null || bucketCount === 0) return NOT_KEPT;
  let count = 0;
  for (let bucket = 0; bucket < bucketCount; bucket += 1) {
    for (let at = buckets.getBigUint64(bucket * POINTER, true); at !== 0n; count += 1) {
      const entry = viewAt(guest, at, ENTRY.size);
      if (entry?.getUint32(ENTRY.keyLength, true) !== WORD || count >= MAX_PROCESSES) return NOT_KEPT;
      at = entry.getBigUint64(0, true);
    }
  }
  return count;
}

function addressOf(guest: ProbeGuest, name: string): bigint | null {
  return guest.symbols.findSymbol(name)?.address ?? null;
}

function readText(guest: ProbeGuest, address: bigint): string {
  const bytes = address === 0n ? null : guest.memory.read(BigInt.asUintN(64, address), 32);
  return bytes === null ? '' : Buffer.from(bytes).toString('latin1');
}

function readWord(guest: ProbeGuest, address: bigint | null): bigint | null {
  return viewAt(guest, address, POINTER)?.getBigUint64(0, true) ?? null;
}

function viewAt(guest: ProbeGuest, address: bigint | null, length: number): DataView | null {
  const bytes = address === null || address === 0n ? null : guest.memory.read(BigInt.asUintN(64, address), length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
