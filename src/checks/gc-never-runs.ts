// A heap that grows and a collector that does not run: switched off, or never given the chance.

import type { Check } from '../model/check.ts';
import { COLLECTORS, type Collector } from '../model/collectors.ts';
import { formatNanoseconds, formatSize } from '../model/quantity.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';
import { findPlain } from './budgets.ts';

/** So many readings in a row have to show it. */
const READINGS = 3;
/** A heap may pass its goal a little while a collection is under way. */
const PAST_GOAL = 1.1;
/** Of a collector that names no goal: its heap has become so many times as large since it ran last. */
const WITHOUT_GOAL = 2;

export const gcNeverRuns: Check = {
  name: 'gc-never-runs',
  doc: 'a heap grows at three readings in a row, past the size at which a collection is due, and none has run',
  find: (snapshot) => {
    for (const collector of COLLECTORS) {
      const message = judge(collector, snapshot);
      if (message !== null) return { severity: 'warning', message };
    }
    return null;
  },
};

function judge(collector: Collector, snapshot: Snapshot): string | null {
  const cycles = findPlain(snapshot, collector.cycles);
  const used = findPlain(snapshot, collector.heapUsed);
  if (cycles === null || used === null) return null;
  const minor = findPlain(snapshot, collector.minorCycles);
  const since = [cycles, ...(minor === null ? [] : [minor])].map(lastChange).reduce((a, b) => Math.max(a, b));
  const readings = used.values.flatMap((value, index) => (value === null || used.times[index]! < since ? [] : [value]));
  if (readings.length < READINGS || !isRising(readings.slice(-READINGS))) return null;
  const first = readings[0]!;
  const goal = findPlain(snapshot, collector.goal);
  const due = isOff(collector, snapshot) ? 0 : goal === null ? first * WITHOUT_GOAL : goal.value * PAST_GOAL;
  if (used.value <= due) return null;
  const seconds = formatNanoseconds((used.at - Math.max(since, used.times[0]!)) * 1e6);
  const why = isOff(collector, snapshot)
    ? `it is switched off (${collector.eagerness ?? ''} is negative)`
    : goal === null
      ? 'its heap has more than doubled meanwhile'
      : `one was due at ${formatSize(goal.value)}`;
  return `${collector.title}'s garbage collector has not run for ${seconds} while its heap grew from ${formatSize(first)} to ${formatSize(used.value)}: ${why}`;
}

/** The time of the last reading before a counter changed; its first reading when it never did. */
function lastChange({ times, values }: Series): number {
  for (let index = values.length - 1; index > 0; index -= 1) {
    if (values[index] !== values[index - 1]) return times[index]!;
  }
  return times[0] ?? 0;
}

function isRising(values: readonly number[]): boolean {
  return values.every((value, index) => index === 0 || value > values[index - 1]!);
}

/** Off, and not because something else makes it run: Go with GOGC=off and a memory limit still has a goal. */
function isOff({ eagerness, goal }: Collector, snapshot: Snapshot): boolean {
  const percent = findPlain(snapshot, eagerness);
  return percent !== null && percent.value < 0 && findPlain(snapshot, goal) === null;
}
