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
    }
  | { readonly type: 'value'; readonly id: number; readonly value: number }
);

export const MAX_RECORD = 112;
export const MIN_RECORD = 16;
const KINDS: readonly ProbeMetricKind[] = ['gauge', 'counter', 'span'];
/** Names become metric names in a screen, a report and Prometheus: nothing but the plain. */
const NAME = /^[A-Za-z][A-Za-z0-9_.]{0,71}$/;
const UNIT = /^[A-Za-z0-9{}/%._-]{0,20}$/;

/** Decodes one record; null when it is of an unknown type, too short for its type, or names what cannot be a name. */
export function decodeRecord(bytes: Uint8Array): ProbeRecord | null {
  try {
    return decodeChecked(new Cursor(bytes));
  } catch (error) {
    if (errorCode(error) === 'BYTES_OUT_OF_RANGE') return null;
    throw error;
  }
}

function decodeChecked(cursor: Cursor): ProbeRecord | null {
  const type = cursor.u8();
  cursor.skip(1);
  const id = cursor.u16();
  const sequence = cursor.u32();
  const time = cursor.u64();
  switch (type) {
    case 1: {
      const version = cursor.u8();
      cursor.skip(1);
      return {
        type: 'hello',
        sequence,
        time,
        version,
        metricCount: cursor.u16(),
        dropped: cursor.u32(),
        program: printable(readString(cursor)),
      };
    }
    case 2: {
      const kind = KINDS[cursor.u8()];
      const name = readString(cursor);
      const unit = readString(cursor);
      if (kind === undefined || !NAME.test(name) || !UNIT.test(unit)) return null;
      return { type: 'declare', sequence, time, id, kind, name, unit };
    }
    case 3:
      return { type: 'value', sequence, time, id, value: Number(cursor.i64()) };
    case 4:
      return readFloat(cursor, { sequence, time, id });
    case 5:
      return { type: 'value', sequence, time, id, value: Number(cursor.u64()) };
    default:
      return null;
  }
}

function readString(cursor: Cursor): string {
  return Buffer.from(cursor.take(cursor.u8())).toString('latin1');
}

/** A metric that is not a number is no value. */
function readFloat(cursor: Cursor, head: { sequence: number; time: bigint; id: number }): ProbeRecord | null {
  const bytes = cursor.take(8);
  const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getFloat64(0, true);
  return Number.isFinite(value) ? { type: 'value', ...head, value } : null;
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
