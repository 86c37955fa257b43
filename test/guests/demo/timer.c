// Intel 8254 PIT channel 0 at 100 Hz on IRQ 0, and the time stamp counter measured against it.
#include "timer.h"
#include "cpu.h"
#include "irq.h"

enum { CHANNEL_0 = 0x40, COMMAND = 0x43, LATCH_CHANNEL_0 = 0x00, RATE_GENERATOR = 0x34 };
enum { PIT_HZ = 1193182, DIVISOR = (PIT_HZ + TICK_HZ / 2) / TICK_HZ, MEASURE_COUNTS = PIT_HZ / 100, MEASUREMENTS = 3 };

volatile uint64_t tick_count;
struct clock clock;

static uint16_t read_pit(void) {
    outb(COMMAND, LATCH_CHANNEL_0);
    const uint8_t low = inb(CHANNEL_0);
    return (uint16_t)(inb(CHANNEL_0) << 8 | low);
}

static uint64_t measure_tsc_hz(void) {
    uint64_t counts = 0;
    uint16_t last = read_pit();
    const uint64_t start = read_tsc();
    while (counts < MEASURE_COUNTS) {
        const uint16_t now = read_pit();
        counts += (uint16_t)(last >= now ? last - now : last + DIVISOR - now);
        last = now;
    }
    return (read_tsc() - start) * PIT_HZ / counts;
}

static void tick(void) {
    tick_count++;
    clock.monotonic_ns = clock_now_ns();
}

void timer_init(void) {
    outb(COMMAND, RATE_GENERATOR);
    outb(CHANNEL_0, DIVISOR & 0xff);
    outb(CHANNEL_0, DIVISOR >> 8);
    // A host that takes the CPU away for a whole period hides it from us, which can only make the TSC look too fast.
    for (int i = 0; i < MEASUREMENTS; i++) {
        const uint64_t hz = measure_tsc_hz();
        if (clock.tsc_hz == 0 || hz < clock.tsc_hz) clock.tsc_hz = hz;
    }
    clock.boot_tsc = read_tsc();
    irq_listen(0, tick);
}

uint64_t clock_now_ns(void) {
    const uint64_t elapsed = read_tsc() - clock.boot_tsc;
    return elapsed / clock.tsc_hz * NS_PER_SECOND + elapsed % clock.tsc_hz * NS_PER_SECOND / clock.tsc_hz;
}
