// Time spans and sizes as people write them (`500ms`, `8s`, `2m`; `64MiB`), and numbers as people read them.

import { UnidbgError } from './error.ts';
import type { Sample } from './metric.ts';

const SPANS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SIZES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
};

/** Milliseconds of a time span such as `500ms`, `8s`, `2m`, `1.5h`. Throws USAGE. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text.trim());
  if (match === null) throw new UnidbgError('USAGE', `"${text}" is not a time span: write 500ms, 8s, 2m or 1h`);
  return Number(match[1]) * (SPANS[match[2]!] ?? 1);
}

/** Bytes of a size such as `4096`, `64KiB`, `1GiB`. Throws USAGE. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|K|M|G)?$/.exec(text.trim());
  if (match === null) throw new UnidbgError('USAGE', `"${text}" is not a size: write 4096, 64KiB, 16MiB or 1GiB`);
  return Math.floor(Number(match[1]) * (SIZES[match[2] ?? ''] ?? 1));
}

/** `1.5 MiB`: three significant digits at most, binary units. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${bytes < 0 ? '-' : ''}${value.toFixed(digits)} ${units[unit]!}`;
}

/** `850ns`, `3.2ms`, `4.1s`, `2m05s`, from nanoseconds. */
export function formatNanoseconds(ns: number): string {
  if (ns < 1000) return `${Math.round(ns)}ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)}µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(1)}ms`;
  if (ns < 60e9) return `${(ns / 1e9).toFixed(1)}s`;
  const seconds = Math.floor(ns / 1e9);
  return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, '0')}s`;
}

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

/** A part of one as a percentage: `0 %`, `0.02 %`, `7.3 %`, `64 %`. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent > 0 && percent < 0.005) return '<0.01 %';
  return `${percent.toFixed(percent === 0 || percent >= 10 ? 0 : percent >= 1 ? 1 : 2)} %`;
}

function pluralOf(word: string): string {
  return /(s|x|ch|sh)$/.test(word) ? `${word}es` : /[^aeiou]y$/.test(word) ? `${word.slice(0, -1)}ies` : `${word}s`;
}
