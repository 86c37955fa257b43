// A program that does little but collect: its heap is too small for what it keeps.

import type { Check } from '../model/check.ts';
import { COLLECTORS } from '../model/collectors.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';
import { findPlain } from './budgets.ts';

/** Pauses take so much of the time, over so many readings in a row. */
const SHARE = 0.3;
const READINGS = 5;
/** Units of pause times, in ms. */
const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000 };

export const gcThrash: Check = {
  name: 'gc-thrash',
  doc: 'the pauses of a garbage collector take more than 30 % of the time, over five readings',
  find: (snapshot: Snapshot) => {
    for (const { title, pauseTime } of COLLECTORS) {
      const pauses = findPlain(snapshot, pauseTime);
      const share = pauses === null ? null : leastShare(pauses);
      if (share === null || share < SHARE) continue;
      return {
        severity: 'warning',
        message: `${title} stands still for garbage collection ${Math.round(share * 100)} % of the time: its heap is too small for what it keeps, or it allocates too fast`,
      };
    }
    return null;
  },
};

/** The share of pauses in time that none of the last readings stays below; null = too few readings. */
function leastShare({ latest, times, values }: Series): number | null {
  const unit = UNIT_MS[latest.unit] ?? 0;
  const shares: number[] = [];
  for (let index = values.length - READINGS; index < values.length; index += 1) {
    const [before, now] = [values[index - 1], values[index]];
    const elapsed = (times[index] ?? 0) - (times[index - 1] ?? 0);
    if (before == null || now == null || elapsed <= 0) return null;
    shares.push(((now - before) * unit) / elapsed);
  }
  return Math.min(...shares);
}
