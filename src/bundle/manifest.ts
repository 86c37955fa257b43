// What a bundle says of itself (docs/bundle.md): `manifest.json`, its first member, says what it is of and how it was made; `complete.json`,
// its last, says what became of that. Both may come from a stranger: every field is checked.

import * as v from 'valibot';
import { UnidbgError } from '../model/error.ts';

/** Rises when an older reader could go wrong. */
export const BUNDLE_FORMAT = 1;

const count = v.pipe(v.number(), v.finite(), v.minValue(0));
const text = v.string();
const maybeText = v.nullable(text);
const maybeCount = v.nullable(count);
const list = <S extends v.GenericSchema>(item: S) => v.pipe(v.array(item), v.maxLength(10_000), v.readonly());
const machine = v.picklist(['x86_64', 'i386', 'aarch64', 'riscv64']);

const manifestSchema = v.object({
  unidbgBundle: v.literal(BUNDLE_FORMAT),
  /** Version of the unidbg that wrote it. */
  unidbg: text,
  /** ISO 8601, UTC. */
  madeAt: text,
  /** `crash`: by itself when the guest died; `verdict`: a run ended otherwise than expected; `asked`: somebody wanted it. */
  why: v.picklist(['crash', 'verdict', 'asked']),
  /** The crash's title, or the expectation that failed; null when it was asked for. */
  reason: maybeText,
  vm: v.object({
    name: text,
    pid: maybeCount,
    machine,
    vcpus: count,
    memoryBytes: maybeCount,
    unikernel: maybeText,
    accelerator: maybeText,
    qemuVersion: maybeText,
    /** As QEMU was started, with all that stands in it; empty where it is not known. */
    commandLine: list(text),
  }),
  /** `path` as it was where the bundle was made. `baseAddress`, `endAddress` and `loadBias` are "0x…". */
  images: list(v.object({ path: text, buildId: maybeText, match: text, base: text, end: text, loadBias: text, placedBy: text })),
  /** How memory was read; null: there is no core, and `noCore` says why. */
  core: v.nullable(v.object({ mode: v.picklist(['consistent', 'live']), reader: text })),
  noCore: maybeText,
  /** Where the console begins: `from its first byte`, or what is missing before; null: there is none, and `noConsole` says why. */
  console: maybeText,
  noConsole: maybeText,
  /** Since when events were seen, ISO 8601; null: there are none. */
  eventsSince: maybeText,
});

const completionSchema = v.object({
  completedAt: text,
  /** All members before this one. `partial`: why it is not whole; null when it is. */
  members: list(v.object({ name: text, size: count, sha256: text, partial: maybeText })),
  /** For how long the guest stood still for it, ms; null: it was not stopped by us. */
  stoppedMs: maybeCount,
  /** What of memory is in the core; null without one. */
  core: v.nullable(
    v.object({
      /** RAM and ROM that the guest has, pages of 4 KiB. */
      pages: count,
      /** Not zero. */
      pagesWithData: count,
      /** Never touched: known to be zero without reading. */
      pagesUntouched: count,
      /** Could not be read, and are not there. */
      pagesUnreadable: count,
    }),
  ),
});

/** `manifest.json`. */
export type Manifest = v.InferOutput<typeof manifestSchema>;

/** `complete.json`. */
export type Completion = v.InferOutput<typeof completionSchema>;

/** Throws BUNDLE_MALFORMED, naming the first field that is wrong. */
export function parseManifest(json: string, path: string): Manifest {
  return parse(manifestSchema, json, `${path}: manifest.json`);
}

/** Throws BUNDLE_MALFORMED, naming the first field that is wrong. */
export function parseCompletion(json: string, path: string): Completion {
  return parse(completionSchema, json, `${path}: complete.json`);
}

function parse<S extends v.GenericSchema>(schema: S, json: string, what: string): v.InferOutput<S> {
  const result = v.safeParse(schema, readJson(json, what));
  if (result.success) return result.output;
  const issue = result.issues[0];
  const where = v.getDotPath(issue) ?? 'the document';
  const later = where === 'unidbgBundle' ? '; is it of a later unidbg?' : '';
  throw new UnidbgError('BUNDLE_MALFORMED', `${what}: ${where}: ${issue.message}${later}`);
}

function readJson(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new UnidbgError('BUNDLE_MALFORMED', `${what} is not JSON: it is damaged`, { cause });
  }
}
