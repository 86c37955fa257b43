// Says BENCH_RATE probe records a second, from BENCH_START_MS of uptime on and for BENCH_MS, a hundredth of them every 10 ms; then only
// its names. What it said it counts itself: bench_said.
#include "console.h"
#include "hook.h"
#include "timer.h"
#include "unidbg_probe.h"

enum { WARM_UP = 400 }; // what every transport keeps, so that nothing is lost by it

// With a large ring the image is larger than usual (paging.h).
#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)
#ifdef IMAGE_TABLES
__asm__(".globl image_limit\n.set image_limit, " TEXT(IMAGE_TABLES) " * 0x200000");
#endif

volatile uint64_t bench_said;

static uint16_t id;

static void say_at_rate(void) {
    const uint64_t start = BENCH_START_MS * NS_PER_MS, now = clock_now_ns();
    if (now >= start) {
        uint64_t elapsed = now - start;
        if (elapsed > BENCH_MS * NS_PER_MS) elapsed = BENCH_MS * NS_PER_MS;
        const uint64_t due = elapsed / 1000 * BENCH_RATE / 1000000;
        while (bench_said < due) {
            bench_said++;
            unidbg_integer(id, (int64_t)bench_said);
        }
    }
    unidbg_poll();
}

// What a record costs here, the clock included; and the clock alone.
static void tell_cost(void) {
    uint64_t from = clock_now_ns(), clocks = 0;
    for (int i = 0; i < WARM_UP; i++) unidbg_integer(id, 0);
    const uint64_t records = clock_now_ns() - from;
    from = clock_now_ns();
    for (int i = 0; i < WARM_UP; i++) clocks += clock_now_ns() & 1;
    const uint64_t reading = clock_now_ns() - from;
    console_printf("bench: %lu ns a record, %lu ns of it the clock%s\n", records / WARM_UP, reading / WARM_UP, clocks == 1 ? "." : "");
}

void extension_start(void) {
    id = unidbg_declare(UNIDBG_COUNTER, "bench.said", "{record}");
    tell_cost();
    periodic_hook = say_at_rate;
}
