// ICMP (RFC 792, codes of RFC 1122 and 1812) and ICMPv6 (RFC 4443): which error it is, and of which packet.

import type { Cursor } from '../bytes/cursor.ts';
import { type IpHeader, readQuoted } from './decode-ip.ts';

/** An ICMP message. */
export interface IcmpMessage {
  readonly protocol: 'icmp' | 'icmpv6';
  readonly type: number;
  readonly code: number;
  /** What went wrong, when it is an error: `port unreachable`. */
  readonly error: string | null;
  /** The packet that an error is about. */
  readonly quoted: { readonly ip: IpHeader; readonly ports: readonly [number, number] | null } | null;
}

const UNREACHABLE = [
  ...[
    'network unreachable',
    'host unreachable',
    'protocol unreachable',
    'port unreachable',
    'packet too big, fragmentation needed',
  ],
  ...['source route failed', 'network unknown', 'host unknown', 'source host isolated', 'network prohibited', 'host prohibited'],
  ...['network unreachable for this type of service', 'host unreachable for this type of service', 'prohibited by a filter'],
];
const UNREACHABLE_V6 = [
  ...['no route to the destination', 'prohibited by a filter', 'beyond the scope of the source address'],
  ...['address unreachable', 'port unreachable', 'source address refused by policy', 'route rejected'],
];

/** Reads a message. Throws BYTES_OUT_OF_RANGE when its header is cut; a quoted packet that is cut is null. */
export function readIcmp(cursor: Cursor, protocol: 'icmp' | 'icmpv6'): IcmpMessage {
  const [type, code] = [cursor.u8(), cursor.u8()];
  const error = protocol === 'icmp' ? errorOf(type, code) : errorOfV6(type, code);
  cursor.skip(Math.min(6, cursor.remaining));
  const quoted = error === null ? null : readQuoted(cursor.take(cursor.remaining), protocol === 'icmp' ? 4 : 6);
  return { protocol, type, code, error, quoted };
}

function errorOf(type: number, code: number): string | null {
  if (type === 3) return UNREACHABLE[code] ?? `unreachable (code ${code})`;
  if (type === 11) return code === 0 ? 'time to live exceeded on the way' : 'fragments did not all arrive in time';
  return type === 12 ? 'header refused (parameter problem)' : null;
}

function errorOfV6(type: number, code: number): string | null {
  if (type === 1) return UNREACHABLE_V6[code] ?? `unreachable (code ${code})`;
  if (type === 2) return 'packet too big';
  if (type === 3) return code === 0 ? 'hop limit exceeded on the way' : 'fragments did not all arrive in time';
  return type === 4 ? 'header refused (parameter problem)' : null;
}
