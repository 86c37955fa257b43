// What a guest answers when its heap is asked for: by the program that we evaluate in it (guest-program.ts), or by the inspector
// alone (CDP Runtime.getHeapUsage). A guest's word: every number is checked, lists and names are bounded.

import * as v from 'valibot';
import { UnidbgError } from '../model/error.ts';
import { MAX_KEPT } from './guest-program.ts';
import { safeText } from './text.ts';

/** A heap space. Bytes. */
export interface HeapSpace {
  readonly name: string;
  readonly size: number;
  readonly used: number;
  readonly available: number;
  readonly physical: number;
}

/** Garbage collections of one kind: `major`, `minor`, `incremental`, `weakcb`, `other`. */
export interface GcTotal {
  readonly count: number;
  readonly ms: number;
}

/** One reading of a program's own counters. */
export interface HeapReading {
  /** v8.getHeapStatistics(), in its own words; without `evaluate` only used_heap_size and total_heap_size. */
  readonly statistics: Readonly<Record<string, number>>;
  readonly spaces: readonly HeapSpace[];
  /** Null without `evaluate`. Counted since the observation began. */
  readonly gc: {
    readonly totals: ReadonlyMap<string, GcTotal>;
    /** The newest since the last reading, oldest first. */
    readonly recent: readonly { readonly kind: string; readonly ms: number }[];
    /** False: some went by before this reading, unobserved. */
    readonly isWhole: boolean;
  } | null;
  /** Milliseconds since the event loop began; null where the guest does not count them. */
  readonly loop: { readonly idle: number; readonly active: number } | null;
}

const MAX_NAMED = 64;

const amount = v.pipe(v.number(), v.minValue(0));
const name = v.pipe(
  v.string(),
  v.transform((text) => safeText(text, 64)),
);
const records = v.pipe(
  v.record(name, amount),
  v.check((entries) => Object.keys(entries).length <= MAX_NAMED),
);
const space = v.pipe(
  v.object({
    ...{ space_name: name, space_size: amount, space_used_size: amount },
    ...{ space_available_size: amount, physical_space_size: amount },
  }),
  v.transform(
    (entry): HeapSpace => ({
      name: entry.space_name,
      size: entry.space_size,
      used: entry.space_used_size,
      available: entry.space_available_size,
      physical: entry.physical_space_size,
    }),
  ),
);
const kind = v.picklist(['major', 'minor', 'incremental', 'weakcb', 'other']);
const readingSchema = v.object({
  statistics: records,
  spaces: v.pipe(v.array(space), v.maxLength(MAX_NAMED)),
  gc: v.object({
    totals: v.pipe(
      v.record(kind, v.object({ count: amount, ms: amount })),
      v.transform((totals) => new Map(Object.entries(totals))),
    ),
    recent: v.pipe(v.array(v.object({ kind, ms: amount })), v.maxLength(MAX_KEPT)),
    isWhole: v.boolean(),
  }),
  loop: v.nullable(v.object({ idle: amount, active: amount })),
});
const usageSchema = v.object({ usedSize: amount, totalSize: amount });

/** Decodes what the guest program's `read()` returned. Throws INSPECTOR_MALFORMED. */
export function decodeReading(value: unknown): HeapReading {
  return decodeBy(readingSchema, value, 'heap statistics');
}

/** Decodes the answer to Runtime.getHeapUsage. Throws INSPECTOR_MALFORMED. */
export function decodeUsage(answer: unknown): HeapReading {
  const { usedSize, totalSize } = decodeBy(usageSchema, answer, 'heap usage');
  return { statistics: { used_heap_size: usedSize, total_heap_size: totalSize }, spaces: [], gc: null, loop: null };
}

/** Checks what a guest answered. Throws INSPECTOR_MALFORMED, naming the first field that is wrong. */
export function decodeBy<T extends v.GenericSchema>(schema: T, value: unknown, what: string): v.InferOutput<T> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const path = v.getDotPath(result.issues[0]) ?? '';
  throw new UnidbgError(
    'INSPECTOR_MALFORMED',
    `the V8 inspector's ${what} are not what they should be: ${safeText(path, 100)} is wrong`,
  );
}
