// What others put in front of a console line on its way to us: kernels' time stamps, syslog, journald, docker, kubectl,
// GitHub Actions, vmrunner. Systems' own prefixes (`CRIT: [lib] <file @ 12> `) are in their CrashTexts.

const MAX_PREFIXES = 4;

const PREFIX = new RegExp(
  [
    /^ ?\[ *\d{1,8}\.\d{1,9}\] /, // seconds since boot: Unikraft, Nanos, Linux
    /^\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?\]?:? /, // ISO 8601: docker -t, kubectl, Actions
    /^\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]? /,
    /^(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d \S{1,64} \S{1,64}: /, // syslog (RFC 3164), journald
    /^<\d{1,3}>/, // syslog priority, kernel log level
    /^<vm> /, // IncludeOS' vmrunner
    /^[A-Za-z][\w.-]{1,63} +\| /, // docker compose
  ]
    .map((pattern) => pattern.source.slice(1))
    .join('|'),
  'y',
);

/** The only characters that a prefix begins with, but for docker compose's, which has a bar. */
const MAY_BEGIN = /[ <[0-9ADFJMNOS]/y;

/** `text` without the prefixes that carriers put before it, at most four; trailing blanks stay. */
export function stripPrefixes(text: string): string {
  let at = 0;
  for (let count = 0; count < MAX_PREFIXES; count += 1) {
    MAY_BEGIN.lastIndex = at;
    if (!MAY_BEGIN.test(text) && !text.includes(' | ', at)) break;
    PREFIX.lastIndex = at;
    if (!PREFIX.test(text)) break;
    at = PREFIX.lastIndex;
  }
  return at === 0 ? text : text.slice(at);
}
