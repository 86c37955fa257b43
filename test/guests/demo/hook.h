// Where a guest probe hooks in.
#pragma once

/** Called about every 10 ms from the thread `housekeeping`, which may sleep and allocate; null when nobody listens. */
extern void (*periodic_hook)(void);
