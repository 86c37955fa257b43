// A probe's readings as samples: each declared metric has a value, several series, or the reason why it has none.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { Reading, Readings } from '../model/probe.ts';

/** What samples are named after: a probe, or a derivation. */
interface Source {
  readonly name: string;
  readonly metrics: Readonly<Record<string, MetricDeclaration>>;
}

/** Samples of all metrics that `source` declares. */
export function samplesOf(source: Source, readings: Readings<string>): readonly Sample[] {
  return Object.keys(source.metrics).flatMap((name) => toSamples(source, name, readings[name]));
}

/** Samples that say why there is none. */
export function absentSamples(source: Source, absent: string): readonly Sample[] {
  return Object.keys(source.metrics).flatMap((name) => toSamples(source, name, { absent }));
}

function toSamples(source: Source, name: string, reading: Reading | undefined): readonly Sample[] {
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
  return reading.map(({ value, attributes }) => sample(value, attributes, null));
}
