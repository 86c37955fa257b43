// The in-guest probe (probes/guest/unidbg_probe.h) as any kernel would use it: ten times a second this one says what it
// counts, and every collection as it happens. The names are its own (demo.…): what unidbg reads from outside of the same
// globals has OpenTelemetry's names, and the two are never mixed up. Threads are cooperative and interrupt handlers say
// nothing, so no call of the probe ever meets another.
#include "probe.h"
#include "alloc.h"
#include "app.h"
#include "console.h"
#include "gc.h"
#include "hook.h"
#include "net.h"
#include "options.h"
#include "timer.h"
#include "unidbg_probe.h"

enum { COM2 = 0x2f8 };
#define SAMPLE_PERIOD_NS (100 * NS_PER_MS)

static const struct {
    enum unidbg_kind kind;
    const char *name, *unit;
    const uint64_t *source;
} counted[] = {
    {UNIDBG_COUNTER, "demo.app.requests", "{request}", &app_stats.requests},
    {UNIDBG_COUNTER, "demo.app.response.size", "By", &app_stats.response_bytes},
    {UNIDBG_COUNTER, "demo.app.jobs", "{job}", &app_stats.jobs},
    {UNIDBG_GAUGE, "demo.memory.used", "By", &alloc_stats.bytes_in_use},
    {UNIDBG_COUNTER, "demo.memory.allocations", "{allocation}", &alloc_stats.total_allocs},
    {UNIDBG_COUNTER, "demo.gc.cycles", "{cycle}", &gc_stats.cycles},
    {UNIDBG_COUNTER, "demo.gc.pause.time", "ns", &gc_stats.pause_total_ns},
    {UNIDBG_GAUGE, "demo.gc.heap.live", "By", &gc_stats.live_bytes},
    {UNIDBG_COUNTER, "demo.network.received", "{packet}", &net_stats.rx_packets},
    {UNIDBG_COUNTER, "demo.network.sent", "{packet}", &net_stats.tx_packets},
};
enum { COUNTED = sizeof counted / sizeof counted[0] };

static uint16_t ids[COUNTED];
static uint16_t gc_pause;
static uint64_t sampled_at_ns;

static void sample(void) {
    if (clock_now_ns() - sampled_at_ns >= SAMPLE_PERIOD_NS) {
        sampled_at_ns = clock_now_ns();
        for (unsigned i = 0; i < COUNTED; i++) unidbg_integer(ids[i], (int64_t)*counted[i].source);
    }
    unidbg_poll();
}

void probe_start(void) {
    if (options.probe_transports == 0) return;
    unidbg_init("demo", clock_now_ns);
    if ((options.probe_transports & PROBE_RING) != 0) unidbg_use_ring();
    if ((options.probe_transports & PROBE_UART) != 0 && !unidbg_use_uart(COM2))
        console_printf("probe: there is no second UART\n");
    if ((options.probe_transports & PROBE_VIRTIO) != 0 && !unidbg_use_virtio(NULL))
        console_printf("probe: there is no transitional virtio-serial device with a port\n");
    for (unsigned i = 0; i < COUNTED; i++) ids[i] = unidbg_declare(counted[i].kind, counted[i].name, counted[i].unit);
    gc_pause = unidbg_declare(UNIDBG_SPAN, "demo.gc.pause", "ns");
    periodic_hook = sample;
}

void probe_gc_pause(uint64_t start_ns, uint64_t duration_ns) { unidbg_span(gc_pause, start_ns, duration_ns); }
