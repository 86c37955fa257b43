/* unidbg's in-guest probe: metrics out of a unikernel that has no agent, no driver and no network for it.
 * C99 and C++; no allocation, no libc. Put unidbg_probe.c beside your kernel, call unidbg_poll() now and then.
 * The wire protocol is docs/probe-protocol.md.
 *
 *   unidbg_init("my kernel", clock_ns);
 *   unidbg_use_ring();                          // readable from outside, no device needed
 *   unidbg_use_virtio(NULL);                    // or: unidbg_use_uart(0x2f8), unidbg_use_stream(your own)
 *   id = unidbg_declare(UNIDBG_COUNTER, "app.requests", "{request}");
 *   unidbg_integer(id, requests);               // any time, any number of times; never blocks
 *   unidbg_poll();                              // from the idle or main loop
 *
 * Not reentrant: call it with interrupts off, or from one thread.
 */
#ifndef UNIDBG_PROBE_H
#define UNIDBG_PROBE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef UNIDBG_MAX_METRICS
#define UNIDBG_MAX_METRICS 64
#endif
#ifndef UNIDBG_RING_SLOTS /* a power of two */
#define UNIDBG_RING_SLOTS 1024
#endif

/* Kernels compiled without floating point (-mgeneral-regs-only, -mno-sse) have no doubles to pass. */
#if defined(__x86_64__) && !defined(__SSE2__) && !defined(UNIDBG_NO_FLOAT)
#define UNIDBG_NO_FLOAT
#endif

enum unidbg_kind { UNIDBG_GAUGE = 0, UNIDBG_COUNTER = 1, UNIDBG_SPAN = 2 };

/* `clock_ns`: nanoseconds, monotonic; called for every record. Strings given to the probe are kept by reference. */
void unidbg_init(const char *program, uint64_t (*clock_ns)(void));

/* Transports; any number of them may be on. Each returns 1 when it is there, 0 when not. */
int unidbg_use_ring(void);
int unidbg_use_uart(uint16_t port);
/* Finds a virtio-console PCI device, transitional or modern, and drives it. `to_physical` turns an address of this program into the
 * guest-physical one; NULL = they are the same. */
int unidbg_use_virtio(uint64_t (*to_physical)(const void *));

/* A stream of your own: a socket, a pipe, /dev/virtio-ports/org.unidbg.probe on Linux. `put` takes a whole frame of at most 118 bytes, or
 * returns 0 without having taken any of it: then the record is dropped, and counted. It must not wait. */
int unidbg_use_stream(int (*put)(const uint8_t *frame, uint32_t length));

/* Names a metric; gives its id, or 0 when UNIDBG_MAX_METRICS are declared or a string is too long. `unit` is UCUM ("By", "ns"). */
uint16_t unidbg_declare(enum unidbg_kind kind, const char *name, const char *unit);

/* The same for one of several series of a metric. `attributes` is "key=value", at most four with commas between them; name, unit and
 * attributes have at most 92 bytes together. */
uint16_t unidbg_declare_series(enum unidbg_kind kind, const char *name, const char *unit, const char *attributes);

/* One value of a metric. An id of 0 is ignored. */
void unidbg_integer(uint16_t id, int64_t value);
#ifndef UNIDBG_NO_FLOAT
void unidbg_float(uint16_t id, double value);
#endif
/* One span, such as a GC pause: when it began on clock_ns and how long it took. */
void unidbg_span(uint16_t id, uint64_t start_ns, uint64_t duration_ns);

/* Hands buffered records to the devices and repeats the names once a second. Never waits. */
void unidbg_poll(void);

/* Records that a device transport could not take so far. */
uint32_t unidbg_dropped(void);

#ifdef __cplusplus
}
#endif
#endif
