// What part of a CPU each thread had between two looks: schedulers count time, a snapshot holds one look, so the screen keeps the one before.

import type { Snapshot } from '../model/snapshot.ts';

/** CPU time of threads at a look, and the parts of one CPU (1 = all of it) they had since the look before. */
export interface CpuShares {
  readonly at: number;
  readonly times: ReadonlyMap<string, number>;
  readonly shares: ReadonlyMap<string, number>;
}

/** Before the first look. */
export const NO_SHARES: CpuShares = { at: 0, times: new Map(), shares: new Map() };

/** Two looks closer than this say more of the clock than of the threads. */
const LEAST_MS = 900;

/** Goes on to the newest look; the same object while there is none that is late enough. */
export function followShares(before: CpuShares, { threads, threadsAt }: Snapshot): CpuShares {
  const ms = threadsAt - before.at;
  if (ms < LEAST_MS || !threads.some(({ cpuTimeNs }) => cpuTimeNs !== null)) return before;
  const times = new Map(threads.flatMap(({ id, cpuTimeNs }) => (cpuTimeNs === null ? [] : [[id, cpuTimeNs] as const])));
  const shares = new Map<string, number>();
  for (const [id, time] of times) {
    const earlier = before.times.get(id);
    // A scheduler adds a turn up when it ends: what began before the last look is counted in this one.
    if (earlier !== undefined && time >= earlier) shares.set(id, Math.min(1, (time - earlier) / (ms * 1e6)));
  }
  return { at: threadsAt, times, shares };
}
