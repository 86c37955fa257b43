// When memory will run out, if it goes on like this.

import { type Check, defineDerivation } from '../model/check.ts';
import { seriesKey } from '../model/metric.ts';
import { formatNanoseconds, formatSize } from '../model/quantity.ts';
import { type Budget, findBudgets } from './budgets.ts';
import { findTrend, MIN_POINTS } from './trend.ts';

const FORECAST = 'unikernel.memory.exhaustion.time';
/** Growth that is not three times its own noise, or not a thousandth of the limit, is none. */
const SIGNIFICANT = 3;
const LEAST_GROWTH = 0.001;
const MIN_SPAN_MS = 3_000;
/** Beyond a day nobody can tell. */
const MAX_MS = 24 * 3_600_000;
const CRITICAL_MS = 60_000;
const WARNING_MS = 10 * 60_000;

/** The forecast as a metric. */
export const exhaustionForecast = defineDerivation({
  name: 'forecast',
  doc: 'When memory will be used up',
  metrics: {
    [FORECAST]: {
      kind: 'gauge',
      unit: 's',
      doc: 'time until memory is used up if its use goes on growing as it does; with attribute heap, that of a runtime with a limit of its own',
    },
  },
  derive: (snapshot) => {
    const forecasts = findBudgets(snapshot).map((budget) => ({ budget, forecast: forecastOf(budget) }));
    const told = forecasts.flatMap(({ budget, forecast }) =>
      typeof forecast === 'number' ? [{ value: forecast / 1000, attributes: budget.attributes }] : [],
    );
    const [first] = forecasts;
    if (first === undefined) return null;
    return { [FORECAST]: told.length > 0 ? told : { absent: String(first.forecast) } };
  },
});

/** The forecast, as it was last derived, as a finding. */
export const memoryExhaustion: Check = {
  name: 'memory-exhaustion',
  doc: 'memory, or the heap of a runtime that has a limit, will be used up within ten minutes (critical: one minute)',
  find: (snapshot) => {
    const [nearest] = findBudgets(snapshot)
      .flatMap((budget) => {
        const seconds = snapshot.metrics.get(seriesKey({ name: FORECAST, attributes: budget.attributes }))?.latest.value ?? null;
        return seconds === null || seconds * 1000 >= WARNING_MS ? [] : [{ budget, ms: seconds * 1000 }];
      })
      .sort((a, b) => a.ms - b.ms);
    if (nearest === undefined) return null;
    const { budget, ms } = nearest;
    const used = `${formatSize(budget.used.latest.value ?? 0)} of ${formatSize(budget.limit)}`;
    return {
      severity: ms < CRITICAL_MS ? 'critical' : 'warning',
      message: `${budget.title} will be used up in ${formatNanoseconds(ms * 1e6)} if it goes on like this (${used} now)`,
    };
  },
};

/** Milliseconds left, or why that cannot be said. */
function forecastOf({ title, used, limit }: Budget): number | string {
  const known = used.values.flatMap((value, index) => (value === null ? [] : [{ value, at: used.times[index]! }]));
  const points = { times: known.map(({ at }) => at), values: known.map(({ value }) => value) };
  const seen = (points.times.at(-1) ?? 0) - (points.times[0] ?? 0);
  if (points.times.length < MIN_POINTS || seen < MIN_SPAN_MS) return 'it has not been watched long enough yet';
  // Most guests' memory stands still: that is seen without a line through it.
  if (points.values.at(-1)! - Math.min(...points.values) < LEAST_GROWTH * limit) return `${title} is not growing`;
  const trend = findTrend(points);
  if (trend === null) return 'it has not been watched long enough yet';
  const growth = trend.slope * trend.span;
  if (growth <= Math.max(SIGNIFICANT * trend.noise, LEAST_GROWTH * limit)) return `${title} is not growing`;
  // Teeth reach the limit with their tips.
  const left = Math.max(0, limit - trend.level - trend.top) / trend.slope;
  return left > MAX_MS ? `${title} grows so slowly that it lasts for more than a day` : left;
}
