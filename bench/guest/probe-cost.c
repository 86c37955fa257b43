// What a record of the in-guest probe costs, on the host's own CPU: over the ring alone, and framed for a stream that takes everything.
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>
#include "unidbg_probe.c"

enum { RECORDS = 5000000, ROUNDS = 7 };

static uint64_t no_clock(void) { return 1; }
static uint64_t tsc(void) { return __rdtsc(); }
static int take(const uint8_t *frame, uint32_t length) { return frame[length - 1] == 0; }

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void measure(const char *title, uint16_t id, uint64_t (*clock_ns)(void)) {
    double best = 1e9;
    probe.clock_ns = clock_ns;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t from = now_ns();
        for (int64_t i = 0; i < RECORDS; i++) unidbg_integer(id, i);
        const double each = (double)(now_ns() - from) / RECORDS;
        if (each < best) best = each;
    }
    printf("%s\t%.1f\n", title, best);
}

int main(void) {
    unidbg_init("cost", no_clock);
    unidbg_use_ring();
    uint16_t id = unidbg_declare(UNIDBG_COUNTER, "bench.said", "{record}");
    measure("RAM ring, no clock", id, no_clock);
    measure("RAM ring, rdtsc as the clock", id, tsc);
    measure("RAM ring, clock_gettime as the clock", id, now_ns);
    unidbg_use_stream(take);
    measure("RAM ring and a byte stream (CRC, COBS), rdtsc", id, tsc);
    return 0;
}
