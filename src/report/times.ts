// Times and spans as reports write them. A hostile log or recording may name any number as a time.

import { formatNanoseconds } from '../model/quantity.ts';

/** ECMAScript's last date, ms. */
const MAX_DATE = 8.64e15;

/** ISO 8601 in UTC of ms since the epoch; null where it is not known, or no date. */
export function isoTime(at: number | null): string | null {
  return at === null || !Number.isFinite(at) || Math.abs(at) > MAX_DATE ? null : new Date(at).toISOString();
}

/** `3.2ms`, `4.1s`, `2m05s`, of milliseconds. */
export function formatSpan(ms: number): string {
  return formatNanoseconds(ms * 1e6);
}
