// A copying collector (Cheney, "A Nonrecursive List Compacting Algorithm", 1970): two spaces, objects are copied breadth
// first from one to the other. It runs when the space is full. When more than half of it survives, the next one is twice
// as large. With gc=off the space is extended by chunks instead, until the kernel's heap is used up.
#include "gc.h"
#include "alloc.h"
#include "probe.h"
#include "string.h"
#include "timer.h"
#include "trap.h"

enum { SPACE_SIZE = 256 * 1024, MAX_ROOTS = 16384, MAX_ROOT_RANGES = 4 };

struct space {
    char *base, *next, *end;
};

struct gc_stats gc_stats;

static struct space active, reserve;
static value roots[MAX_ROOTS];
static size_t root_count;
static struct {
    value *values;
    size_t count;
} root_ranges[MAX_ROOT_RANGES];
static size_t root_range_count;

static struct space new_space(size_t size) {
    char *base = alloc_or_panic(size, "the runtime's heap");
    return (struct space){base, base, base + size};
}

static size_t size_of(const struct space *space) { return (size_t)(space->end - space->base); }
static size_t object_size(uint64_t header) { return sizeof(struct object) + (header >> 8) * sizeof(value); }

void gc_init(bool enabled) {
    active = new_space(SPACE_SIZE);
    if (enabled) reserve = new_space(SPACE_SIZE);
    gc_stats.enabled = enabled;
    gc_stats.heap_size_bytes = SPACE_SIZE;
}

void gc_add_roots(value *values, size_t count) {
    ASSERT(root_range_count < MAX_ROOT_RANGES);
    root_ranges[root_range_count].values = values;
    root_ranges[root_range_count++].count = count;
}

value *gc_root(value initial) {
    if (root_count == MAX_ROOTS) panic("runtime: root stack is full");
    roots[root_count] = initial;
    return &roots[root_count++];
}

size_t gc_roots_mark(void) { return root_count; }
void gc_roots_restore(size_t mark) { root_count = mark; }

/** The new address of a value; copies its object when that has not been done. */
static value forward(value v, struct space *to) {
    if (!is_object(v)) return v;
    struct object *object = (struct object *)v;
    if ((object->header & 1) == 0) return object->header;
    const size_t size = object_size(object->header);
    memcpy(to->next, object, size);
    object->header = (uint64_t)to->next;
    to->next += size;
    return object->header;
}

static void copy_live(struct space *to) {
    for (size_t i = 0; i < root_count; i++) roots[i] = forward(roots[i], to);
    for (size_t r = 0; r < root_range_count; r++)
        for (size_t i = 0; i < root_ranges[r].count; i++) root_ranges[r].values[i] = forward(root_ranges[r].values[i], to);
    for (char *scan = to->base; scan < to->next;) {
        struct object *object = (struct object *)scan;
        const size_t fields = object->header >> 8;
        for (size_t i = 0; i < fields; i++) object->fields[i] = forward(object->fields[i], to);
        scan += object_size(object->header);
    }
}

static void record_pause(uint64_t start_ns, uint64_t live) {
    const uint64_t now = clock_now_ns();
    const uint64_t pause = now - start_ns;
    gc_stats.pauses_ns[gc_stats.cycles % GC_PAUSES] = pause;
    gc_stats.pause_last_ns = pause;
    gc_stats.pause_total_ns += pause;
    if (pause > gc_stats.pause_max_ns) gc_stats.pause_max_ns = pause;
    gc_stats.live_bytes = gc_stats.heap_used_bytes = live;
    gc_stats.copied_bytes += live;
    gc_stats.last_cycle_at_ns = now;
    gc_stats.cycles++;
    probe_gc_pause(start_ns, pause);
}

static void resize_reserve(size_t size) {
    if (size_of(&reserve) == size) return;
    alloc_free(reserve.base);
    reserve = new_space(size);
}

__attribute__((noinline)) static void gc_collect(void) {
    const uint64_t start_ns = clock_now_ns();
    resize_reserve(gc_stats.heap_size_bytes);
    reserve.next = reserve.base;
    copy_live(&reserve);
    const struct space old = active;
    active = reserve;
    reserve = old;
    const uint64_t live = (uint64_t)(active.next - active.base);
    if (live > size_of(&active) / 2) {
        gc_stats.heap_size_bytes *= 2;
        gc_stats.heap_growths++;
        // The larger space is used from the next collection on; what is left of this one must do until then.
    }
    record_pause(start_ns, live);
}

static void extend(void) {
    active = new_space(SPACE_SIZE);
    gc_stats.heap_size_bytes += SPACE_SIZE;
    gc_stats.heap_growths++;
}

struct object *gc_allocate(enum object_kind kind, size_t fields) {
    const uint64_t header = fields << 8 | (uint64_t)kind << 1 | 1;
    const size_t size = object_size(header);
    if (active.next + size > active.end) {
        if (gc_stats.enabled) gc_collect();
        else extend();
        if (active.next + size > active.end) panic("runtime: heap exhausted: %zu bytes", size);
    }
    struct object *object = (struct object *)active.next;
    active.next += size;
    object->header = header;
    for (size_t i = 0; i < fields; i++) object->fields[i] = NIL;
    gc_stats.heap_used_bytes += size;
    gc_stats.allocated_bytes += size;
    gc_stats.allocated_objects++;
    return object;
}
