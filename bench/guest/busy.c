// Keeps the demo guest's CPU busy for ever, a unit of work at a time: bench_work is how much work the guest gets done.
#include "hook.h"
#include "sched.h"

enum { UNIT = 20000, STACK = 16 * 1024 };

volatile uint64_t bench_work;

// Many frames deep, so that a look at the stack has something to walk.
static uint64_t __attribute__((noinline)) work_below(uint32_t depth, uint64_t value) {
    if (depth > 0) return work_below(depth - 1, value) + 1;
    for (uint32_t i = 0; i < UNIT; i++) value = value * 6364136223846793005ul + 1442695040888963407ul;
    return value;
}

static void busy_main(void *argument) {
    (void)argument;
    uint64_t value = 1;
    while (1) {
        value = work_below(12, value);
        bench_work += 1 + (value == 0);
        thread_yield();
    }
}

void extension_start(void) { thread_create("busy", STACK, busy_main, NULL); }
