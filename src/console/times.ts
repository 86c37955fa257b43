// When a line was printed, where a carrier of logs (docker, kubectl, journald, GitHub Actions) put a date before it.

/** ISO 8601 / RFC 3339 with a date, near the start of the line; without a zone it is UTC, as carriers write it. */
const DATE = /(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z| ?[+-]\d\d:?\d\d)?/;
/** What may stand before it: a name, a bracket, a colour. */
const MAX_BEFORE = 64;

/** Ms since the epoch; null when the line has no date. */
export function findTime(line: string): number | null {
  const match = DATE.exec(line.slice(0, MAX_BEFORE * 2));
  if (match === null || match.index > MAX_BEFORE) return null;
  const [, date = '', time = '', fraction = '', zone = 'Z'] = match;
  const at = Date.parse(`${date}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}${zone.trim().replace(/(\d\d)(\d\d)$/, '$1:$2')}`);
  return Number.isNaN(at) ? null : at;
}
