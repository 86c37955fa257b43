// Where a guest probe hooks in.
#pragma once

/** Called about every 10 ms from the thread `housekeeping`, which may sleep and allocate; null when nobody listens. */
extern void (*periodic_hook)(void);

/**
 * An image may be linked with more sources (build.ts): what they define under this name is called once at boot, when memory,
 * time, PCI and threads are there and interrupts are still off. It may set periodic_hook and panic_hook.
 */
__attribute__((weak)) void extension_start(void);
