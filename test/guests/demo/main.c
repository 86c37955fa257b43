// Boot order and the periodic hook.
#include "alloc.h"
#include "app.h"
#include "console.h"
#include "descriptors.h"
#include "hook.h"
#include "irq.h"
#include "logger.h"
#include "net.h"
#include "options.h"
#include "paging.h"
#include "probe.h"
#include "pvh.h"
#include "runtime.h"
#include "sched.h"
#include "timer.h"
#include "uart.h"

enum { HOUSEKEEPING_STACK = 16384 };
#define HOUSEKEEPING_PERIOD_NS (10 * NS_PER_MS)

void (*periodic_hook)(void);

static void housekeeping_main(void *argument) {
    (void)argument;
    for (;;) {
        if (periodic_hook != NULL) periodic_hook();
        thread_sleep_ns(HOUSEKEEPING_PERIOD_NS);
    }
}

static volatile bool device_is_ready;

// A driver that trusts its device: interrupts are still off here, and nothing was printed.
static __attribute__((noinline)) void wait_for_device(void) {
    while (!device_is_ready) __builtin_ia32_pause(); // dies: stuck
}

_Noreturn void kernel_main(const struct pvh_start_info *info) {
    uart_init();
    descriptors_init();
    const uint64_t ram_end = pvh_ram_end(info);
    options_parse(pvh_command_line(info));
    if (options.stuck) wait_for_device();
    paging_init(ram_end);
    alloc_init((void *)HEAP_BASE, ((ram_end & ~(LARGE_PAGE_SIZE - 1)) - HEAP_PHYSICAL_START));
    irq_init();
    timer_init();
    sched_init();
    console_printf("demo: unikernel up, %lu MiB of RAM, TSC %lu MHz, command line '%s'\n", ram_end >> 20,
                   clock.tsc_hz / 1000000, options.command_line);
    thread_create("housekeeping", HOUSEKEEPING_STACK, housekeeping_main, NULL);
    app_start();
    runtime_start();
    net_start();
    logger_start();
    probe_start();
    if (extension_start != NULL) extension_start();
    sched_run();
}
