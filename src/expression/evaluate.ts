// Quantities at a moment: a snapshot's metrics in common units. Sizes are bytes, times seconds.

import { UnidbgError } from '../model/error.ts';
import { formatNanoseconds, formatSize } from '../model/quantity.ts';
import type { Series, Snapshot } from '../model/snapshot.ts';
import type { Dimension, Quantity, Selector } from './syntax.ts';

/** A value, or why there is none. */
export type Value = { readonly value: number; readonly dimension: Dimension } | { readonly absent: string };

const TIME_UNITS: Readonly<Record<string, number>> = { ns: 1e-9, us: 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600 };
const MAX_NAMED = 6;

/** The value of `quantity` now. Throws USAGE where bytes and seconds are mixed. */
export function evaluate(quantity: Quantity, snapshot: Snapshot): Value {
  switch (quantity.type) {
    case 'number':
      return { value: quantity.value, dimension: quantity.dimension };
    case 'metric':
      return evaluateSelector(quantity.selector, snapshot, (values) => values.reduce((total, value) => total + value, 0));
    case 'call':
      if (quantity.function === 'rate') return evaluateRate(quantity.selector, snapshot);
      return evaluateSelector(quantity.selector, snapshot, (values) => Math[quantity.function as 'max' | 'min'](...values));
    case 'binary': {
      const [left, right] = [evaluate(quantity.left, snapshot), evaluate(quantity.right, snapshot)];
      if ('absent' in left) return left;
      return 'absent' in right ? right : combine(quantity.operator, left, right);
    }
  }
}

/** Series that a selector means; attributes that it does not name may have any value. */
export function findSeries({ name, attributes }: Selector, snapshot: Snapshot): readonly Series[] {
  return [...snapshot.metrics.values()].filter(
    ({ latest }) => latest.name === name && Object.entries(attributes).every(([key, value]) => latest.attributes[key] === value),
  );
}

/** Says a value in its dimension: `64 MiB`, `12.5ms`, `3`. */
export function formatValue({ value, dimension }: { readonly value: number; readonly dimension: Dimension }): string {
  if (dimension === 'bytes') return formatSize(value);
  if (dimension === 'seconds') return formatNanoseconds(value * 1e9);
  return Number.isInteger(value) ? String(value) : value.toPrecision(4);
}

/** Throws USAGE when the two cannot be compared or added: bytes with seconds. A plain number goes with bytes, not with times. */
export function checkDimensions(left: { readonly dimension: Dimension }, right: { readonly dimension: Dimension }): void {
  const both = [left.dimension, right.dimension];
  if (both[0] === both[1] || !both.includes('seconds')) return;
  const other = both[0] === 'seconds' ? both[1] : both[0];
  throw new UnidbgError(
    'USAGE',
    other === 'bytes'
      ? 'a size and a time cannot be compared'
      : 'a time is compared with a plain number: write its unit, as in 20ms',
  );
}

function evaluateSelector(selector: Selector, snapshot: Snapshot, fold: (values: readonly number[]) => number): Value {
  const series = findSeries(selector, snapshot);
  const [first] = series;
  if (first === undefined) return { absent: sayUnknown(selector, snapshot) };
  const values = series.flatMap(({ latest }) => latest.value ?? []);
  if (values.length === 0) return { absent: first.latest.absent ?? 'it was not read' };
  const [factor, dimension] = dimensionOf(first.latest.unit);
  return { value: fold(values) * factor, dimension };
}

/** Increase per second between the last two readings. */
function evaluateRate(selector: Selector, snapshot: Snapshot): Value {
  const series = findSeries(selector, snapshot);
  const [first] = series;
  if (first === undefined) return { absent: sayUnknown(selector, snapshot) };
  const rates = series.flatMap(({ times, values }) => {
    const [before, now] = [values.at(-2), values.at(-1)];
    const seconds = ((times.at(-1) ?? 0) - (times.at(-2) ?? 0)) / 1000;
    return before == null || now == null || seconds <= 0 ? [] : [(now - before) / seconds];
  });
  if (rates.length === 0) return { absent: first.latest.absent ?? 'it was read only once so far' };
  const [factor, dimension] = dimensionOf(first.latest.unit);
  const total = rates.reduce((sum, rate) => sum + rate, 0) * factor;
  // Seconds per second are a share: CPU time.
  return { value: total, dimension: dimension === 'seconds' ? 'plain' : dimension };
}

function combine(
  operator: '+' | '-' | '*' | '/',
  left: { readonly value: number; readonly dimension: Dimension },
  right: { readonly value: number; readonly dimension: Dimension },
): Value {
  if (operator === '+' || operator === '-') {
    checkDimensions(left, right);
    const value = operator === '+' ? left.value + right.value : left.value - right.value;
    return { value, dimension: left.dimension === 'plain' ? right.dimension : left.dimension };
  }
  if (operator === '*') {
    return { value: left.value * right.value, dimension: left.dimension === 'plain' ? right.dimension : left.dimension };
  }
  if (right.value === 0) return { absent: 'it would be divided by zero' };
  return { value: left.value / right.value, dimension: left.dimension === right.dimension ? 'plain' : left.dimension };
}

function dimensionOf(unit: string): readonly [factor: number, dimension: Dimension] {
  if (unit === 'By') return [1, 'bytes'];
  const seconds = TIME_UNITS[unit];
  return seconds === undefined ? [1, 'plain'] : [seconds, 'seconds'];
}

function sayUnknown({ name, attributes }: Selector, snapshot: Snapshot): string {
  const names = [...new Set([...snapshot.metrics.values()].map(({ latest }) => latest.name))].sort();
  if (names.includes(name)) {
    const known = [...snapshot.metrics.values()].filter(({ latest }) => latest.name === name);
    const pairs = known.map(({ latest }) =>
      Object.entries(latest.attributes)
        .map((pair) => pair.join('='))
        .join(','),
    );
    return `${name} has no series with ${Object.entries(attributes)
      .map((pair) => pair.join('='))
      .join(',')}; it has {${pairs.slice(0, MAX_NAMED).join('} {')}}`;
  }
  const similar = names
    .map((known) => ({ known, likeness: likeness(known, name) }))
    .filter(({ likeness: alike }) => alike >= 1)
    .sort((a, b) => b.likeness - a.likeness)
    .slice(0, MAX_NAMED)
    .map(({ known }) => known);
  const nearest = similar.length > 0 ? similar : names.slice(0, MAX_NAMED);
  return `no metric ${name} is measured here${nearest.length === 0 ? '' : `; there is ${nearest.join(', ')}`}`;
}

/** Words in common, and how far the beginnings agree. */
function likeness(a: string, b: string): number {
  const words = b.split('.');
  const shared = a.split('.').filter((word) => words.includes(word)).length;
  let prefix = 0;
  while (prefix < a.length && a[prefix] === b[prefix]) prefix += 1;
  return shared + prefix / 100;
}
