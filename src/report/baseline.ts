// The baseline: bugs that are known of a guest, as a file beside its sources. Against it each run's bugs are new, known or fixed.

import * as v from 'valibot';
import type { CrashKind } from '../model/crash.ts';
import { UnidbgError } from '../model/error.ts';
import type { Comparison, CrashGroup } from '../model/report.ts';

/** A bug that is known. `firstSeen`: ISO 8601, UTC; null when nothing told. */
export interface KnownBug {
  readonly signature: string;
  readonly alternatives: readonly string[];
  readonly kind: CrashKind;
  readonly title: string;
  readonly firstSeen: string | null;
}

/** What is known, and the file that says it. */
export interface Baseline {
  readonly path: string;
  readonly bugs: readonly KnownBug[];
}

/** Rises when a reader of an older one could go wrong. */
const BASELINE_VERSION = 1;
/** A baseline larger than this is none. */
const MAX_CHARACTERS = 16 << 20;
const MAX_BUGS = 10_000;
const KINDS = ['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang'] as const satisfies readonly CrashKind[];

const signature = v.pipe(v.string(), v.regex(/^[0-9a-f]{1,64}$/, 'a signature is hex digits'));
const FILE = v.object({
  unidbgBaseline: v.literal(BASELINE_VERSION),
  bugs: v.pipe(
    v.array(
      v.object({
        signature,
        alternatives: v.pipe(v.array(signature), v.maxLength(1000)),
        kind: v.picklist(KINDS),
        title: v.string(),
        firstSeen: v.nullable(v.pipe(v.string(), v.isoTimestamp())),
      }),
    ),
    v.maxLength(MAX_BUGS),
  ),
});

/** A baseline file's text. Throws REPORT_MALFORMED with the path and the field that is wrong. */
export function parseBaseline(text: string, path: string): Baseline {
  if (text.length > MAX_CHARACTERS) throw malformed(path, `it is larger than ${MAX_CHARACTERS >> 20} MiB`);
  const json = parseJson(text, path);
  const version = typeof json === 'object' && json !== null && 'unidbgBaseline' in json ? json.unidbgBaseline : undefined;
  if (typeof version === 'number' && version > BASELINE_VERSION)
    throw malformed(path, `it is of version ${version}, this unidbg reads ${BASELINE_VERSION}: use a newer unidbg`);
  const result = v.safeParse(FILE, json);
  if (result.success) return { path, bugs: result.output.bugs };
  const issue = result.issues[0];
  throw malformed(path, `${v.getDotPath(issue) ?? 'the document'}: ${issue.message}`);
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(path, 'it is not JSON', cause);
  }
}

function malformed(path: string, why: string, cause?: unknown): UnidbgError {
  const message = `${path} is not a baseline that unidbg wrote: ${why}; --update-baseline writes a new one once the file is gone`;
  return new UnidbgError('REPORT_MALFORMED', message, { cause, facts: { path } });
}

/** The file's text: a bug a line, in the order of signatures, so that its history is readable. */
export function formatBaseline({ bugs }: Baseline): string {
  const lines = bugs
    .toSorted((a, b) => (a.signature < b.signature ? -1 : 1))
    .map(({ signature: own, alternatives, kind, title, firstSeen }) =>
      JSON.stringify({ signature: own, alternatives: alternatives.toSorted(), kind, title: title.toWellFormed(), firstSeen }),
    );
  return `{"unidbgBaseline":${BASELINE_VERSION},"bugs":[${lines.length === 0 ? '' : `\n${lines.join(',\n')}\n`}]}\n`;
}

/**
 * The baseline with the bugs that were new. What was not seen stays: a bug that comes up once in fifty runs is not fixed because one
 * run went well. Who knows that it is deletes its line.
 */
export function updateBaseline(baseline: Baseline, comparison: Comparison): Baseline {
  const added = comparison.new.map(({ signature: own, alternatives, kind, title, first }) => ({
    ...{ signature: own, alternatives, kind, title },
    firstSeen: first.at === null ? null : new Date(first.at).toISOString(),
  }));
  return { ...baseline, bugs: [...baseline.bugs, ...added].slice(0, MAX_BUGS) };
}

/** Which bugs are new, which known; and which of the known did not come up. */
export function compareWithBaseline(groups: readonly CrashGroup[], { path, bugs }: Baseline): Comparison {
  const known = groups.filter((group) => isKnown(group, bugs));
  return {
    baseline: path,
    new: groups.filter((group) => !known.includes(group)),
    known,
    fixed: bugs
      .filter((bug) => !groups.some((group) => couldBe(group, bug)))
      .map(({ signature: own, title }) => ({ signature: own, title })),
  };
}

/** A text that says too little to tell two known bugs apart is neither of them (as in groups.ts). */
function isKnown(group: CrashGroup, bugs: readonly KnownBug[]): boolean {
  const toldMore = bugs.filter((bug) => bug.alternatives.includes(group.signature));
  return bugs.some((bug) => isToldLess(group, bug)) || toldMore.length === 1;
}

function couldBe(group: CrashGroup, bug: KnownBug): boolean {
  return isToldLess(group, bug) || bug.alternatives.includes(group.signature);
}

/** The baseline knows the same of it, or less. */
function isToldLess(group: CrashGroup, bug: KnownBug): boolean {
  return group.signature === bug.signature || group.alternatives.includes(bug.signature);
}
