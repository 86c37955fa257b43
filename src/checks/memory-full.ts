// Memory that is nearly all in use, whether it grows or not: the next request may be the one too many.

import type { Check } from '../model/check.ts';
import { formatSize } from '../model/quantity.ts';
import { findBudgets } from './budgets.ts';

const FULL = 0.95;

export const memoryFull: Check = {
  name: 'memory-full',
  doc: 'more than 95 % of memory, or of the heap of a runtime that has a limit, is in use',
  find: (snapshot) => {
    const full = findBudgets(snapshot).find(({ used, limit }) => (used.latest.value ?? 0) > FULL * limit);
    if (full === undefined) return null;
    const used = full.used.latest.value ?? 0;
    return {
      severity: 'critical',
      message: `${full.title} is ${Math.floor((used / full.limit) * 100)} % full: ${formatSize(used)} of ${formatSize(full.limit)}`,
    };
  },
};
