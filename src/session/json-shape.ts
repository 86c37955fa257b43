// Shapes of JSON: each a function that takes a parsed value, checks every field and gives a new value of its type, without what it does not
// know. Closures over their keys: of a schema library's time the recording of an hour takes a tenth.

/** Takes a parsed JSON value. Throws ShapeError. */
export type Shape<T> = (value: unknown) => T;

/** What a shape makes. */
export type Shaped<S> = S extends Shape<infer T> ? T : never;

/** A value is not of its shape: `path` is where in the document (`crash.frames.0.pc`). */
export class ShapeError extends Error {
  readonly path: string[] = [];
}

function fail(wanted: string, value: unknown): never {
  throw new ShapeError(`${wanted} expected, not ${kindOf(value)}`);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'an object';
  return JSON.stringify(value).slice(0, 60);
}

export const text: Shape<string> = (value) => (typeof value === 'string' ? value : fail('a string', value));

export const flag: Shape<boolean> = (value) => (typeof value === 'boolean' ? value : fail('true or false', value));

/** Finite. */
export const count: Shape<number> = (value) =>
  typeof value === 'number' && Number.isFinite(value) ? value : fail('a finite number', value);

/** From `least` to `most`, both included. */
export function within(least: number, most: number): Shape<number> {
  return (value) =>
    typeof value === 'number' && value >= least && value <= most ? value : fail(`a number from ${least} to ${most}`, value);
}

const BIG = /^-?0x[0-9a-f]{1,17}$/;

/** An integer as "0x…" or "-0x…", of at most 17 digits. */
export const big: Shape<bigint> = (value) => {
  if (typeof value !== 'string' || !BIG.test(value)) return fail('a hexadecimal number ("0x…")', value);
  return value.startsWith('-') ? -BigInt(value.slice(1)) : BigInt(value);
};

const BASE64 = /^(?:[\da-z+/]{4})*(?:[\da-z+/]{2}==|[\da-z+/]{3}=)?$/i;

/** Bytes in base64. */
export const bytes: Shape<Uint8Array> = (value) =>
  typeof value === 'string' && BASE64.test(value) ? new Uint8Array(Buffer.from(value, 'base64')) : fail('base64', value);

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return (value) => (value === null ? null : shape(value));
}

/** One of these words. */
export function oneOf<const W extends readonly string[]>(words: W): Shape<W[number]> {
  const known: ReadonlySet<unknown> = new Set(words);
  return (value) => (known.has(value) ? (value as W[number]) : fail(`one of ${words.join(', ')}`, value));
}

const MOST_ITEMS = 100_000;

/** A list of at most 100 000 items. */
export function list<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length > MOST_ITEMS) return fail(`a list of at most ${MOST_ITEMS} items`, value);
    const items: readonly unknown[] = value;
    let at = 0;
    try {
      return items.map((item, index) => {
        at = index;
        return shape(item);
      });
    } catch (error) {
      throw inside(error, String(at));
    }
  };
}

/** An object of any names, each value of the same shape. */
export function record<T>(shape: Shape<T>): Shape<Record<string, T>> {
  return (value) => {
    const result: Record<string, T> = {};
    for (const [key, item] of Object.entries(objectOf(value))) {
      // Names that would change what the object is.
      if (key === '__proto__' || key === 'constructor' || key === 'prototype') continue;
      try {
        result[key] = shape(item);
      } catch (error) {
        throw inside(error, key);
      }
    }
    return result;
  };
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type ObjectOf<F extends Fields> = { -readonly [K in keyof F]: Shaped<F[K]> };

/** An object with all of these fields; further ones are left out. */
export function object<F extends Fields>(fields: F): Shape<ObjectOf<F>>;
/** `maybe`: fields that may be missing, and then are missing in the result. */
export function object<F extends Fields, O extends Fields>(fields: F, maybe: O): Shape<ObjectOf<F> & Partial<ObjectOf<O>>>;
export function object(fields: Fields, maybe: Fields = {}): Shape<Record<string, unknown>> {
  const all = [...Object.entries(fields), ...Object.entries(maybe)].map(([key, shape]) => ({
    key,
    shape,
    isOptional: key in maybe,
  }));
  return (value) => {
    const given = objectOf(value);
    const result: Record<string, unknown> = {};
    let at = '';
    try {
      for (const { key, shape, isOptional } of all) {
        at = key;
        const field = given[key];
        if (field !== undefined || !isOptional) result[key] = shape(field);
      }
    } catch (error) {
      throw inside(error, at);
    }
    return result;
  };
}

/** Where a field is missing, `fallback` stands for it. */
export function withFallback<T>(shape: Shape<T>, fallback: T): Shape<T> {
  return (value) => (value === undefined ? fallback : shape(value));
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('an object', value);
  return value as Readonly<Record<string, unknown>>;
}

function inside(error: unknown, key: string): unknown {
  if (error instanceof ShapeError) error.path.unshift(key);
  return error;
}
