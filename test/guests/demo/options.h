// What -append says.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum crash_mode {
    CRASH_NONE,
    CRASH_NULL,
    CRASH_WILD,
    CRASH_DIV,
    CRASH_UD2,
    CRASH_GP,
    CRASH_ASSERT,
    CRASH_ABORT,
    CRASH_STACK,
    CRASH_OOM,
    CRASH_DEADLOCK,
    CRASH_HANG,
    CRASH_TRIPLE,
    CRASH_EXIT,
    CRASH_WAIT,
    CRASH_BUSY,
    CRASH_STARVE,
    CRASH_PVPANIC,
};

enum probe_transport { PROBE_RING = 1, PROBE_UART = 2, PROBE_VIRTIO = 4 };

struct options {
    enum crash_mode crash;
    uint64_t after_ms;         // crash=…: not before this uptime
    uint64_t exit_code;        // crash=exit: code=N
    uint64_t flaky;            // flaky=N: crashes in one of N boots, by the time stamp counter
    uint64_t requests;         // requests=N: so many are served, then the machine is switched off
    bool slow;                 // each request takes a second
    bool stuck;                // waits at boot for a device that never comes, before the first word
    bool quiet;                // no line every second
    uint64_t flood_lines;      // rate=N: so many extra lines a second
    bool gc_off;               // gc=off: the runtime never collects, its heap grows
    uint64_t leak_bytes;       // leak=N: so many bytes a second are allocated and lost
    unsigned probe_transports; // probe=ring,uart,virtio: enum probe_transport, or-ed
    char command_line[256];
};
extern struct options options;

/** Reads a command line; says unknown words and unknown crash modes on the console. */
void options_parse(const char *command_line);
