// What can run full: the guest's memory, and each runtime's heap that has a limit of its own.

import { COLLECTORS } from '../model/collectors.ts';
import { seriesKey } from '../model/metric.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';

/** A use that grows towards a limit, both in bytes. `title`: `memory`, `V8's heap`. */
export interface Budget {
  readonly title: string;
  /** Tells the series of one metric apart; none for the guest's own memory. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly used: Series;
  readonly limit: number;
}

/** The budgets whose use and limit are both known now, the guest's own first. */
export function findBudgets(snapshot: Snapshot): readonly Budget[] {
  const memory = budgetOf(snapshot, 'memory', {}, 'unikernel.memory.used', 'unikernel.memory.limit');
  const heaps = COLLECTORS.flatMap(({ title, heapUsed, limit }) =>
    limit === null ? [] : (budgetOf(snapshot, `${title}'s heap`, { heap: title }, heapUsed, limit) ?? []),
  );
  return memory === null ? heaps : [memory, ...heaps];
}

/** The one series of a metric that has no attributes; null when it is not there or has no value now. */
export function findPlain(snapshot: Snapshot, name: string | null): (Series & { readonly value: number }) | null {
  const series = name === null ? undefined : snapshot.metrics.get(seriesKey({ name, attributes: {} }));
  return series === undefined || series.latest.value === null ? null : { ...series, value: series.latest.value };
}

function budgetOf(
  snapshot: Snapshot,
  title: string,
  attributes: Budget['attributes'],
  usedName: string,
  limitName: string,
): Budget | null {
  const used = findPlain(snapshot, usedName);
  const limit = findPlain(snapshot, limitName);
  return used === null || limit === null || limit.value <= 0 ? null : { title, attributes, used, limit: limit.value };
}
