// Reports that `unidbg analyze --json` wrote: each build's logs are read with that build's symbols, and put together later.

import { readFileSync, statSync } from 'node:fs';
import * as v from 'valibot';
import type { CrashKind } from '../../model/crash.ts';
import { UnidbgError } from '../../model/error.ts';
import type { SeenCrash } from '../../report/groups.ts';
import { SCHEMA_VERSION } from '../../report/json.ts';

/** A report larger than this is none. */
const MAX_BYTES = 64 << 20;
const KINDS = ['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang'] as const satisfies readonly CrashKind[];

const SAVED = v.object({
  schemaVersion: v.literal(SCHEMA_VERSION),
  source: v.string(),
  seenAt: v.nullable(v.pipe(v.string(), v.isoTimestamp())),
  crash: v.nullable(
    v.object({ kind: v.picklist(KINDS), title: v.string(), signature: v.string(), alternatives: v.array(v.string()) }),
  ),
});

/** Whether the file is named as a report is. */
export function isReportPath(path: string): boolean {
  return path.endsWith('.json');
}

/** The crash of a saved report; null when it tells of none. Throws REPORT_MALFORMED with the path. */
export function readSavedReport(path: string): SeenCrash | null {
  const { source, seenAt, crash } = decode(path);
  if (crash === null) return null;
  return { crash, seen: { source, at: seenAt === null ? null : Date.parse(seenAt) } };
}

function decode(path: string): v.InferOutput<typeof SAVED> {
  try {
    if (statSync(path).size > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES >> 20} MiB`);
    return v.parse(SAVED, JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `${path} is not a report that \`unidbg analyze --json\` wrote: ${why}`;
    throw new UnidbgError('REPORT_MALFORMED', message, { cause: error, facts: { path } });
  }
}
