// The ways to crash that -append "crash=MODE after=MS" asks for.
#pragma once

/** flaky=N: decides whether this boot is one that crashes. */
void crash_start(void);
/** Crashes here when it is time to; else does nothing. */
void crash_point(void);
/** crash=deadlock: once it is time to, sleeps a little between two locks, so that both takers meet. Else does nothing. */
void crash_pause_for_deadlock(void);
