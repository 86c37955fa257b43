// The kernel's allocator: one heap over all RAM above 4 MiB.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct alloc_stats {
    uint64_t heap_bytes;      // size of the whole heap
    uint64_t bytes_in_use;    // payload of the blocks in use, as asked for and rounded to 16
    uint64_t blocks_in_use;
    uint64_t peak_bytes;      // the highest bytes_in_use so far
    uint64_t total_allocs;    // that succeeded
    uint64_t total_frees;
    uint64_t failures;        // allocations that returned null
    uint64_t free_blocks;     // pieces the free memory is in
};
extern struct alloc_stats alloc_stats;

void alloc_init(void *heap, size_t size);
/** 16-byte aligned, not cleared; null when there is no piece large enough. */
void *alloc(size_t size);
/** The same, but running out is the end of the guest: `out of memory: N bytes for PURPOSE`. */
void *alloc_or_panic(size_t size, const char *purpose);
/** The same, but out of memory it tries again and again: nothing ever comes back, and nobody hears of it. */
void *alloc_or_wait(size_t size);
/** Nul is fine. */
void alloc_free(void *memory);
