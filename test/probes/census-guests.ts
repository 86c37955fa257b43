// Guests whose heaps a census must read: as in guests.ts, with blocks laid out as each allocator lays them.

import type { ProbeGuestSource } from './guests.ts';

const GO: readonly ProbeGuestSource[] = (['plain', 'atomic'] as const).map((kind) => ({
  probe: 'go',
  variant: `a heap of four spans, ${kind === 'plain' ? 'as Go 1.16 keeps them' : 'as Go 1.22 and later keep them'}`,
  untyped: true,
  source: `
    typedef unsigned long u64; typedef unsigned short u16; typedef unsigned char u8;
    typedef ${kind === 'plain' ? 'u64' : 'u16'} slots;
    typedef struct { ${kind === 'plain' ? 'u8 s;' : 'struct { u8 value; } s;'} } state_box;
    struct mspan { struct mspan *next; u64 startAddr, npages; slots nelems; u64 elemsize; u16 allocCount; u8 spanclass; state_box state; };
    #define IN_USE {${kind === 'plain' ? '1' : '{1}'}}
    #define MANUAL {${kind === 'plain' ? '2' : '{2}'}}
    static u64 lists[1024] __attribute__((aligned(8192))), texts[1024] __attribute__((aligned(8192))), large[2048] __attribute__((aligned(8192))),
      stack[1024] __attribute__((aligned(8192)));
    /* Two lists are in use: the first is a ring of both, the second holds a text; nobody holds the other text. */
    static u64 lists[1024] = {[0] = (u64)&lists[2], [1] = (u64)&texts[4], [2] = (u64)&lists[0], [3] = 7};
    static struct mspan spans[4] = {
      {0, (u64)lists, 1, 512, 16, 2, 2 << 1, IN_USE},
      {0, (u64)texts, 1, 256, 32, 2, 3 << 1 | 1, IN_USE},
      {0, (u64)large, 2, 1, 16384, 1, 0 << 1 | 1, IN_USE},
      {0, (u64)stack, 1, 1, 8192, 1, 0, MANUAL},
    };
    static struct mspan *all[4] = {&spans[2], &spans[0], &spans[3], &spans[1]};
    struct { struct { struct mspan **array; long len, cap; } allspans; } runtime_DOT_mheap_ = {{all, 4, 4}};
    extern char runtime_DOT_data[], runtime_DOT_edata[], runtime_DOT_bss[], runtime_DOT_ebss[];
    struct { u64 *kept, *blob, number; } variables __asm__("main.kept") = {&lists[2], large, 9};
    __asm__(".globl runtime_DOT_data, runtime_DOT_edata, runtime_DOT_bss, runtime_DOT_ebss\\n"
            "runtime_DOT_data = main.kept\\n runtime_DOT_edata = main.kept + 24\\n runtime_DOT_bss = main.kept\\n runtime_DOT_ebss = main.kept\\n"
            ".size runtime_DOT_data, 0\\n .size runtime_DOT_edata, 0\\n .size runtime_DOT_bss, 0\\n .size runtime_DOT_ebss, 0");`,
  expected: {},
  census: {
    heap: 'Go',
    by: 'size-class',
    totalBytes: 2 * 16 + 2 * 32 + 16_384,
    rows: [
      { name: '16 KiB without pointers', count: 1, bytes: 16_384 },
      { name: '32 B without pointers', count: 2, bytes: 64 },
      { name: '16 B with pointers', count: 2, bytes: 32 },
    ],
    roots: [
      { name: 'main.kept', count: 4, bytes: 16_384 + 32 + 32 },
      { name: 'nothing: garbage that is not collected yet', count: null, bytes: 32 },
    ],
    rootsAbsent: null,
  },
}));

const OCAML_TYPES = `typedef unsigned long uintnat; typedef long value; typedef unsigned long header_t;
  #define HEADER(words, colour, tag) ((header_t)(words) << 10 | (colour) << 8 | (tag))
  #define OF(array, index) ((value)&(array)[index])`;

const OCAML: readonly ProbeGuestSource[] = [
  {
    probe: 'ocaml',
    variant: 'a chunk of OCaml 4',
    source: `${OCAML_TYPES}
      typedef struct { void *block; uintnat alloc, size; char *next; value *redarken_start, *redarken_end; } heap_chunk_head;
      typedef struct { value *young_ptr, *young_alloc_end; char *top_of_stack, *bottom_of_stack; } caml_domain_state;
      /* A pair, a free block, a string of two words, a leftover of one word, a float. */
      static struct { heap_chunk_head head; header_t words[16]; } chunk = {
        {0, 0, 12 * 8, 0},
        {HEADER(2, 3, 0), 0, 5, HEADER(1, 2, 0), 0, HEADER(2, 0, 252), 1, 2, 0, HEADER(1, 1, 253), 3, 0}};
      header_t minor_heap[8] = {[4] = HEADER(2, 0, 0), 1, 3};
      static header_t on_stack[2] = {7, (header_t)&minor_heap[5]};
      static caml_domain_state state = {(value *)&minor_heap[4], (value *)&minor_heap[7], (char *)&on_stack[2], (char *)on_stack};
      caml_domain_state *Caml_state = &state;
      char *caml_heap_start = (char *)chunk.words;
      struct { header_t header; value fields[2]; } module __asm__("camlApp__Store") = {HEADER(2, 3, 0), {OF(chunk.words, 1), 9}};
      static value gc_roots[2] = {(value)module.fields, 0};
      value *caml_globals[2] = {gc_roots, 0};`,
    expected: {},
    census: {
      heap: 'OCaml',
      totalBytes: 24 + 24 + 16 + 24,
      rows: [
        { name: 'block of 2 fields, tag 0', count: 2, bytes: 48 },
        { name: 'string of up to 16 B', count: 1, bytes: 24 },
        { name: 'float', count: 1, bytes: 16 },
      ],
      roots: [
        { name: 'nothing: garbage that is not swept yet, or what a function held that an exception has ended', bytes: 40 },
        { name: 'module App.Store', count: 1, bytes: 24 },
        { name: 'the stack', count: 1, bytes: 24 },
      ],
      rootsAbsent: null,
    },
  },
  {
    probe: 'ocaml',
    variant: 'pools of OCaml 5',
    source: `${OCAML_TYPES}
      typedef struct pool { struct pool *next; value *next_obj; void *owner; unsigned int sz; } pool;
      typedef struct large_alloc { void *owner; struct large_alloc *next; } large_alloc;
      static const unsigned int wsize_sizeclass[2] = {2, 3};
      static const unsigned char wastage_sizeclass[2] = {0, 1};
      struct heap_stats { long pool_words; };
      struct caml_heap_state {
        pool *avail_pools[2], *full_pools[2], *unswept_avail_pools[2], *unswept_full_pools[2];
        large_alloc *swept_large, *unswept_large;
        struct heap_stats stats;
      };
      struct page { pool head; header_t words[4092]; };
      /* Wasted word, then slots of three: a pair, a free one, a pair of which the second is told by nobody. */
      static struct page pairs = {{0, 0, 0, 1}, {0, HEADER(2, 0, 0), 1, 3, 0, 0, 0, HEADER(2, 1, 0), 5, 7}};
      static struct page floats = {{0, 0, 0, 0}, {HEADER(1, 0, 253), 4}};
      static struct { large_alloc head; header_t words[300]; } text = {{0, 0}, {HEADER(256, 0, 252)}};
      static struct caml_heap_state heap = {{0, &pairs.head}, {&floats.head}, {0}, {0}, 0, &text.head, {1}};
      struct stack_info { void *sp, *exception_ptr; void *handler; };
      static header_t on_stack[1] = {(header_t)&floats.words[1]};
      static struct stack_info current = {on_stack, 0, &on_stack[1]};
      typedef struct { value *young_ptr, *young_end; struct caml_heap_state *shared_heap; struct stack_info *current_stack; } caml_domain_state;
      static caml_domain_state state = {0, 0, &heap, &current};
      struct dom_internal { int id; caml_domain_state *state; };
      struct dom_internal all_domains[2] = {{0, &state}};
      const void *use[] = {wsize_sizeclass, wastage_sizeclass};
      struct { header_t header; value fields[2]; } module __asm__("camlApp.gc_roots") = {HEADER(2, 3, 0), {(value)&pairs.words[2], OF(text.words, 1)}};
      static value gc_roots[2] = {(value)module.fields, 0};
      value *caml_globals[2] = {gc_roots, 0};`,
    expected: {},
    census: {
      heap: 'OCaml',
      totalBytes: 24 + 24 + 16 + 257 * 8,
      rows: [
        { name: 'string of up to 2 KiB', count: 1, bytes: 2056 },
        { name: 'block of 2 fields, tag 0', count: 2, bytes: 48 },
        { name: 'float', count: 1, bytes: 16 },
      ],
      roots: [
        { name: 'module App', count: 2, bytes: 2080 },
        { name: 'nothing: garbage that is not swept yet, or what a function held that an exception has ended', bytes: 24 },
        { name: 'the stack', count: 1, bytes: 16 },
      ],
    },
  },
];

const KERNELS: readonly ProbeGuestSource[] = [
  {
    probe: 'ukalloc',
    variant: 'two mallocs over pages, and a page of its own',
    source: `
      struct uk_alloc { void *(*palloc)(void); struct uk_alloc *next; signed char priv[]; };
      struct uk_bbpalloc_memr { struct uk_bbpalloc_memr *next; unsigned long first_page, nr_pages, *mm_alloc_bitmap; };
      struct uk_bbpalloc { unsigned long nr_free_pages; struct uk_bbpalloc_memr *memr_head; };
      struct metadata_ifpages { unsigned long size, num_pages; void *base; };
      struct metadata_ifpages *used_by_malloc;
      void *bbuddy_palloc(void) { return 0; }
      /* Three pages for one malloc take four; one for another; one that is no malloc; then two are free. */
      static union { struct metadata_ifpages metadata; char bytes[4096]; } pages[8] __attribute__((aligned(4096))) = {
        {{10000, 3, &pages[0]}}, {{0}}, {{0}}, {{0}}, {{80, 1, &pages[4]}}, {{80, 1, &pages[3]}}};
      static unsigned long bitmap[1] = {0x3f};
      static struct uk_bbpalloc_memr region = {0, (unsigned long)pages, 8, bitmap};
      struct { struct uk_alloc a; struct uk_bbpalloc b; } heap = {{bbuddy_palloc, 0}, {2, &region}};
      struct uk_alloc *_uk_alloc_head = &heap.a;`,
    expected: { 'unikernel.memory.used': 6 * 4096 },
    census: {
      heap: 'Unikraft (bbuddy)',
      totalBytes: 6 * 4096,
      rows: [
        { name: 'malloc of 10000 B in 16 KiB', count: 1, bytes: 16_384 },
        { name: 'malloc of 80 B in 4 KiB', count: 1, bytes: 4096 },
        { name: 'pages that are no malloc of their own', count: 1, bytes: 4096 },
      ],
      roots: null,
    },
  },
  {
    probe: 'dlmalloc',
    variant: 'a segment of four chunks and the rest',
    untyped: true,
    source: `
      static unsigned long chunks[40] __attribute__((aligned(16))) = {[1] = 32 | 3, [5] = 64 | 1, [13] = 32 | 3, [17] = 48 | 3, [23] = 128 | 1};
      struct { unsigned long maps, dvsize, topsize, least, dv; void *top; unsigned long checks[2], magic; char bins[784]; unsigned long footprint, peak, limit, flags;
        void *base; unsigned long size, next, segment_flags, ext[2]; } _gm_ = {0, 0, 128, 0, 0, &chunks[22], {0}, 77, {0}, 304, 304, 0, 0, chunks, 304};
      struct { unsigned long magic; } mparams = {77};`,
    expected: { 'unikernel.malloc.footprint': 304n },
    census: {
      heap: 'malloc (dlmalloc)',
      totalBytes: 112,
      rows: [
        { name: 'chunks of 32 B', count: 2, bytes: 64 },
        { name: 'chunks of 48 B', count: 1, bytes: 48 },
      ],
      roots: null,
    },
  },
];

/** Each with what its census must tell. */
export const CENSUS_GUESTS: readonly ProbeGuestSource[] = [...GO, ...OCAML, ...KERNELS];
