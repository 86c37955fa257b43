// Time spans and sizes as people write them: `500ms`, `8s`, `2m`; `64MiB`.

import { UnidbgError } from './error.ts';

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
