// A DHCP message (RFC 2131, options of RFC 2132): its kind, whose it is, what address it gives.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { ipv4Text, macText } from './wire-text.ts';

/** A DHCP message. */
export interface DhcpMessage {
  /** `DISCOVER`, `OFFER`, …; `BOOTP` without option 53. */
  readonly kind: string;
  readonly transaction: number;
  readonly clientMac: string;
  /** The address given; null while it is 0.0.0.0. */
  readonly yourAddress: string | null;
  readonly server: string | null;
}

const KINDS = ['BOOTP', 'DISCOVER', 'OFFER', 'REQUEST', 'DECLINE', 'ACK', 'NAK', 'RELEASE', 'INFORM'];
const MAGIC = 0x63825363;
const MAX_OPTIONS = 256;

/** Decodes a message; null when it is none. Never throws. */
export function decodeDhcp(bytes: Uint8Array): DhcpMessage | null {
  try {
    return readMessage(new Cursor(bytes, { littleEndian: false }));
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    return null;
  }
}

function readMessage(cursor: Cursor): DhcpMessage | null {
  cursor.skip(4);
  const transaction = cursor.u32();
  cursor.skip(8);
  const yourAddress = ipv4Text(cursor.take(4));
  cursor.skip(8);
  const clientMac = macText(cursor.take(16));
  cursor.skip(64 + 128);
  if (cursor.u32() !== MAGIC) return null;
  const { kind, server } = readOptions(cursor);
  return { kind, transaction, clientMac, yourAddress: yourAddress === '0.0.0.0' ? null : yourAddress, server };
}

// A message without an end option, or cut in the middle of one, still told its kind.
function readOptions(cursor: Cursor): { kind: string; server: string | null } {
  const found: { kind: string; server: string | null } = { kind: 'BOOTP', server: null };
  for (let count = 0; count < MAX_OPTIONS && cursor.remaining > 0; count += 1) {
    const code = cursor.u8();
    if (code === 255) break;
    if (code === 0) continue;
    const length = cursor.remaining === 0 ? 0 : cursor.u8();
    if (length > cursor.remaining) break;
    const value = cursor.take(length);
    if (code === 53 && length === 1) found.kind = KINDS[value[0]!] ?? `type ${String(value[0])}`;
    if (code === 54 && length === 4) found.server = ipv4Text(value);
  }
  return found;
}
