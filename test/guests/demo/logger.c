// The line every second, the console flood (rate=N) and the leak (leak=N). It asks the application for its numbers under the
// application's lock, so when the application deadlocks, this falls silent too.
#include "logger.h"
#include "alloc.h"
#include "app.h"
#include "console.h"
#include "gc.h"
#include "options.h"
#include "sched.h"
#include "timer.h"
#include <stdbool.h>

enum { LOGGER_STACK = 16384, FLOOD_LINES_A_TURN = 100 };
#define LOGGER_PERIOD_NS (10 * NS_PER_MS)
#define STATUS_PERIOD_NS NS_PER_SECOND

static void print_status(uint64_t now) {
    const struct app_stats app = app_take_stats();
    if (options.quiet) return;
    console_printf("demo: up %lu.%03lus requests %lu jobs %lu gc %lu cycles live %lu KiB heap %lu KiB in %lu blocks\n",
                   now / NS_PER_SECOND, now % NS_PER_SECOND / NS_PER_MS, app.requests, app.jobs, gc_stats.cycles,
                   gc_stats.live_bytes / 1024, alloc_stats.bytes_in_use / 1024, alloc_stats.blocks_in_use);
}

// What is due by `now` at `per_second` and has not been done yet: floods and leaks keep their rate over a slow host.
static uint64_t still_due(uint64_t per_second, uint64_t now, uint64_t done) {
    const uint64_t due = now / NS_PER_MS * per_second / 1000;
    return due > done ? due - done : 0;
}

/** Returns whether there is more to say at once: a flood beyond what the port takes must not starve the other threads. */
static bool flood(uint64_t now) {
    static uint64_t done;
    const uint64_t left = still_due(options.flood_lines, now, done);
    for (uint64_t i = 0; i < left && i < FLOOD_LINES_A_TURN; i++, done++)
        console_printf("demo: flood line %lu of a console that says too much\n", done);
    return left > FLOOD_LINES_A_TURN;
}

static void leak(uint64_t now) {
    static uint64_t done;
    const uint64_t size = still_due(options.leak_bytes, now, done);
    if (size == 0) return;
    alloc_or_panic(size, "a leak");
    done += size;
}

static void logger_main(void *argument) {
    (void)argument;
    uint64_t next_status = STATUS_PERIOD_NS;
    for (;;) {
        const uint64_t now = clock_now_ns();
        if (now >= next_status) {
            print_status(now);
            next_status += STATUS_PERIOD_NS;
        }
        leak(now);
        if (flood(now)) thread_yield();
        else thread_sleep_ns(LOGGER_PERIOD_NS);
    }
}

void logger_start(void) { thread_create("logger", LOGGER_STACK, logger_main, NULL); }
