// Records of the in-guest probe: docs/probe-protocol.md, section "Records". The guest is hostile: whatever the bytes are,
// the answer is a record or null.

import { Cursor } from '../../src/bytes/cursor.ts';
import { errorCode } from '../../src/model/error.ts';

/** Kinds a DECLARE may name; `span` values are nanoseconds. */
export type ProbeMetricKind = 'gauge' | 'counter' | 'span';

/** One record. `sequence` counts all records of a guest modulo 2^32; `time` is the guest's own clock in ns. */
export type ProbeRecord = { readonly sequence: number; readonly time: bigint } & (
  | {
      readonly type: 'hello';
      readonly version: number;
      readonly metricCount: number;
      readonly dropped: number;
      readonly program: string;
    }
  | {
      readonly type: 'declare';
      readonly id: number;
      readonly kind: ProbeMetricKind;
      readonly name: string;
      readonly unit: string;
      readonly attributes: Readonly<Record<string, string>>;
    }
  | { readonly type: 'value'; readonly id: number; readonly value: number }
  /** Came whole, but says nothing to us: a type of a later version, a name that cannot be one, a value that is no number. */
  | { readonly type: 'ignored' }
);

/** The protocol's version that is known here. */
export const PROBE_VERSION = 1;
export const MAX_RECORD = 112;
export const MIN_RECORD = 16;
/** Types as the wire has them. */
export const TYPE = { hello: 1, declare: 2, integer: 3, float: 4, span: 5 } as const;
/** Offsets in every record. */
export const AT = { type: 0, id: 2, sequence: 4, time: 8, body: 16 } as const;
/** A record of a value is so long. */
export const VALUE_SIZE = 24;

const KINDS: readonly ProbeMetricKind[] = ['gauge', 'counter', 'span'];
/** Names become metric names in a screen, a report and Prometheus: nothing but the plain. */
const NAME = /^[A-Za-z][A-Za-z0-9_.]{0,71}$/;
const UNIT = /^[A-Za-z0-9{}/%._-]{0,20}$/;
const ATTRIBUTE = /^([A-Za-z][A-Za-z0-9_.]*)=([A-Za-z0-9_.:/ -]+)$/;
const MAX_ATTRIBUTES = 4;
const NO_ATTRIBUTES: Readonly<Record<string, string>> = {};

/** Decodes one record; null when it is too short to be one. */
export function decodeRecord(bytes: Uint8Array): ProbeRecord | null {
  if (bytes.length < MIN_RECORD || bytes.length > MAX_RECORD) return null;
  const cursor = new Cursor(bytes);
  const type = cursor.u8();
  cursor.skip(1);
  const id = cursor.u16();
  const head = { sequence: cursor.u32(), time: cursor.u64() };
  try {
    return { ...head, ...(decodeBody(cursor, type, id) ?? { type: 'ignored' }) };
  } catch (error) {
    if (errorCode(error) === 'BYTES_OUT_OF_RANGE') return { ...head, type: 'ignored' };
    throw error;
  }
}

type Body<R = ProbeRecord> = R extends ProbeRecord ? Omit<R, 'sequence' | 'time'> : never;

function decodeBody(cursor: Cursor, type: number, id: number): Body | null {
  switch (type) {
    case TYPE.hello: {
      const version = cursor.u8();
      cursor.skip(1);
      const [metricCount, dropped] = [cursor.u16(), cursor.u32()];
      return { type: 'hello', version, metricCount, dropped, program: printable(readString(cursor)) };
    }
    case TYPE.declare: {
      const kind = KINDS[cursor.u8()];
      const [name, unit] = [readString(cursor), readString(cursor)];
      const attributes = cursor.atEnd ? NO_ATTRIBUTES : parseAttributes(readString(cursor));
      if (kind === undefined || !NAME.test(name) || !UNIT.test(unit) || attributes === null) return null;
      return { type: 'declare', id, kind, name, unit, attributes };
    }
    case TYPE.integer:
      return { type: 'value', id, value: Number(cursor.i64()) };
    case TYPE.float: {
      const bytes = cursor.take(8);
      const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
      return Number.isFinite(value) ? { type: 'value', id, value } : null;
    }
    case TYPE.span:
      return { type: 'value', id, value: Number(cursor.u64()) };
    default:
      return null;
  }
}

/** `key=value,key=value`; null when it is anything else. */
function parseAttributes(text: string): Readonly<Record<string, string>> | null {
  if (text === '') return NO_ATTRIBUTES;
  const pairs = text.split(',').map((pair) => ATTRIBUTE.exec(pair));
  if (pairs.length > MAX_ATTRIBUTES || pairs.includes(null)) return null;
  const attributes = Object.fromEntries(pairs.map((pair) => [pair![1]!, pair![2]!]));
  return Object.keys(attributes).length === pairs.length ? attributes : null;
}

function readString(cursor: Cursor): string {
  return Buffer.from(cursor.take(cursor.u8())).toString('latin1');
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
