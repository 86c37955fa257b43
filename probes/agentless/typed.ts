// What probes share over typed reads: a value as a reading, threads counted by state.

import type { TypedValue } from '../../src/bytes/typed-value.ts';
import type { Reading } from '../../src/model/probe.ts';
import type { GuestThread, ThreadState } from '../../src/model/thread.ts';

export { findGlobal, TypedValue, walkList, walkTree } from '../../src/bytes/typed-value.ts';

/** A reading, or why there is none. */
export function reading(value: TypedValue | null, absent: string): Reading {
  return value?.number() ?? { absent };
}

/** How many threads are in each of the states this scheduler tells apart, zero included: a series must not keep its last value. */
export function countByState(threads: readonly GuestThread[], told: readonly ThreadState[]): Reading {
  if (threads.length === 0) return { absent: 'no thread was found in memory' };
  const states = [...new Set([...told, ...threads.map((thread) => thread.state)])].sort();
  return states.map((state) => ({ value: threads.filter((thread) => thread.state === state).length, attributes: { state } }));
}
