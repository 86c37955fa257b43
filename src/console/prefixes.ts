// What others put in front of a console line on its way to us: kernels' time stamps, syslog, journald, docker, kubectl, CI services,
// vmrunner. Systems' own prefixes (`CRIT: [lib] <file @ 12> `) are in their CrashTexts.

const MAX_PREFIXES = 6;

const ISO = String.raw`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d)?`;
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const TIME = String.raw`\d\d:\d\d:\d\d(?:[.,]\d{1,9})?`;
/** Behind a date alone these two words would also be `fatal error: `; so either a process number or `kernel` must be told. */
const SENDER = String.raw`[\w.-]{1,64} (?:[\w./@()-]{1,64}\[\d{1,7}\]|kernel): `;

const PREFIX = new RegExp(
  [
    String.raw`\\u\{feff\}`, // the byte order mark of a file, as the decoder shows it: GitHub Actions' logs begin so
    String.raw` ?\[ *\d{1,8}\.\d{1,9}\](?:\[ {0,8}[TC]\d{1,8}\])? (?:${SENDER})?`, // seconds since boot, the caller: Unikraft, Nanos, Linux; journalctl -o short-monotonic
    String.raw`\[${DAY} ${MONTH} [ \d]\d ${TIME} \d{4}\] `, // dmesg -T
    String.raw`(?:kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]) *:(?:emerg|alert|crit|err|warn|notice|info|debug) *: `, // dmesg -x
    String.raw`<\d{1,3}>1 ${ISO} \S{1,255} \S{1,48} \S{1,128} \S{1,32} (?:-|(?:\[(?:[^\]"]|"(?:[^"\\]|\\.){0,200}"){0,200}\]){1,8}) ?`, // syslog (RFC 5424)
    String.raw`${MONTH} [ \d]\d ${TIME} (?:${SENDER}|(?!fatal )[a-z0-9][\w.-]{0,63} [\w./@-]{1,64}: )?`, // syslog (RFC 3164), journald; ts
    String.raw`${ISO} \d\d[OE][+ ]`, // GitLab's runner
    String.raw`\[?${ISO}\]?:? (?:${SENDER}|[\w-]{1,64}\[\w{1,32}\] \w{3} \[\w{1,16}\] ?)?`, // docker -t, kubectl, Actions, rsyslog, libvirt, Jenkins; fly.io
    String.raw`\[?${TIME}\]? {1,2}(?=\S)`, // Jenkins puts two spaces
    String.raw`\[?${TIME}\]? `,
    String.raw`[A-Za-z][^:]{1,160}? \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z `, // `gh run view --log`: job, step and time, tabs between
    String.raw`1\d{9}(?:\.\d{1,9})? |@[0-9a-f]{24} `, // seconds since the epoch; multilog's TAI64N
    String.raw`<\d{1,3}>`, // syslog priority, kernel log level
    '<vm> ', // IncludeOS' vmrunner
    String.raw`\[pod\/[\w./-]{1,200}\] `, // kubectl --prefix
    String.raw`[A-Za-z][\w.@-]{1,63} +\| |\d{1,3}\|[\w-]{1,64} *\| `, // docker compose, docker service; pm2
    String.raw`==> [\w.-]{1,64}: `, // vagrant
    String.raw`##\[(?:error|warning|debug|group|command)\]`, // GitHub Actions, Azure Pipelines
  ].join('|'),
  'y',
);

/** `text` without the prefixes that carriers put before it, at most six; trailing blanks stay. */
export function stripPrefixes(text: string): string {
  let at = 0;
  for (let count = 0; count < MAX_PREFIXES; count += 1) {
    PREFIX.lastIndex = at;
    if (!PREFIX.test(text)) break;
    at = PREFIX.lastIndex;
  }
  return at === 0 ? text : text.slice(at);
}
