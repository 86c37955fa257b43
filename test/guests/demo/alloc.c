// A boundary-tag allocator (Knuth, TAOCP 1, 2.5): blocks lie side by side, each knows its size and the one before it, free
// neighbours are joined at once. Free blocks are kept in lists by the power of two of their size; first fit in a list.
#include "alloc.h"
#include "string.h"
#include "trap.h"
#include <stdbool.h>

enum { ALIGNMENT = 16, CLASSES = 40 };
#define IN_USE_MAGIC 0xa110ca7ed0000000ul
#define FREE_MAGIC 0xf4eeb10c00000000ul

struct block {
    uint64_t magic;
    uint64_t size;          // of the payload
    struct block *previous; // the block just below, null for the first
    uint64_t padding;
};

/** A free block's payload. */
struct links {
    struct block *next, *previous;
};

struct alloc_stats alloc_stats;
static struct block *free_lists[CLASSES];
static char *heap_end;

static struct links *links_of(struct block *block) { return (struct links *)(block + 1); }

static struct block *block_above(struct block *block) {
    char *above = (char *)(block + 1) + block->size;
    return above < heap_end ? (struct block *)above : NULL;
}

static unsigned class_of(size_t size) { return 63 - (unsigned)__builtin_clzll(size); }

static void insert_free(struct block *block) {
    struct block **list = &free_lists[class_of(block->size)];
    block->magic = FREE_MAGIC;
    *links_of(block) = (struct links){*list, NULL};
    if (*list != NULL) links_of(*list)->previous = block;
    *list = block;
    alloc_stats.free_blocks++;
}

static void remove_free(struct block *block) {
    const struct links *links = links_of(block);
    if (links->previous != NULL) links_of(links->previous)->next = links->next;
    else free_lists[class_of(block->size)] = links->next;
    if (links->next != NULL) links_of(links->next)->previous = links->previous;
    alloc_stats.free_blocks--;
}

static struct block *find_fit(size_t size) {
    for (unsigned class = class_of(size); class < CLASSES; class++)
        for (struct block *at = free_lists[class]; at != NULL; at = links_of(at)->next)
            if (at->size >= size) return at;
    return NULL;
}

/** Cuts what `block` has beyond `size` off into a free block of its own, when it is worth one. */
static void split(struct block *block, size_t size) {
    if (block->size < size + sizeof(struct block) + ALIGNMENT) return;
    struct block *rest = (struct block *)((char *)(block + 1) + size);
    *rest = (struct block){.size = block->size - size - sizeof(struct block), .previous = block};
    block->size = size;
    struct block *above = block_above(rest);
    if (above != NULL) above->previous = rest;
    insert_free(rest);
}

static void join_with_above(struct block *block) {
    struct block *above = block_above(block);
    if (above == NULL || above->magic != FREE_MAGIC) return;
    remove_free(above);
    block->size += sizeof(struct block) + above->size;
    above->magic = 0;
    struct block *next = block_above(block);
    if (next != NULL) next->previous = block;
}

/** The block that then holds both: the one below when that was free, else the block itself. */
static struct block *join_with_below(struct block *block) {
    struct block *below = block->previous;
    if (below == NULL || below->magic != FREE_MAGIC) return block;
    remove_free(below);
    below->size += sizeof(struct block) + block->size;
    block->magic = 0;
    struct block *next = block_above(below);
    if (next != NULL) next->previous = below;
    return below;
}

void alloc_init(void *heap, size_t size) {
    struct block *first = heap;
    heap_end = (char *)heap + size;
    *first = (struct block){.size = size - sizeof(struct block)};
    alloc_stats.heap_bytes = size;
    insert_free(first);
}

void *alloc(size_t size) {
    const size_t rounded = size < ALIGNMENT ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct block *block = rounded >= size ? find_fit(rounded) : NULL;
    if (block == NULL) {
        alloc_stats.failures++;
        return NULL;
    }
    remove_free(block);
    split(block, rounded);
    block->magic = IN_USE_MAGIC;
    alloc_stats.total_allocs++;
    alloc_stats.blocks_in_use++;
    alloc_stats.bytes_in_use += block->size;
    if (alloc_stats.bytes_in_use > alloc_stats.peak_bytes) alloc_stats.peak_bytes = alloc_stats.bytes_in_use;
    return block + 1;
}

void *alloc_or_panic(size_t size, const char *purpose) {
    void *memory = alloc(size);
    if (memory == NULL) panic("out of memory: %zu bytes for %s", size, purpose);
    return memory;
}

void *alloc_or_wait(size_t size) {
    for (;;) {
        void *memory = alloc(size);
        if (memory != NULL) return memory;
        __builtin_ia32_pause();
    }
}

void alloc_free(void *memory) {
    if (memory == NULL) return;
    struct block *block = (struct block *)memory - 1;
    ASSERT(block->magic == IN_USE_MAGIC);
    alloc_stats.total_frees++;
    alloc_stats.blocks_in_use--;
    alloc_stats.bytes_in_use -= block->size;
    join_with_above(block);
    insert_free(join_with_below(block));
}
