// OpenTelemetry's names → Prometheus' (OpenTelemetry specification, "Prometheus and OpenMetrics compatibility": metric metadata), with
// base units only, as promtool's lint wants them (Prometheus documentation, "Metric and label naming").

import type { MetricDeclaration } from '../model/metric.ts';

/** How a metric is written for Prometheus. */
export interface PrometheusName {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  /** What a value is multiplied with: times become seconds. */
  readonly scale: number;
}

/** Units that are spelt out, UCUM → words and scale. What is not here is spelt as it is. */
const UNITS: Readonly<Record<string, readonly [words: string, scale: number]>> = {
  ...{ d: ['seconds', 86_400], h: ['seconds', 3600], min: ['seconds', 60], s: ['seconds', 1] },
  ...{ ms: ['seconds', 1e-3], us: ['seconds', 1e-6], ns: ['seconds', 1e-9] },
  ...{ By: ['bytes', 1], KiBy: ['bytes', 1024], MiBy: ['bytes', 1024 ** 2], GiBy: ['bytes', 1024 ** 3] },
  ...{ kBy: ['bytes', 1e3], MBy: ['bytes', 1e6], GBy: ['bytes', 1e9], bit: ['bytes', 1 / 8] },
  ...{ Hz: ['hertz', 1], Cel: ['celsius', 1], '%': ['ratio', 0.01], m: ['meters', 1], V: ['volts', 1], A: ['amperes', 1] },
  ...{ J: ['joules', 1], W: ['watts', 1], g: ['grams', 1] },
};
const PER: Readonly<Record<string, string>> = { s: 'second', m: 'minute', min: 'minute', h: 'hour', d: 'day' };

/** A guest may name metrics without end: then all are worked out anew. */
const MAX_KNOWN = 5000;
const knownNames = new Map<string, PrometheusName>();
const knownLabels = new Map<string, string>();

/** The name of a metric for Prometheus. Never empty, never with a character that Prometheus does not take. */
export function toPrometheusName(name: string, metric: Pick<MetricDeclaration, 'kind' | 'unit'>): PrometheusName {
  const { kind, unit } = metric;
  return remember(knownNames, `${kind}\0${unit}\0${name}`, () => composeName(name, metric));
}

function remember<T>(known: Map<string, T>, key: string, compute: () => T): T {
  const before = known.get(key);
  if (before !== undefined) return before;
  const value = compute();
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(key, value);
  return value;
}

function composeName(name: string, { kind, unit }: Pick<MetricDeclaration, 'kind' | 'unit'>): PrometheusName {
  const { words, scale } = unitWords(unit, kind);
  const stem = freeName(sanitise(name), kind);
  const named = words === '' || hasWords(stem, words) ? stem : `${stem}_${words}`;
  return { name: kind === 'counter' ? `${named}_total` : named, type: kind, scale };
}

/** A label's name: of letters, digits and underscores, and none that Prometheus or unidbg sets itself. */
export function toLabelName(name: string): string {
  return remember(knownLabels, name, () => composeLabel(name));
}

function composeLabel(name: string): string {
  const safe = sanitise(name).slice(0, MAX_LABEL_NAME);
  return OWN_LABELS.has(safe) || safe.startsWith('__') ? `exported_${safe.replace(/^_+/, '')}` : safe;
}

const MAX_LABEL_NAME = 64;
const OWN_LABELS = new Set(['vm', 'job', 'instance', 'le']);

function sanitise(name: string): string {
  const safe = name.replaceAll(/[^A-Za-z0-9_]+/g, '_').replaceAll(/_{2,}/g, '_');
  const trimmed = safe.replaceAll(/^_|_$/g, '');
  return trimmed === '' || /^\d/.test(trimmed) ? `_${trimmed}` : trimmed;
}

// Endings that belong to other kinds of metric are taken off: `_total` to counters (which get it back), `_bucket` and `_sum` to
// histograms; `_count` too, which is why OpenTelemetry's `go.goroutine.count` is `go_goroutines`.
function freeName(name: string, kind: MetricDeclaration['kind']): string {
  if (kind === 'counter') return name.replace(/_total$/, '') || '_';
  return name.replace(/_(total|bucket|sum|info)$/, '').replace(/([a-z])_count$/, '$1s') || '_';
}

function unitWords(unit: string, kind: MetricDeclaration['kind']): { readonly words: string; readonly scale: number } {
  // Annotations in braces say what is counted: `{packet}`, `By{allocated}`.
  const plain = unit.replaceAll(/\{[^}]*\}/g, '').trim();
  if (plain === '') return { words: '', scale: 1 };
  if (plain === '1') return { words: kind === 'gauge' ? 'ratio' : '', scale: 1 };
  const [top = '', bottom] = plain.split('/', 2);
  const [words, scale] = Object.hasOwn(UNITS, top) ? UNITS[top]! : [sanitise(top), 1];
  if (bottom === undefined) return { words, scale };
  const per = Object.hasOwn(PER, bottom) ? PER[bottom]! : sanitise(bottom);
  return { words: top === '' ? `per_${per}` : `${words}_per_${per}`, scale };
}

function hasWords(name: string, words: string): boolean {
  return name === words || name.endsWith(`_${words}`);
}
