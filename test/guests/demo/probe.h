// What the guest tells unidbg of itself through the in-guest probe.
#pragma once
#include <stdint.h>

/** Opens the transports of `probe=` and takes periodic_hook. */
void probe_start(void);
/** One collection's pause, on clock_now_ns. */
void probe_gc_pause(uint64_t start_ns, uint64_t duration_ns);
