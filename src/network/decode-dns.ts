// A DNS message (RFC 1035 §4): the question, the response code, the addresses answered.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { ipv4Text, ipv6Text, nameText } from './wire-text.ts';

/** A DNS message, terminal-safe. */
export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  /** Its answer did not fit: the question is asked again over TCP. */
  readonly truncated: boolean;
  /** `NOERROR`, `NXDOMAIN`, … */
  readonly code: string;
  /** The first question; null when there is none. */
  readonly question: { readonly name: string; readonly type: string } | null;
  /** Data of the first answers: addresses, names; bounded. */
  readonly answers: readonly string[];
}

const CODES = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
];
const TYPES: ReadonlyMap<number, string> = new Map([
  ...([
    [1, 'A'],
    [2, 'NS'],
    [5, 'CNAME'],
    [6, 'SOA'],
    [12, 'PTR'],
    [15, 'MX'],
    [16, 'TXT'],
    [28, 'AAAA'],
  ] as const),
  ...([
    [33, 'SRV'],
    [35, 'NAPTR'],
    [43, 'DS'],
    [48, 'DNSKEY'],
    [64, 'SVCB'],
    [65, 'HTTPS'],
    [255, 'ANY'],
    [257, 'CAA'],
  ] as const),
]);
const MAX_ANSWERS = 8;
const MAX_QUESTIONS = 4;
/** RFC 1035 §2.3.4: a name has at most 255 bytes, so at most 127 labels; pointers cost no bytes and are bounded with them. */
const MAX_LABELS = 127;
const MAX_NAME_BYTES = 255;

/** Decodes a message; null when it is none. Never throws. */
export function decodeDns(bytes: Uint8Array): DnsMessage | null {
  try {
    return readMessage(new Cursor(bytes, { littleEndian: false }));
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    return null;
  }
}

function readMessage(cursor: Cursor): DnsMessage | null {
  const [id, flags, questions, answers] = [cursor.u16(), cursor.u16(), cursor.u16(), cursor.u16()];
  cursor.skip(4);
  // Requests of several questions exist on paper only (RFC 9619).
  if (questions > MAX_QUESTIONS) return null;
  let question: DnsMessage['question'] = null;
  for (let count = 0; count < questions; count += 1) {
    const name = readName(cursor);
    if (name === null) return null;
    question ??= { name, type: typeName(cursor.u16()) };
    cursor.skip(count === 0 ? 2 : 4);
  }
  return {
    ...{ id, isResponse: (flags & 0x8000) !== 0, truncated: (flags & 0x0200) !== 0, question },
    code: CODES[flags & 0xf] ?? `code ${String(flags & 0xf)}`,
    answers: readAnswers(cursor, answers),
  };
}

// A response cut by the capture still told its code: answers are read as far as they go.
function readAnswers(cursor: Cursor, count: number): string[] {
  const answers: string[] = [];
  try {
    for (let index = 0; index < Math.min(count, MAX_ANSWERS); index += 1) {
      if (readName(cursor) === null) return answers;
      const type = cursor.u16();
      cursor.skip(6);
      const end = cursor.u16() + cursor.offset;
      const answer = readData(cursor, type, end - cursor.offset);
      if (answer !== null) answers.push(answer);
      cursor.seek(end);
    }
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
  }
  return answers;
}

function readData(cursor: Cursor, type: number, length: number): string | null {
  if (type === 1 && length === 4) return ipv4Text(cursor.take(4));
  if (type === 28 && length === 16) return ipv6Text(cursor.take(16));
  return type === 5 || type === 2 || type === 12 ? readName(cursor) : null;
}

/** A domain name, following compression pointers (RFC 1035 §4.1.4); null when it is longer than a name can be. */
function readName(cursor: Cursor): string | null {
  const labels: string[] = [];
  let bytes = 0;
  let after: number | null = null;
  for (let steps = 0; steps < MAX_LABELS + 1; steps += 1) {
    const length = cursor.u8();
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | cursor.u8();
      after ??= cursor.offset;
      cursor.seek(target);
    } else if (length === 0) {
      if (after !== null) cursor.seek(after);
      return labels.length === 0 ? '.' : labels.join('.');
    } else {
      bytes += length + 1;
      if (length > 63 || bytes > MAX_NAME_BYTES) return null;
      labels.push(nameText(cursor.take(length)));
    }
  }
  return null;
}

function typeName(type: number): string {
  return TYPES.get(type) ?? `TYPE${String(type)}`;
}
