// Time: a 100 Hz tick and a monotonic clock.
#pragma once
#include <stdint.h>

enum { TICK_HZ = 100 };
#define NS_PER_SECOND 1000000000ul
#define NS_PER_MS 1000000ul

/** Ticks since boot. Stands still while the guest is stopped, and when interrupts stay off. */
extern volatile uint64_t tick_count;

struct clock {
    uint64_t tsc_hz;                 // measured against the PIT at boot
    uint64_t boot_tsc;               // the time stamp counter at clock zero
    volatile uint64_t monotonic_ns;  // the clock at the last tick
};
extern struct clock clock;

/** Measures the TSC, starts the tick. Interrupts are still off. */
void timer_init(void);
/** Nanoseconds since boot. */
uint64_t clock_now_ns(void);
