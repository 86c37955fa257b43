// One direction of a TLS connection (RFC 5246 §6.2, RFC 8446 §5 and §4.1): records, hellos and alerts, cut anywhere. Keys are
// never needed: what is protected is told as a record's type and length.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { nameText } from './wire-text.ts';

/** What a direction said. */
export type TlsWord =
  | {
      readonly kind: 'client-hello';
      readonly serverName: string | null;
      /** The highest version offered, as its code: 0x0303 is TLS 1.2. */
      readonly version: number;
      readonly protocols: readonly string[];
    }
  | { readonly kind: 'server-hello'; readonly version: number }
  | { readonly kind: 'alert'; readonly fatal: boolean; readonly description: number }
  /** A record whose content is encrypted; its type is the outer one. */
  | { readonly kind: 'protected'; readonly type: number; readonly length: number }
  | { readonly kind: 'not-tls' };

const CHANGE_CIPHER_SPEC = 20;
export const ALERT = 21;
export const HANDSHAKE = 22;
export const APPLICATION_DATA = 23;
const HEADER_BYTES = 5;
/** RFC 5246 §6.2.3 allows 2048 bytes of expansion. */
const MAX_RECORD_BYTES = 16384 + 2048;
/** Longer hellos are nobody's; post-quantum key shares made them some 2 KiB. */
const MAX_HELLO_BYTES = 32 * 1024;

/** Whether bytes, few as they may be, can be the beginning of a ClientHello's record. */
export function mayBeTls(bytes: Uint8Array): boolean {
  const [type, major, , , , message] = bytes;
  return type === HANDSHAKE && (major ?? 3) === 3 && (message ?? 1) === 1;
}

/** Reads one direction from its first byte. */
export class TlsReader {
  private pending: Uint8Array = new Uint8Array(0);
  private handshake: Uint8Array = new Uint8Array(0);
  /** Bytes of a record, and of a handshake message, that nobody wants. */
  private skip = 0;
  private skipMessage = 0;
  private ciphered = false;
  private ended = false;

  /** Takes the next bytes in order; never throws. After `not-tls` it says no more. */
  push(bytes: Uint8Array): readonly TlsWord[] {
    const words: TlsWord[] = [];
    if (this.ended) return words;
    this.pending = joined(this.pending, bytes);
    try {
      while (this.readRecord(words));
    } catch (error) {
      if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
      this.giveUp(words);
    }
    return words;
  }

  private readRecord(words: TlsWord[]): boolean {
    const skipped = Math.min(this.skip, this.pending.length);
    this.pending = this.pending.subarray(skipped);
    this.skip -= skipped;
    if (this.ended || this.skip > 0 || this.pending.length < HEADER_BYTES) return false;
    const type = this.pending[0]!;
    const length = (this.pending[3]! << 8) | this.pending[4]!;
    const isKnown = type >= CHANGE_CIPHER_SPEC && type <= 24 && this.pending[1] === 3;
    if (!isKnown || length > MAX_RECORD_BYTES) return this.giveUp(words);
    const isReadable = (type === ALERT && length === 2) || (type === HANDSHAKE && !this.ciphered);
    if (isReadable && this.pending.length < HEADER_BYTES + length) return false;
    if (isReadable) {
      const body = this.pending.subarray(HEADER_BYTES, HEADER_BYTES + length);
      if (type === HANDSHAKE) this.readHandshake(body, words);
      else words.push({ kind: 'alert', fatal: body[0] === 2, description: body[1]! });
    } else if (type === CHANGE_CIPHER_SPEC) {
      this.ciphered = true;
    } else {
      words.push({ kind: 'protected', type, length });
    }
    this.pending = this.pending.subarray(HEADER_BYTES);
    this.skip = length;
    return !this.ended;
  }

  private readHandshake(body: Uint8Array, words: TlsWord[]): void {
    this.handshake = joined(this.handshake, body);
    for (;;) {
      const skipped = Math.min(this.skipMessage, this.handshake.length);
      this.handshake = this.handshake.subarray(skipped);
      this.skipMessage -= skipped;
      if (this.skipMessage > 0 || this.handshake.length < 4) return;
      const type = this.handshake[0]!;
      const length = (this.handshake[1]! << 16) | (this.handshake[2]! << 8) | this.handshake[3]!;
      const isHello = type === 1 || type === 2;
      if (isHello && length > MAX_HELLO_BYTES) {
        this.giveUp(words);
        return;
      }
      if (isHello && this.handshake.length < 4 + length) return;
      if (isHello) words.push(readHello(type, this.handshake.subarray(4, 4 + length)));
      this.skipMessage = 4 + length;
    }
  }

  private giveUp(words: TlsWord[]): false {
    if (!this.ended) words.push({ kind: 'not-tls' });
    this.ended = true;
    this.pending = this.handshake = new Uint8Array(0);
    return false;
  }
}

const SERVER_NAME = 0;
const ALPN = 16;
const SUPPORTED_VERSIONS = 43;
const MAX_EXTENSIONS = 128;
const MAX_PROTOCOLS = 8;

function readHello(type: number, body: Uint8Array): TlsWord {
  const cursor = new Cursor(body, { littleEndian: false });
  let version = cursor.u16();
  cursor.skip(32);
  cursor.skip(cursor.u8());
  if (type === 1) {
    cursor.skip(cursor.u16());
    cursor.skip(cursor.u8());
  } else {
    cursor.skip(3);
  }
  let serverName: string | null = null;
  let protocols: readonly string[] = [];
  // Before TLS 1.2 a hello could end here.
  const extensions = cursor.atEnd ? cursor : cursor.split(Math.min(cursor.u16(), cursor.remaining));
  for (let count = 0; count < MAX_EXTENSIONS && extensions.remaining >= 4; count += 1) {
    const kind = extensions.u16();
    const value = extensions.split(extensions.u16());
    if (kind === SERVER_NAME && type === 1) serverName = readServerName(value);
    if (kind === ALPN) protocols = readProtocols(value);
    if (kind === SUPPORTED_VERSIONS) version = type === 1 ? readVersions(value, version) : value.u16();
  }
  return type === 1 ? { kind: 'client-hello', serverName, version, protocols } : { kind: 'server-hello', version };
}

// RFC 6066 §3; a server answers with an empty one.
function readServerName(value: Cursor): string | null {
  if (value.remaining < 5) return null;
  value.skip(2);
  return value.u8() === 0 ? nameText(value.take(value.u16())) : null;
}

// RFC 7301 §3.1.
function readProtocols(value: Cursor): string[] {
  const names: string[] = [];
  value.skip(2);
  while (!value.atEnd && names.length < MAX_PROTOCOLS) names.push(nameText(value.take(value.u8())));
  return names;
}

// RFC 8446 §4.2.1; RFC 8701 sprinkles meaningless versions (0x?a?a) between.
function readVersions(value: Cursor, legacy: number): number {
  let best = legacy;
  value.skip(1);
  while (value.remaining >= 2) {
    const version = value.u16();
    if (version >> 8 === 3 && version > best) best = version;
  }
  return best;
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length === 0) return right;
  const whole = new Uint8Array(left.length + right.length);
  whole.set(left);
  whole.set(right, left.length);
  return whole;
}

const ALERTS: Readonly<Record<number, string>> = {
  0: 'close notify',
  10: 'unexpected message',
  20: 'bad record MAC',
  21: 'decryption failed',
  22: 'record overflow',
  30: 'decompression failure',
  40: 'handshake failure (no cipher or key exchange in common)',
  41: 'no certificate',
  42: 'bad certificate',
  43: 'unsupported certificate',
  44: 'certificate revoked',
  45: 'certificate expired',
  46: 'certificate unknown',
  47: 'illegal parameter',
  48: 'unknown CA',
  49: 'access denied',
  50: 'decode error',
  51: 'decrypt error',
  70: 'protocol version not supported',
  71: 'insufficient security',
  80: 'internal error',
  86: 'inappropriate fallback',
  90: 'user cancelled',
  100: 'no renegotiation',
  109: 'missing extension',
  110: 'unsupported extension',
  112: 'unrecognised server name',
  113: 'bad certificate status',
  115: 'unknown PSK identity',
  116: 'certificate required',
  120: 'no application protocol in common (ALPN)',
};

/** An alert's name (RFC 8446 §6, RFC 5246 §7.2). */
export function alertText(description: number): string {
  return ALERTS[description] ?? `alert ${String(description)}`;
}

/** `TLS 1.2`, `SSL 3.0`. */
export function versionText(version: number): string {
  if (version === 0x0300) return 'SSL 3.0';
  return version >> 8 === 3 && (version & 0xff) <= 4
    ? `TLS 1.${String((version & 0xff) - 1)}`
    : `version 0x${version.toString(16)}`;
}
