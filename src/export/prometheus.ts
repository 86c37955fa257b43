// Families → Prometheus' text format 0.0.4, written by prom-client.

import { type Metric, Registry } from 'prom-client';
import type { Family } from './families.ts';

/** The content type that goes with it. */
export const PROMETHEUS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** The text of families; those without a series are left out. */
export async function formatFamilies(families: readonly Family[]): Promise<string> {
  const registry = new Registry();
  for (const family of families) {
    if (family.series.length > 0) registry.registerMetric(metricOf(family));
  }
  return registry.metrics();
}

// prom-client's own metrics count by themselves; ours were counted elsewhere. A registry asks a metric for nothing but this.
function metricOf({ name, help, type, series }: Family): Metric {
  const metric = { name, get: () => Promise.resolve({ name, help, type, values: series, aggregator: 'sum' }) };
  return metric as unknown as Metric;
}
