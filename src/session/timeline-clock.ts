// The time line of a recording: spans between its events, by clocks that stand still, are set back or jump.

/**
 * So much earlier than the event before is a clock that was set back; less is an event that was told a little late (threads are told after
 * their stacks, and bear the time at which they were read).
 */
const SET_BACK_MS = 2_000;

/** The clock behind an event. Spans are ms; `at` and `first` are ms since the Unix epoch, 0 before there is a time. */
export interface TimelineClock {
  /** Since the first event; never falls. */
  readonly elapsed: number;
  readonly at: number;
  readonly first: number;
  /** What the clock was set back by so far. */
  readonly setBack: number;
}

/** Before the first event. */
export const NO_CLOCK: TimelineClock = { elapsed: 0, at: 0, first: 0, setBack: 0 };

/** The clock behind an event at `at`. An event at 0 has no time of its own: a damaged line, before any time was known. */
export function advance(clock: TimelineClock, at: number): TimelineClock {
  if (at === 0 || at === clock.at) return clock;
  if (clock.first === 0) return { elapsed: 0, at, first: at, setBack: 0 };
  const elapsed = at - clock.first + clock.setBack;
  if (elapsed >= clock.elapsed - SET_BACK_MS) {
    // The newest time is kept: an event that was told late is of this moment.
    return elapsed <= clock.elapsed ? clock : { ...clock, elapsed, at };
  }
  return { ...clock, at, setBack: clock.elapsed - (at - clock.first) };
}

/** A stretch of the time line with one setting of the clock, from `elapsed` on. */
export type ClockStretch = Pick<TimelineClock, 'elapsed' | 'setBack' | 'first'>;

/** Where on the time line the clock showed `at`, of these stretches the first in which it did; null where it never did. */
export function findClockTime(stretches: readonly ClockStretch[], length: number, at: number): number | null {
  for (const [index, { elapsed: from, setBack, first }] of stretches.entries()) {
    const elapsed = at - first + setBack;
    const to = stretches[index + 1]?.elapsed ?? length;
    if (elapsed >= from && elapsed <= to) return elapsed;
  }
  return null;
}

const DAY_MS = 86_400_000;

/** The same for a time of day in UTC, ms since midnight. */
export function findTimeOfDay(stretches: readonly ClockStretch[], length: number, ms: number): number | null {
  for (const [index, stretch] of stretches.entries()) {
    const from = stretch.first + stretch.elapsed - stretch.setBack;
    const at = from + ((((ms - from) % DAY_MS) + DAY_MS) % DAY_MS);
    const found = findClockTime([stretch], stretches[index + 1]?.elapsed ?? length, at);
    if (found !== null) return found;
  }
  return null;
}
