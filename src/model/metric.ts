// Metrics: declared once, sampled often. OpenTelemetry names, UCUM units.

/** What a metric is. A probe may return only metrics it declared. */
export interface MetricDeclaration {
  readonly kind: 'counter' | 'gauge';
  /** UCUM: `By`, `s`, `ns`, `{packet}`, `{cycle}`, `1`. */
  readonly unit: string;
  readonly doc: string;
}

/** One value of one metric, or the reason why there is none. */
export interface Sample {
  readonly name: string;
  /** Distinguishes series of one metric: `{ device: "net0", direction: "receive" }`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly value: number | null;
  readonly unit: string;
  readonly kind: 'counter' | 'gauge';
  /** Why `value` is null, and which flag or line would turn it on. */
  readonly absent: string | null;
  /** Who measured it: the probe's name. */
  readonly probe: string;
}

/** The series a sample belongs to: `name{a=b,…}`, attributes sorted. */
export function seriesKey(sample: Pick<Sample, 'name' | 'attributes'>): string {
  const pairs = Object.entries(sample.attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? sample.name : `${sample.name}{${pairs.join(',')}}`;
}
