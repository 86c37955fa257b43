// A moment of a recording as people name it: `12.5s` after its start, `-3s` before the crash, `14:03:12` by the guest's clock.

import { UnidbgError } from './error.ts';

/** `clock` is a time of day in UTC, ms since midnight; `date` is ms since the Unix epoch; `ms` may be fractions. */
export type Moment =
  | { readonly from: 'start'; readonly ms: number }
  /** Negative: before it. Where there was no crash, the end counts. */
  | { readonly from: 'crash'; readonly ms: number }
  | { readonly from: 'end' }
  | { readonly from: 'clock'; readonly ms: number }
  | { readonly from: 'date'; readonly at: number };

/** What parseMoment takes, for messages and helps. */
export const MOMENT_FORMS = '12.5s or 2m after the start, -3s before the crash, 14:03:12 (UTC), start, crash, end';

const SCALES: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SPAN = /^([+-]?)((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+|\d+(?:\.\d+)?)$/;
const CLOCK = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d(?:\.\d{1,3})?))?$/;
const DATE = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)?Z?$/;

/** Parses one: `12.5s`, `1m30s`, `90` (seconds), `-3s`, `14:03`, `14:03:12.250`, `2026-11-21T14:03:12Z`, `start`, `crash`, `end`. Throws USAGE. */
export function parseMoment(text: string): Moment {
  const given = text.trim();
  if (given === 'start') return { from: 'start', ms: 0 };
  if (given === 'crash') return { from: 'crash', ms: 0 };
  if (given === 'end') return { from: 'end' };
  const clock = CLOCK.exec(given);
  if (clock !== null) {
    const [, hours = '0', minutes = '0', seconds = '0'] = clock;
    return { from: 'clock', ms: Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Math.round(Number(seconds) * 1000) };
  }
  if (DATE.test(given)) {
    const at = Date.parse(`${given.replace(' ', 'T').replace(/Z$/, '')}${given.includes(':') ? 'Z' : ''}`);
    if (Number.isFinite(at)) return { from: 'date', at };
  }
  const [, sign, span] = SPAN.exec(given) ?? [];
  if (span === undefined) throw new UnidbgError('USAGE', `"${text}" is not a moment: write ${MOMENT_FORMS}`);
  const ms = parseSpan(span);
  return sign === '-' ? { from: 'crash', ms: -ms } : { from: 'start', ms };
}

/** A bare number is seconds. */
function parseSpan(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0) return Number(text) * 1000;
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (SCALES[unit ?? ''] ?? 0), 0);
}

/** `12.5s`, `2m05.0s`, `3h04m`, `12d 4h`: a span of a recording, ms; its sign is not told. */
export function formatElapsed(ms: number): string {
  const tenths = Math.floor(Math.abs(ms) / 100);
  if (tenths < 600) return `${(tenths / 10).toFixed(1)}s`;
  const minutes = Math.floor(tenths / 600);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (minutes < 60) return `${minutes}m${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48
    ? `${hours}h${two(minutes % 60)}m${two(Math.floor(tenths / 10) % 60)}s`
    : `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
