// OSv's memory (core/mempool.cc): the page allocator's count of free pages, pages that wait in pools of each CPU, who waits for memory;
// what programs have mapped (core/mmu.cc) and cached files (core/pagecache.cc). What memory::stats tells inside is the same words.

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import { findGlobal, reading, type TypedValue, unwrap, walkTree } from './typed.ts';

const MAX_VCPUS = 256;
const MAX_WAITERS = 1024;
const MAX_MAPPINGS = 4096;
const PAGE_SIZE = 4096;
const NOT_KEPT = 'this build does not keep it';
const JVM_HEAP = '_ZN6memoryL23current_jvm_heap_memoryE';

export const osvMemory = defineProbe({
  name: 'osv-memory',
  doc: "OSv's page allocator, its pools, mappings and page cache",
  systems: ['osv'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('_ZN6memoryL11free_memoryE') === null)
      return "no symbols of OSv's kernel: give its loader.elf with --symbols";
    return types.findVariable('memory::free_memory') === null
      ? 'no type for memory::free_memory: give loader.elf, not loader-stripped.elf'
      : null;
  },
  metrics: {
    'unikernel.memory.limit': { kind: 'gauge', unit: 'By', doc: 'memory the page allocator was given' },
    'unikernel.memory.free': {
      kind: 'gauge',
      unit: 'By',
      doc: 'free pages of the page allocator; what waits in pools is not free',
    },
    'unikernel.memory.used': { kind: 'gauge', unit: 'By', doc: 'pages handed out, to kernel, pools and programs' },
    'unikernel.memory.watermark': { kind: 'gauge', unit: 'By', doc: 'the reclaimer wakes when less than this is free' },
    'unikernel.memory.pooled': { kind: 'gauge', unit: 'By', doc: 'free pages in pools: of each CPU (l1), and of all (l2)' },
    'unikernel.memory.waiting': { kind: 'gauge', unit: '{thread}', doc: 'threads that wait for the reclaimer to find memory' },
    'unikernel.memory.mapped': { kind: 'gauge', unit: 'By', doc: 'addresses mapped for programs, touched or not' },
    'unikernel.memory.mappings': { kind: 'gauge', unit: '{mapping}', doc: 'ranges of addresses mapped for programs' },
    'unikernel.memory.cached': { kind: 'gauge', unit: 'By', doc: 'pages of files in the page cache' },
    'unikernel.memory.jvm': { kind: 'gauge', unit: 'By', doc: "the JVM's heap, as its balloon counts it" },
  },
  sample: (guest) => {
    const [total, free] = ['total_memory', 'free_memory'].map((name) => unwrap(findGlobal(guest, `memory::${name}`), 'integer'));
    const [limit, left] = [total?.number() ?? null, free?.number() ?? null];
    const mappings = findGlobal(guest, 'mmu::vma_list');
    return {
      'unikernel.memory.limit': reading(total ?? null, NOT_KEPT),
      'unikernel.memory.free': reading(free ?? null, NOT_KEPT),
      'unikernel.memory.used': limit === null || left === null ? { absent: NOT_KEPT } : limit - left,
      'unikernel.memory.watermark': reading(findGlobal(guest, 'memory::watermark_lo'), NOT_KEPT),
      'unikernel.memory.pooled': readPools(guest),
      'unikernel.memory.waiting': countWaiters(guest),
      'unikernel.memory.mapped': readMapped(guest, mappings),
      'unikernel.memory.mappings': reading(unwrap(mappings, 'integer'), NOT_KEPT),
      'unikernel.memory.cached': readCached(guest),
      'unikernel.memory.jvm': readJvm(guest),
    };
  },
});

function readPools(guest: ProbeGuest): Reading {
  const pools = findGlobal(guest, 'memory::page_pool::l1_pool_stats');
  const [first, end] = ['_M_start', '_M_finish'].map((name) => pools?.member(`_M_impl.${name}`));
  const pool = first?.dereference() ?? null;
  const bytes = (end?.integer() ?? 0n) - (pool?.address ?? 0n);
  const count = pool === null || bytes < 0n ? 0 : Math.min(Number(bytes / BigInt(pool.layout.size || 1)), MAX_VCPUS);
  const found = Array.from({ length: count }, (_, cpu) => {
    const pages = first?.at(cpu)?.member('_nr')?.number() ?? null;
    return pages === null ? [] : [{ value: pages * PAGE_SIZE, attributes: { pool: 'l1', cpu: String(cpu) } }];
  }).flat();
  const batch = guest.types.findType('memory::page_pool::page_batch');
  const batches = unwrap(findGlobal(guest, 'memory::page_pool::global_l2')?.member('_nr'), 'integer')?.number() ?? null;
  // A batch is an array of pointers to pages.
  if (batch !== null && batches !== null)
    found.push({ value: batches * (batch.size / 8) * PAGE_SIZE, attributes: { pool: 'l2', cpu: 'all' } });
  return found.length === 0 ? { absent: NOT_KEPT } : found;
}

/** A ring of nodes that begins and ends at its header. */
function countWaiters(guest: ProbeGuest): Reading {
  const header = unwrap(findGlobal(guest, 'memory::reclaimer_thread')?.member('_oom_blocked'), 'pointer');
  let node = header?.integer() ?? null;
  if (header === null || node === null) return { absent: NOT_KEPT };
  let count = 0;
  // Before the first one waits the ring may not be closed yet.
  while (node !== header.address && node !== 0n && count < MAX_WAITERS) {
    count += 1;
    node = header.moved(node).integer() ?? 0n;
  }
  return count;
}

/** boost::intrusive::set of vma: its header's first pointer is the root; nodes keep their colour in the lowest bit of `parent_`. */
function readMapped(guest: ProbeGuest, mappings: TypedValue | null): Reading {
  const vma = guest.types.findType('mmu::vma');
  const parent = unwrap(mappings, 'pointer');
  const node = parent?.dereference() ?? null;
  if (vma === null || parent === null || parent.integer() === null) return { absent: NOT_KEPT };
  const root = node === null ? null : node.moved(node.address & ~1n);
  let bytes = 0n;
  for (const at of walkTree(root, (each) => [each.member('left_'), each.member('right_')], MAX_MAPPINGS)) {
    const range = at.container(vma, '_vma_list_hook')?.member('_range');
    const [start, end] = [range?.member('_start')?.integer() ?? 0n, range?.member('_end')?.integer() ?? 0n];
    if (end > start) bytes += end - start;
  }
  return bytes;
}

function readCached(guest: ProbeGuest): Reading {
  const found = ['read', 'write'].flatMap((cache) => {
    const pages = findGlobal(guest, `pagecache::${cache}_cache`)?.member('_M_h._M_element_count')?.number() ?? null;
    return pages === null ? [] : [{ value: pages * PAGE_SIZE, attributes: { cache } }];
  });
  return found.length === 0 ? { absent: NOT_KEPT } : found;
}

function readJvm(guest: ProbeGuest): Reading {
  const isBuilt = guest.symbols.findSymbol(JVM_HEAP) !== null;
  const absent = 'the JVM balloon is not in this build: set conf_memory_jvm_balloon=1';
  return isBuilt ? reading(unwrap(findGlobal(guest, 'memory::current_jvm_heap_memory'), 'integer'), absent) : { absent };
}
