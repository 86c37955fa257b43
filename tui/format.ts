// Numbers as a person reads them on a screen: metric values by their UCUM unit, ages, clocks, JSON of anything in the model.

import type { Sample } from '../src/model/metric.ts';
import { formatNanoseconds, formatSize } from '../src/model/quantity.ts';

/** After this many milliseconds a value is stale and drawn dim. */
export const STALE_AFTER_MS = 3000;

const TIME_UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** `12.4 MiB`, `3.2ms`, `1 204 packets` (without the word when `bare`: the name has it), `12.5 %`; `–` when absent. */
export function formatSample({ value, unit }: Pick<Sample, 'value' | 'unit'>, bare = false): string {
  if (value === null) return '–';
  if (unit === 'By') return formatSize(value);
  const scale = TIME_UNITS[unit];
  if (scale !== undefined) return formatNanoseconds(value * scale);
  if (unit === '%') return `${value.toFixed(1)} %`;
  const counted = /^\{(.+)\}$/.exec(unit)?.[1];
  if (counted !== undefined && !bare) return `${formatCount(value)} ${value === 1 ? counted : pluralOf(counted)}`;
  return unit === '1' || unit === '' || counted !== undefined ? formatCount(value) : `${formatCount(value)} ${unit}`;
}

/** `1 204 377` (thin groups read faster than digits in a row); `1.2e+15` beyond what is exact; three digits of a fraction. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 1e15) return value.toExponential(1);
  if (!Number.isInteger(value)) return Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(3);
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

function pluralOf(word: string): string {
  return /(s|x|ch|sh)$/.test(word) ? `${word}es` : /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`;
}

/** `0s`, `59s`, `12m`, `3h`, `9d`: at most three cells for a day. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `00:12:03`, hours without bound. */
export function formatClock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** Indented JSON of a piece of the model: addresses as `0x…`, bytes as hex. */
export function formatJson(value: unknown): string {
  return JSON.stringify(
    value,
    (_key, item: unknown) => {
      if (typeof item === 'bigint') return `0x${item.toString(16)}`;
      if (item instanceof Uint8Array) return Buffer.from(item).toString('hex');
      if (item instanceof Map) return Object.fromEntries(item as ReadonlyMap<string, unknown>);
      return item;
    },
    2,
  );
}
