// Guests for the agentless probes: C programs that lay out in their data what a probe reads of a real system, under the same names
// and with the members it looks for, compiled by the host's gcc. Their types come out of DWARF as a real kernel's do.

import { expect } from 'vitest';

/** One guest: its source, and what its probe must read. Go's dots in names are written `_DOT_` in C. */
export interface ProbeGuestSource {
  readonly probe: string;
  readonly variant: string;
  readonly source: string;
  readonly expected: Readonly<Record<string, unknown>>;
  readonly threads?: readonly Readonly<Record<string, unknown>>[];
  readonly sockets?: readonly Readonly<Record<string, unknown>>[];
  /** What its census must tell of the heap. */
  readonly census?: Readonly<Record<string, unknown>>;
  /** C unless told. */
  readonly language?: 'c++';
  /** What the probe reads has no types in any build of it: it finds its words by symbol. */
  readonly untyped?: true;
}

const OCAML_TYPES = 'typedef long intnat; typedef unsigned long uintnat; typedef intnat value;';

export const PROBE_GUESTS: readonly ProbeGuestSource[] = [
  {
    probe: 'ocaml',
    variant: 'OCaml 4',
    source: `${OCAML_TYPES}
      typedef struct {
        value *young_ptr, *young_alloc_end;
        double stat_minor_words, stat_promoted_words, stat_major_words;
        intnat stat_minor_collections, stat_major_collections, stat_heap_wsz, stat_top_heap_wsz, stat_compactions,
          stat_forced_major_collections, stat_heap_chunks;
        uintnat minor_heap_wsz;
      } caml_domain_state;
      static value minor_heap[64];
      static caml_domain_state state = {minor_heap + 54, minor_heap + 64, 1000, 200, 300, 4, 2, 512, 1024, 1, 3, 5, 64};
      caml_domain_state *Caml_state = &state;
      uintnat caml_allocated_words = 50, caml_fl_cur_wsz = 112, caml_dependent_size = 10;
      double caml_extra_heap_resources = 0.5;`,
    expected: {
      'ocaml.gc.minor.words': 1010,
      'ocaml.gc.promoted.words': 200,
      'ocaml.gc.major.words': 350,
      'ocaml.gc.minor.collections': 4,
      'ocaml.gc.major.cycles': 2,
      'ocaml.gc.major.forced': 3,
      'ocaml.gc.compactions': 1,
      'ocaml.gc.heap.size': 4096,
      'ocaml.gc.heap.size.peak': 8192,
      'ocaml.gc.heap.live': 3200,
      'ocaml.gc.heap.free': 896,
      'ocaml.gc.heap.chunks': 5,
      'ocaml.gc.allocated': (1010 + 350 - 200) * 8,
      'ocaml.gc.minor.size': 512,
      'ocaml.gc.custom': 80,
      'ocaml.gc.custom.speed': 0.5,
    },
  },
  ...(['all_domains[4]', '*all_domains'] as const).map((declarator) => ({
    probe: 'ocaml',
    variant: declarator.startsWith('*') ? 'OCaml 5, domains allocated' : 'OCaml 5',
    source: `${OCAML_TYPES}
      struct heap_stats { intnat pool_words, pool_max_words, pool_live_words, pool_live_blocks, pool_frag_words, large_words, large_max_words, large_blocks; };
      struct caml_heap_state { struct heap_stats stats; };
      typedef struct {
        value *young_ptr, *young_end;
        uintnat allocated_words, minor_heap_wsz;
        struct caml_heap_state *shared_heap;
        double extra_heap_resources;
        uintnat dependent_size;
        uintnat stat_minor_words, stat_promoted_words, stat_major_words;
        intnat stat_forced_major_collections;
      } caml_domain_state;
      static value minor_heap[64];
      static struct caml_heap_state heaps[2] = {{{100, 120, 80, 9, 5, 10, 20, 1}}, {{1, 2, 1, 1, 0, 0, 0, 0}}};
      /* The second ended, and left its statistics to all. */
      static caml_domain_state states[3] = {{minor_heap + 32, minor_heap + 64, 7, 64, &heaps[0], 0.25, 6, 1000, 200, 300, 1},
                                            {0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0},
                                            {minor_heap + 63, minor_heap + 64, 0, 64, &heaps[1], 0, 4, 10, 2, 3, 0}};
      struct alloc_stats { unsigned long minor_words, promoted_words, major_words, forced_major_collections; };
      static struct alloc_stats orphaned_alloc_stats = {5000, 400, 500, 2};
      static struct { long lock; struct heap_stats stats; } pool_freelist = {0, {30, 40, 20, 2, 1, 0, 0, 0}};
      struct dom_internal { int id; caml_domain_state *state; };
      static struct dom_internal slots[4] = {{0, &states[0]}, {1, &states[1]}, {2, &states[2]}};
      struct dom_internal ${declarator} = ${declarator.startsWith('*') ? 'slots' : '{{0, &states[0]}, {1, &states[1]}, {2, &states[2]}}'};
      void *use[] = {slots, &orphaned_alloc_stats, &pool_freelist};
      uintnat caml_num_domains_running = 2, caml_minor_collections_count = 11, caml_major_cycles_completed = 5,
        caml_compactions_count = 1;`,
    expected: {
      'ocaml.gc.minor.words': 6043,
      'ocaml.gc.promoted.words': 602,
      'ocaml.gc.major.words': 810,
      'ocaml.gc.allocated': (6043 + 810 - 602) * 8,
      'ocaml.gc.minor.collections': 11,
      'ocaml.gc.major.cycles': 5,
      'ocaml.gc.major.forced': 3,
      'ocaml.gc.compactions': 1,
      'ocaml.gc.heap.size': 141 * 8,
      'ocaml.gc.heap.size.peak': 182 * 8,
      'ocaml.gc.heap.live': 111 * 8,
      'ocaml.gc.heap.free': (131 - 101 - 6) * 8,
      'ocaml.gc.heap.fragments': 6 * 8,
      'ocaml.gc.heap.blocks': 13,
      'ocaml.gc.heap.large': 80,
      'ocaml.gc.minor.size': 1024,
      'ocaml.gc.custom': 80,
      'ocaml.gc.custom.speed': 0.25,
      'ocaml.domains': 2,
      'ocaml.domain.minor.words': [1032, 0, 11].map((value, domain) => ({ value, attributes: { domain: String(domain) } })),
      'ocaml.domain.promoted.words': [200, 0, 2].map((value, domain) => ({ value, attributes: { domain: String(domain) } })),
      'ocaml.domain.major.words': [307, 0, 3].map((value, domain) => ({ value, attributes: { domain: String(domain) } })),
      'ocaml.domain.heap.size': [880, 0, 8].map((value, domain) => ({ value, attributes: { domain: String(domain) } })),
      'ocaml.domain.heap.live': [720, 0, 8].map((value, domain) => ({ value, attributes: { domain: String(domain) } })),
    },
  })),
  ...(['', 'struct uk_alloc_stats _uk_alloc_stats_global = {17, 5, 12, 4096, 8192, 1};'] as const).map((global) => ({
    probe: 'ukalloc',
    variant: global === '' ? 'statistics of each allocator' : 'statistics of all',
    source: `
      struct uk_alloc_stats { unsigned long tot_nb_allocs, tot_nb_frees; long cur_nb_allocs, cur_mem_use, max_mem_use; unsigned long nb_enomem; };
      struct uk_alloc { void *(*palloc)(void); struct uk_alloc_stats _stats; struct uk_alloc *next; signed char priv[]; };
      struct uk_bbpalloc_memr { struct uk_bbpalloc_memr *next; unsigned long nr_pages; };
      struct uk_bbpalloc { unsigned long nr_free_pages; struct uk_bbpalloc_memr *memr_head; };
      void *bbuddy_palloc(void) { return 0; }
      static struct uk_bbpalloc_memr high = {0, 100}, low = {&high, 28};
      static struct uk_alloc other = {0, {7, 1, 6, 64, 128, 0}, 0};
      struct { struct uk_alloc a; struct uk_bbpalloc b; } heap = {{bbuddy_palloc, {10, 4, 6, 4000, 8000, 1}, &other}, {90, &low}};
      struct uk_alloc *_uk_alloc_head = &heap.a;
      ${global}`,
    expected: {
      'unikernel.memory.limit': 128 * 4096,
      'unikernel.memory.free': 90 * 4096,
      'unikernel.memory.used': 38 * 4096,
      'unikernel.memory.heap.allocated':
        global === ''
          ? [
              { value: 4000, attributes: { allocator: '0' } },
              { value: 64, attributes: { allocator: '1' } },
            ]
          : 4096,
      'unikernel.memory.allocations':
        global === ''
          ? [
              { value: 10, attributes: { allocator: '0' } },
              { value: 7, attributes: { allocator: '1' } },
            ]
          : 17,
    },
  })),
  {
    probe: 'uk-sched',
    variant: 'four threads of one scheduler',
    source: `
      struct uk_thread;
      struct uk_thread_list { struct uk_thread *tqh_first, **tqh_last; };
      struct uk_thread {
        struct { unsigned long ip, sp; } ctx;
        unsigned int flags;
        long wakeup_time;
        unsigned long exec_time;
        const char *name;
        struct { struct uk_thread *tqe_next, **tqe_prev; } thread_list;
      };
      struct uk_sched { struct uk_thread_list thread_list, exited_threads; struct uk_sched *next; };
      static struct uk_thread gone = {{1, 2}, 0x10, 0, 5, "gone", {0, 0}};
      static struct uk_thread blocked = {{0x3000, 0x4000}, 0x20, 0, 30, 0, {0, 0}};
      static struct uk_thread sleeper = {{0x1000, 0x2000}, 0x20, 99, 20, "sleeper", {&blocked, 0}};
      static struct uk_thread idle = {{0, 0}, 0x8, 0, 10, "idle", {&sleeper, 0}};
      static struct uk_sched scheduler = {{&idle, 0}, {&gone, 0}, 0};
      struct uk_sched *uk_sched_head = &scheduler;
      struct uk_thread *__uk_sched_thread_current[1] = {&idle};`,
    expected: {
      'unikernel.threads': ['blocked', 'exited', 'runnable', 'running', 'sleeping'].map((state) => ({
        value: state === 'runnable' ? 0 : 1,
        attributes: { state },
      })),
    },
    threads: [
      { name: 'idle', state: 'running', registers: null, cpuTimeNs: 10 },
      { name: 'sleeper', state: 'sleeping', registers: { machine: 'x86_64', values: { rip: 0x1000n, rsp: 0x2000n } } },
      { name: 'unnamed', state: 'blocked', cpuTimeNs: 30 },
      { name: 'gone', state: 'exited' },
    ],
  },
  {
    probe: 'nanos',
    variant: 'four threads in a tree',
    source: `
      typedef unsigned long long u64;
      struct page_heap { u64 total, allocated; } page_heap = {1 << 28, 1 << 20};
      struct mm_stats { u64 minor_faults, major_faults; } mm_stats = {30, 4};
      struct rbnode { u64 parent_color; struct rbnode *c[2]; };
      struct rbtree { struct rbnode *root; u64 count; };
      struct blockq; struct syscall_context { int call; struct { struct blockq *blocked_on; } uc; };
      struct pagelist { u64 pages; };
      struct pagecache { u64 total_pages; int page_order; struct pagelist free, new, active, writing; } cache = {10, 12, {1}, {2}, {3}, {4}}, *global_pagecache = &cache;
      struct context { u64 frame[31]; unsigned int active_cpu; };
      struct thread { struct context context; char name[16]; struct syscall_context *syscall; int tid; struct rbnode n; u64 utime, stime; };
      static struct syscall_context in_futex = {202, {(struct blockq *)-1}}, in_odd = {9999, {(struct blockq *)1}}, in_write = {1};
      static struct thread left = {{{[6] = 0x66, [7] = 0x77, [16] = 0x1616}, -1u}, "worker", &in_futex, 3, {0, {0, 0}}, 1ull << 32, 1ull << 31};
      static struct thread last = {{{0}, -1u}, "", &in_write, 5, {0, {0, 0}}, 0, 0};
      static struct thread right = {{{0}, -1u}, "", &in_odd, 4, {0, {0, &last.n}}, 0, 0};
      static struct thread top = {{{0}, 0}, "main", 0, 2, {0, {&left.n, &right.n}}, 0, 0};
      static struct rbtree threads = {&top.n, 4};
      struct process { int pid; struct rbtree *threads; u64 utime, stime; };
      static struct process kernel = {1, 0, 0, 0}, program = {2, &threads, 3ull << 31, 1ull << 30};
      struct process *processes[2] = {&kernel, &program};`,
    expected: {
      'unikernel.memory.limit': 1 << 28,
      'unikernel.memory.used': 1 << 20,
      'unikernel.memory.free': 255 << 20,
      'unikernel.memory.cached': 40_960,
      'unikernel.memory.available': (255 << 20) + 40_960,
      'unikernel.memory.cache.pages': ['free', 'new', 'active', 'writing'].map((state, index) => ({
        value: index + 1,
        attributes: { state },
      })),
      'unikernel.page_faults': [
        { value: 30, attributes: { type: 'minor' } },
        { value: 4, attributes: { type: 'major' } },
      ],
      'process.cpu.time': [
        { value: 1.5, attributes: { mode: 'user' } },
        { value: 0.25, attributes: { mode: 'system' } },
      ],
    },
    threads: [
      { id: '2', name: 'main', state: 'running', registers: null },
      { id: '3', name: 'worker', state: 'waiting', waitingFor: 'futex', cpuTimeNs: 1_500_000_000 },
      { id: '4', name: 'thread 4', state: 'waiting', waitingFor: 'system call 9999' },
      { id: '5', name: 'thread 5', state: 'runnable', waitingFor: null },
    ],
  },
  {
    probe: 'solo5',
    variant: 'with the libc of ocaml-solo5',
    source: `
      static unsigned long heap_start = 0x200000, mem_size = 0x8000000;
      unsigned long sbrk_start = 0x201000, sbrk_cur = 0x301000;
      unsigned long use(void) { return heap_start++ + mem_size++; }`,
    expected: { 'unikernel.memory.limit': 0x7e00000, 'unikernel.memory.used': 0x100000n },
  },
  ...(['plain', 'atomic'] as const).map((kind) => ({
    probe: 'go',
    variant: kind === 'plain' ? 'as Go 1.16 keeps it' : 'as Go 1.19 and later keep it, in atomics',
    source: `
      typedef unsigned long long u64; typedef long long i64; typedef unsigned int u32; typedef unsigned short u16; typedef unsigned char u8;
      #define ATOMIC ${kind === 'atomic' ? 1 : 0}
      ${kind === 'atomic' ? 'typedef struct { u32 value; } au32; typedef struct { u64 value; } au64; typedef struct { i64 value; } ai64; typedef struct { int value; } ai32;' : 'typedef u32 au32; typedef u64 au64;'}
      #define A(x) ${kind === 'atomic' ? '{x}' : 'x'}
      struct string { const char *str; long len; };
      struct delta { i64 inStacks, inWorkBufs; u64 tinyAllocCount, largeAlloc, largeAllocCount, smallAllocCount[3], largeFree, largeFreeCount, smallFreeCount[3]; };
      #define STATS {{{100, 7, 3, 9000, 1, {0, 10, 20}, 0, 0, {0, 1, 2}}, {-20, 0, 1, 0, 0, {0, 5, 0}, 4000, 1, {0, 0, 1}}}}
      struct {
        struct { struct delta stats[3]; } heapStats;
        u64 pause_total_ns, pause_ns[256]; u32 numgc, numforcedgc; double gc_cpu_fraction;
      #if !ATOMIC
        u64 heap_live, heap_marked, heap_inuse, heap_sys, heap_released, next_gc;
        u64 stacks_sys, mspan_sys, mcache_sys, buckhash_sys, gcMiscSys, other_sys;
      #endif
      } runtime_DOT_memstats = {STATS, 5000, {900, 700, 300}, 3, 1, 0.25,
      #if !ATOMIC
        3000, 1500, 2000, 2700, 200, 4000, 1, 2, 3, 4, 5, 6
      #endif
      };
      #if ATOMIC
      struct {
        ai32 gcPercent; ai64 memoryLimit; au64 gcPercentHeapGoal, sweepDistMinTrigger; u64 triggered; au64 heapLive; u64 heapMarked;
        u64 heapInUse, heapReleased, heapFree; au64 totalAlloc, totalFree, mappedReady;
      } runtime_DOT_gcController = {{100}, {0x7fffffffffffffff}, {4000}, {3500}, ~0ull, {3000}, 1500, 2000, 200, 500, {9000 + 15 * 16 + 20 * 32}, {4000 + 16 + 96}, {2608}};
      #else
      int runtime_DOT_gcpercent = 100;
      u16 runtime_DOT_class_to_size[3] = {0, 16, 32};
      #endif
      struct mspan { u64 nelems, elemsize; u16 allocCount;
      #if ATOMIC
        u16 allocCountBeforeCache;
      #endif
      };
      struct mspan runtime_DOT_emptymspan = {9, 9, 9};
      static struct mspan cached = {10, 32, ATOMIC ? 6 : 8, 
      #if ATOMIC
        4
      #endif
      };
      struct mcache { u64 tinyAllocs; struct mspan *alloc[3]; };
      static struct mcache cache = {2, {&runtime_DOT_emptymspan, &cached, &runtime_DOT_emptymspan}};
      struct g { struct { u64 lo, hi; } stack; struct { u64 sp, pc, bp; } sched; u64 syscallsp, syscallpc; au32 atomicstatus; u64 goid; u8 waitreason; };
      static struct g running = {{0x1000, 0x3000}, {1, 2, 3}, 0, 0, A(2), 1, 0};
      static struct g waiting = {{0x3000, 0x5000}, {0x10, 0x20, 0x30}, 0, 0, A(0x1004), 7, 1};
      static struct g calling = {{0x5000, 0x7000}, {1, 2, 3}, 0x40, 0x50, A(3), 8, 0};
      static struct g dead = {{0, 0}, {0, 0, 0}, 0, 0, A(6), 9, 0};
      static struct g *all[5] = {&running, &waiting, 0, &calling, &dead};
      struct { struct g **array; long len, cap; } runtime_DOT_allgs = {all, 5, 5};
      struct p { struct { int ${kind === 'atomic' ? 'size' : 'n'}; } gFree; u32 runqhead, runqtail; u64 runnext; struct mcache *mcache; };
      static struct p p0 = {{1}, 0xfffffffe, 1, 0x1000, &cache};
      static struct p *ps[1] = {&p0};
      struct { struct p **array; long len, cap; } runtime_DOT_allp = {ps, 1, 1};
      struct { u64 head; int size; } unused;
      #if ATOMIC
      struct { struct { struct { u64 head; int size; } stack, noStack; } gFree; struct { u64 head; int size; } runq; ai32 ngsys, npidle; i64 mnext, nmfreed; int nmidle; }
        runtime_DOT_sched = {{{0, 0}, {0, 0}}, {0, 4}, {1}, {2}, 9, 2, 3};
      #else
      struct { struct { int n; } gFree; int runqsize; u32 ngsys, npidle; i64 mnext, nmfreed; int nmidle; } runtime_DOT_sched = {{0}, 4, 1, 2, 9, 2, 3};
      #endif
      int runtime_DOT_gomaxprocs = 4;
      struct string runtime_DOT_waitReasonStrings[3] = {{"", 0}, {"chan receive and more", 12}, {"sleep", 5}};`,
    expected: {
      'go.memory.gc.cycles': 3,
      'go.memory.gc.forced': 1,
      'go.memory.gc.pause.time': 5000,
      'go.memory.gc.pause.last': 300n,
      'go.memory.gc.pause': [
        { value: 700n, attributes: { quantile: '0.5' } },
        { value: 900n, attributes: { quantile: '0.9' } },
        { value: 900n, attributes: { quantile: '0.99' } },
        { value: 900n, attributes: { quantile: '1' } },
      ],
      'go.memory.gc.goal': 4000n,
      'go.memory.gc.cpu': 0.25,
      'go.config.gogc': 100n,
      'go.memory.limit': { absent: expect.stringContaining('memory limit') as string },
      'go.memory.heap.live': 3000n,
      'go.memory.heap.marked': 1500n,
      'go.memory.heap.used': 2000n,
      'go.memory.heap.free': 500n,
      'go.memory.heap.released': 200n,
      'go.memory.heap.idle': 700n,
      'go.memory.heap.size': 2500n,
      // 9000 in one large object; 15 of 16 bytes, 20 of 32; the cached span has two more, or two that were counted too early.
      'go.memory.allocated': 9000n + 15n * 16n + 20n * 32n + (kind === 'atomic' ? 64n : -64n),
      'go.memory.allocations': 1n + 35n + 4n + 2n + (kind === 'atomic' ? 2n : -2n),
      'go.memory.frees': 1n + 4n + 4n + 2n,
      'go.memory.heap.allocated': 9880n - 4112n + (kind === 'atomic' ? 64n : -64n),
      'go.memory.heap.objects': 36n - 5n + (kind === 'atomic' ? 2n : -2n),
      'go.memory.used': [
        { value: 80n, attributes: { 'go.memory.type': 'stack' } },
        { value: 2528n, attributes: { 'go.memory.type': 'other' } },
      ],
      'go.goroutine.count': 3,
      'go.goroutine.waits': [
        { value: 1, attributes: { reason: 'chan receive' } },
        { value: 0, attributes: { reason: 'sleep' } },
      ],
      'go.schedule.queue': 8,
      'go.processor.limit': 4,
      'go.processor.idle': 2,
      'go.thread.count': 7,
      'go.thread.idle': 3,
    },
    threads: [
      { name: 'goroutine 1', state: 'running', registers: null },
      {
        ...{ name: 'goroutine 7', state: 'waiting', waitingFor: 'chan receive', stack: { base: 0x3000n, size: 0x2000 } },
        registers: { machine: 'x86_64', values: { rip: 0x20n, rsp: 0x10n, rbp: 0x30n } },
      },
      { name: 'goroutine 8', state: 'blocked', registers: { machine: 'x86_64', values: { rip: 0x50n, rsp: 0x40n } } },
    ],
  })),
];
