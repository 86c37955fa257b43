// IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200 §4), as far as the payload and its fragment.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { ipv4Text, ipv6Text } from './wire-text.ts';

/** An IP packet's header, and what is behind it. */
export interface IpHeader {
  readonly version: 4 | 6;
  readonly source: string;
  readonly destination: string;
  /** Protocol number of what `payload` begins with; behind all extension headers. */
  readonly protocol: number;
  /** Null unless it is a piece of a packet. `offset` is in bytes. */
  readonly fragment: { readonly id: number; readonly offset: number; readonly more: boolean } | null;
  /** What was captured of the payload, without Ethernet's padding. */
  readonly payload: Uint8Array;
  /** Bytes of payload that the wire had. */
  readonly payloadLength: number;
}

/** Reads an IPv4 packet; a string says what is wrong with it. Throws BYTES_OUT_OF_RANGE when the header is cut. */
export function readIpv4(cursor: Cursor): IpHeader | string {
  const available = cursor.remaining;
  const first = cursor.u8();
  if (first >> 4 !== 4) return `IP version ${String(first >> 4)} under IPv4's EtherType`;
  const headerLength = (first & 0xf) * 4;
  if (headerLength < 20) return 'an IPv4 header shorter than 20 bytes';
  cursor.skip(1);
  const stated = cursor.u16();
  // Segmentation offload: a segment that the card will cut is longer than 16 bits hold, and senders write 0.
  const total = stated === 0 ? available : stated;
  if (total < headerLength) return 'an IPv4 length below its header';
  const id = cursor.u16();
  const flags = cursor.u16();
  cursor.skip(1);
  const protocol = cursor.u8();
  cursor.skip(2);
  const source = ipv4Text(cursor.take(4));
  const destination = ipv4Text(cursor.take(4));
  cursor.skip(headerLength - 20);
  const offset = (flags & 0x1fff) * 8;
  const more = (flags & 0x2000) !== 0;
  const payloadLength = total - headerLength;
  return {
    ...{ version: 4, source, destination, protocol, payloadLength },
    fragment: offset > 0 || more ? { id, offset, more } : null,
    payload: cursor.take(Math.min(payloadLength, cursor.remaining)),
  };
}

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;
const MOBILITY = 135;
/** RFC 8200 lets most occur once; a chain longer than this is an attack. */
const MAX_EXTENSIONS = 16;

/** Reads an IPv6 packet; a string says what is wrong with it. Throws BYTES_OUT_OF_RANGE when a header is cut. */
export function readIpv6(cursor: Cursor): IpHeader | string {
  const first = cursor.u32();
  if (first >>> 28 !== 6) return `IP version ${String(first >>> 28)} under IPv6's EtherType`;
  const stated = cursor.u16();
  const next = cursor.u8();
  cursor.skip(1);
  const source = ipv6Text(cursor.take(16));
  const destination = ipv6Text(cursor.take(16));
  const length = stated === 0 ? cursor.remaining : stated;
  const body = new Cursor(cursor.take(Math.min(length, cursor.remaining)), { littleEndian: false });
  const chain = readExtensions(body, next);
  if (typeof chain === 'string') return chain;
  return {
    ...{ version: 6, source, destination, protocol: chain.protocol, fragment: chain.fragment },
    payloadLength: length - body.offset,
    payload: body.take(body.remaining),
  };
}

function readExtensions(body: Cursor, first: number): { protocol: number; fragment: IpHeader['fragment'] } | string {
  let protocol = first;
  let fragment: IpHeader['fragment'] = null;
  for (let count = 0; count < MAX_EXTENSIONS; count += 1) {
    // Behind a later fragment's header there is no header any more, only the middle of something.
    if (fragment !== null && fragment.offset > 0) return { protocol, fragment };
    if (protocol === FRAGMENT) {
      protocol = body.u8();
      body.skip(1);
      const bits = body.u16();
      fragment = { id: body.u32(), offset: bits & 0xfff8, more: (bits & 1) !== 0 };
    } else if ([HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, MOBILITY, AUTHENTICATION].includes(protocol)) {
      const unit = protocol === AUTHENTICATION ? 4 : 8;
      protocol = body.u8();
      const units = body.u8();
      body.skip((unit === 4 ? (units + 2) * 4 : (units + 1) * 8) - 2);
    } else {
      return { protocol, fragment };
    }
  }
  return 'more IPv6 extension headers than anybody sends';
}

/** The ends of the packet that an ICMP error quotes: only its first bytes are there. Null when even they are cut. */
export function readQuoted(bytes: Uint8Array, version: 4 | 6): { ip: IpHeader; ports: readonly [number, number] | null } | null {
  try {
    const cursor = new Cursor(bytes, { littleEndian: false });
    const ip = version === 4 ? readIpv4(cursor) : readIpv6(cursor);
    if (typeof ip === 'string') return null;
    const inside = new Cursor(ip.payload, { littleEndian: false });
    const hasPorts = (ip.protocol === 6 || ip.protocol === 17) && inside.remaining >= 4;
    return { ip, ports: hasPorts ? [inside.u16(), inside.u16()] : null };
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    return null;
  }
}
