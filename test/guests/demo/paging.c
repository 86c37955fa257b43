// Page tables, 4 levels (Intel SDM vol. 3, 4.5). The map is drawn in paging.h.
#include "paging.h"
#include "cpu.h"
#include "trap.h"

enum { ENTRIES = 512, TABLE_POOL = 22 + IMAGE_TABLES, SMALL_TABLES = IMAGE_TABLES };
#define PRESENT (1ul << 0)
#define WRITABLE (1ul << 1)
#define CACHE_DISABLED (1ul << 4)
#define LARGE (1ul << 7)
#define NO_EXECUTE_BIT (1ul << 63)
#define ADDRESS_MASK 0x000ffffffffff000ul
#define EFER 0xc0000080u
#define EFER_NO_EXECUTE (1ul << 11)
#define CPUID_EXTENDED 0x80000001u
#define CPUID_NO_EXECUTE (1u << 20)
#define CPUID_GIB_PAGES (1u << 26)

typedef uint64_t page_table[ENTRIES];

static page_table pool[TABLE_POOL] __attribute__((aligned(4096)));
static unsigned pool_used;
static uint64_t *root;
static uint64_t no_execute;

extern char text_start[], text_end[], rodata_start[], rodata_end[], boot_stack_guard[];

static uint64_t *new_table(void) {
    ASSERT(pool_used < TABLE_POOL);
    return pool[pool_used++];
}

static unsigned index_at(uint64_t address, unsigned level) { return address >> (12 + 9 * level) & (ENTRIES - 1); }

/** The table of `level` (0 = page table … 3 = root) that holds the entry for an address; made when missing. */
static uint64_t *table_for(uint64_t address, unsigned level) {
    uint64_t *table = root;
    for (unsigned at = 3; at > level; at--) {
        uint64_t *entry = &table[index_at(address, at)];
        if ((*entry & PRESENT) == 0) *entry = (uint64_t)new_table() | PRESENT | WRITABLE;
        table = (uint64_t *)(*entry & ADDRESS_MASK);
    }
    return table;
}

static void map(uint64_t address, uint64_t physical, unsigned level, uint64_t flags) {
    if (level > 0) flags |= LARGE;
    table_for(address, level)[index_at(address, level)] = physical | PRESENT | flags;
}

static uint64_t image_flags(uint64_t address) {
    if (address >= (uint64_t)text_start && address < (uint64_t)text_end) return 0;
    if (address >= (uint64_t)rodata_start && address < (uint64_t)rodata_end) return no_execute;
    return WRITABLE | no_execute;
}

static void map_identity(void) {
    for (uint64_t at = PAGE_SIZE; at < SMALL_TABLES * LARGE_PAGE_SIZE; at += PAGE_SIZE) map(at, at, 0, image_flags(at));
    for (uint64_t at = SMALL_TABLES * LARGE_PAGE_SIZE; at < 1ul << 32; at += LARGE_PAGE_SIZE)
        map(at, at, 1, WRITABLE | no_execute);
}

static void map_direct(uint64_t ram_end) {
    if ((cpuid_edx(CPUID_EXTENDED) & CPUID_GIB_PAGES) != 0) {
        map(DIRECT_MAP_BASE, 0, 2, no_execute);
        return;
    }
    for (uint64_t at = 0; at < ram_end; at += LARGE_PAGE_SIZE) map(DIRECT_MAP_BASE + at, at, 1, no_execute);
}

void paging_init(uint64_t ram_end) {
    if ((cpuid_edx(CPUID_EXTENDED) & CPUID_NO_EXECUTE) != 0) {
        no_execute = NO_EXECUTE_BIT;
        write_msr(EFER, read_msr(EFER) | EFER_NO_EXECUTE);
    }
    root = new_table();
    map_identity();
    map_direct(ram_end);
    for (uint64_t at = HEAP_PHYSICAL_START; at + LARGE_PAGE_SIZE <= ram_end; at += LARGE_PAGE_SIZE)
        map(HEAP_BASE + at - HEAP_PHYSICAL_START, at, 1, WRITABLE | no_execute);
    write_cr3((uint64_t)root);
    paging_unmap((uint64_t)boot_stack_guard);
}

void paging_unmap(uint64_t address) {
    ASSERT(address < SMALL_TABLES * LARGE_PAGE_SIZE);
    table_for(address, 0)[index_at(address, 0)] = 0;
    invalidate_page(address);
}

volatile void *paging_map_device(uint64_t physical, size_t size) {
    if (physical + size <= 1ul << 32) return (volatile void *)physical;
    static uint64_t next = DEVICE_MAP_BASE;
    const uint64_t first = physical & ~(LARGE_PAGE_SIZE - 1);
    const uint64_t base = next;
    for (uint64_t at = first; at < physical + size; at += LARGE_PAGE_SIZE, next += LARGE_PAGE_SIZE)
        map(next, at, 1, WRITABLE | CACHE_DISABLED | no_execute);
    return (volatile void *)(base + (physical - first));
}

uint64_t paging_physical(const void *address) {
    const uint64_t virtual = (uint64_t)address;
    if (virtual >= HEAP_BASE && virtual < DEVICE_MAP_BASE) return virtual - HEAP_BASE + HEAP_PHYSICAL_START;
    if (virtual >= DIRECT_MAP_BASE && virtual < HEAP_BASE) return virtual - DIRECT_MAP_BASE;
    return virtual;
}
