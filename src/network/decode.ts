// An Ethernet frame from outside to inside: Ethernet II and 802.3, 802.1Q/ad tags, ARP (RFC 826), IP and what it carries.
// Any bytes are taken: what cannot be read is named in `problem`, never thrown.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { type IcmpMessage, readIcmp } from './decode-icmp.ts';
import { type IpHeader, readIpv4, readIpv6 } from './decode-ip.ts';
import { readTcp, type TcpSegment } from './decode-tcp.ts';
import { ipv4Text, macText } from './wire-text.ts';

/** A UDP datagram. `payload` is what was captured of it, `length` what the wire had. */
export interface UdpDatagram {
  readonly protocol: 'udp';
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
  readonly length: number;
}

/** An ARP packet for IPv4 over Ethernet. */
export interface ArpPacket {
  readonly operation: 'request' | 'reply' | 'other';
  readonly senderMac: string;
  readonly senderAddress: string;
  readonly targetAddress: string;
}

/** What IP carries, as far as we read it. */
export type Transport = TcpSegment | UdpDatagram | IcmpMessage;

/** A frame, decoded. Parts that are not there, or could not be read, are null; `problem` says which and why. */
export interface Packet {
  /** `52:54:00:12:34:56`. */
  readonly source: string;
  readonly destination: string;
  /** The outermost 802.1Q VLAN id. */
  readonly vlan: number | null;
  /** EtherType of what is inside all tags; below 0x600 a length (802.3). */
  readonly etherType: number;
  readonly arp: ArpPacket | null;
  readonly ip: IpHeader | null;
  /** Null for a later fragment, and for protocols we do not read. */
  readonly transport: Transport | null;
  readonly problem: string | null;
}

const IPV4 = 0x0800;
const ARP = 0x0806;
const IPV6 = 0x86dd;
const TAGS = new Set([0x8100, 0x88a8, 0x9100]);
/** Two tags are Q-in-Q; nobody stacks more than a few. */
const MAX_TAGS = 4;

/** Decodes a frame of which `bytes` were captured. Never throws. */
export function decodePacket(bytes: Uint8Array): Packet {
  const packet: Mutable<Packet> = {
    ...{ source: '', destination: '', vlan: null, etherType: 0 },
    ...{ arp: null, ip: null, transport: null, problem: null },
  };
  try {
    readFrame(packet, new Cursor(bytes, { littleEndian: false }));
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    packet.problem ??= 'cut short';
  }
  return packet;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readFrame(packet: Mutable<Packet>, cursor: Cursor): void {
  const addresses = cursor.take(12);
  packet.destination = macText(addresses);
  packet.source = macText(addresses, 6);
  packet.etherType = cursor.u16();
  for (let tags = 0; TAGS.has(packet.etherType) && tags < MAX_TAGS; tags += 1) {
    packet.vlan ??= cursor.u16() & 0xfff;
    if (tags > 0) cursor.skip(2);
    packet.etherType = cursor.u16();
  }
  if (packet.etherType === ARP) packet.arp = readArp(cursor);
  else if (packet.etherType === IPV4) readInside(packet, readIpv4(cursor));
  else if (packet.etherType === IPV6) readInside(packet, readIpv6(cursor));
}

function readArp(cursor: Cursor): ArpPacket | null {
  const [hardware, protocol] = [cursor.u16(), cursor.u16()];
  const [hardwareLength, protocolLength] = [cursor.u8(), cursor.u8()];
  const operation = cursor.u16();
  if (hardware !== 1 || protocol !== IPV4 || hardwareLength !== 6 || protocolLength !== 4) return null;
  const senderMac = macText(cursor.take(6));
  const senderAddress = ipv4Text(cursor.take(4));
  cursor.skip(6);
  return {
    operation: operation === 1 ? 'request' : operation === 2 ? 'reply' : 'other',
    ...{ senderMac, senderAddress, targetAddress: ipv4Text(cursor.take(4)) },
  };
}

function readInside(packet: Mutable<Packet>, ip: IpHeader | string): void {
  if (typeof ip === 'string') {
    packet.problem = ip;
    return;
  }
  packet.ip = ip;
  const transport = readTransport(ip);
  if (typeof transport === 'string') packet.problem = transport;
  else packet.transport = transport;
}

/** What is inside an IP packet that begins with it; null for later fragments and unknown protocols, a string when it is malformed. */
function readTransport(ip: IpHeader): Transport | string | null {
  if (ip.fragment !== null && ip.fragment.offset > 0) return null;
  const cursor = new Cursor(ip.payload, { littleEndian: false });
  if (ip.protocol === 6) return readTcp(cursor, ip.payloadLength);
  if (ip.protocol === 17) return readUdp(cursor, ip);
  if (ip.protocol === 1 && ip.version === 4) return readIcmp(cursor, 'icmp');
  if (ip.protocol === 58 && ip.version === 6) return readIcmp(cursor, 'icmpv6');
  return null;
}

// RFC 768. A length of 0 is a jumbogram (RFC 2675); a fragment holds less than the length says.
function readUdp(cursor: Cursor, ip: IpHeader): UdpDatagram | string {
  const [sourcePort, destinationPort] = [cursor.u16(), cursor.u16()];
  const stated = cursor.u16();
  cursor.skip(2);
  const length = (stated === 0 ? ip.payloadLength : stated) - 8;
  if (length < 0) return 'a UDP length below 8';
  if (ip.fragment === null && length > ip.payloadLength - 8) return 'a UDP length beyond its packet';
  return { protocol: 'udp', sourcePort, destinationPort, payload: cursor.take(Math.min(length, cursor.remaining)), length };
}
