// The garbage-collected heap of the language runtime: values, roots, and a copying collector.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * One machine word: NIL (0), an integer (bit 0 set, 63 bits), a symbol (low bits 010, index), a builtin (low bits 110, index),
 * or the address of a heap object (low bits 000).
 */
typedef uint64_t value;

#define NIL 0ul

enum object_kind { OBJECT_CONS, OBJECT_CLOSURE };

/** A heap object: its header and that many values. The header is words << 8 | kind << 1 | 1, or the new address once moved. */
struct object {
    uint64_t header;
    value fields[];
};

enum { GC_PAUSES = 64 };

struct gc_stats {
    uint64_t cycles;                  // collections so far
    uint64_t pause_last_ns;
    uint64_t pause_max_ns;
    uint64_t pause_total_ns;
    uint64_t pauses_ns[GC_PAUSES];    // pause of cycle n (from 0) is at n % GC_PAUSES
    uint64_t heap_size_bytes;         // of the space that is allocated from (a copying heap holds the same again in reserve)
    uint64_t heap_used_bytes;         // live and dead
    uint64_t live_bytes;              // what survived the last collection
    uint64_t allocated_bytes;         // ever
    uint64_t allocated_objects;       // ever
    uint64_t copied_bytes;            // ever, by all collections
    uint64_t last_cycle_at_ns;        // clock time at which the last collection ended
    uint64_t heap_growths;            // how often the heap was made larger
    bool enabled;                     // false with gc=off
};
extern struct gc_stats gc_stats;

void gc_init(bool enabled);
/** Declares a range of values outside the heap as roots. */
void gc_add_roots(value *values, size_t count);
/** A new object, fields NIL. May collect: every value that is still needed must be rooted. */
struct object *gc_allocate(enum object_kind kind, size_t fields);

/** A rooted local variable: valid until the mark it was made after is restored. */
value *gc_root(value initial);
size_t gc_roots_mark(void);
void gc_roots_restore(size_t mark);

static inline bool is_object(value v) { return v != NIL && (v & 7) == 0; }
static inline enum object_kind kind_of(value v) { return (enum object_kind)(((struct object *)v)->header >> 1 & 0x7f); }
