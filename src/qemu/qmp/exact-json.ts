// JSON (RFC 8259) without losing integers: QMP carries 64-bit addresses, sizes and counters as plain JSON numbers, and
// JSON.parse rounds above 2^53. The exact digits come from the reviver's source text (TC39 proposal-json-parse-with-source,
// in V8 since 11.4).

/** A JSON value as QMP has it: an integer is a `number` within ±(2^53 − 1) and a `bigint` beyond. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | { readonly [key: string]: Json };

/** A JSON object. */
export type JsonObject = Readonly<Record<string, Json>>;

type SourceReviver = (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown;

/** 16 digits in a row: below that no integer can exceed 2^53, and the slow reviver is not needed. */
const LONG_INTEGER = /\d{16}/;

/** Parses JSON text; integers beyond 2^53 come back as bigint. Throws SyntaxError as JSON.parse does. */
export function parseExactJson(text: string): Json {
  if (!LONG_INTEGER.test(text)) return JSON.parse(text) as Json;
  const revive: SourceReviver = (_key, value, context) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value) || context.source === undefined) return value;
    return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  };
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown) as Json;
}

/** JSON text of `value` on one line; a bigint is written as the integer it is. */
export function encodeExactJson(value: Json): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => encodeExactJson(item as Json)).join(',')}]`;
  const members = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${encodeExactJson(item)}`);
  return `{${members.join(',')}}`;
}

/** The member `key` of a JSON object, or undefined when `value` is no object or has none. */
export function findMember(value: Json | undefined, key: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, key) ? (value as JsonObject)[key] : undefined;
}

/** A JSON integer as a number, when it is one and exact; null otherwise. */
export function findInteger(value: Json | undefined): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : null;
}

/** A JSON string, or null. */
export function findText(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
