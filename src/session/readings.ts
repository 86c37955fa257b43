// A probe's readings as samples: each declared metric has a value, several series, or the reason why it has none.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { Reading, Readings } from '../model/probe.ts';
import type { CounterWraps } from './counter-wraps.ts';

/** What samples are named after: a probe, or a derivation. */
interface Source {
  readonly name: string;
  readonly metrics: Readonly<Record<string, MetricDeclaration>>;
}

/** Samples of all metrics that `source` declares. `wraps` adds up what wraps. */
export function samplesOf(source: Source, readings: Readings<string>, wraps: CounterWraps | null = null): readonly Sample[] {
  return Object.keys(source.metrics).flatMap((name) => toSamples(source, name, readings[name], wraps));
}

/** Samples that say why there is none. */
export function absentSamples(source: Source, absent: string): readonly Sample[] {
  return Object.keys(source.metrics).flatMap((name) => toSamples(source, name, { absent }, null));
}

function toSamples(source: Source, name: string, reading: Reading | undefined, wraps: CounterWraps | null): readonly Sample[] {
  const { kind, unit } = source.metrics[name]!;
  const sample = (
    value: number | bigint | null,
    attributes: Readonly<Record<string, string>>,
    absent: string | null,
  ): Sample => ({
    name,
    attributes,
    value: value === null ? null : Number(value),
    unit,
    kind,
    absent,
    probe: source.name,
  });
  if (reading === undefined) return [sample(null, {}, 'this guest does not keep it')];
  if (typeof reading === 'number' || typeof reading === 'bigint') return [sample(reading, {}, null)];
  if ('absent' in reading) return [sample(null, {}, reading.absent)];
  return reading.map(({ value, attributes, wrapsAt }) => {
    const one = sample(value, attributes, null);
    return wraps === null || wrapsAt === undefined ? one : { ...one, value: wraps.add(one, Number(value), wrapsAt) };
  });
}
