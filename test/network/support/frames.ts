// Frames made by hand, with the checksums right, so that tshark takes them as we do.

/** The guest's card and the other end, unless told. */
export const GUEST_MAC = '52:54:00:12:34:56';
export const REMOTE_MAC = '52:55:0a:00:02:02';
export const GUEST = '10.0.2.15';
export const REMOTE = '10.0.2.2';

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

function address(text: string): Buffer {
  return Buffer.from(text.split('.').map(Number));
}

function sum(...parts: readonly Buffer[]): number {
  let total = 0;
  for (const part of parts) {
    const even = part.length % 2 === 0 ? part : Buffer.concat([part, Buffer.alloc(1)]);
    for (let at = 0; at < even.length; at += 2) total += even.readUInt16BE(at);
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

/** An Ethernet frame, padded to the 60 bytes that a wire needs. */
export function ethernet(type: number, payload: Buffer, from = GUEST_MAC, to = REMOTE_MAC): Buffer {
  const frame = Buffer.concat([mac(to), mac(from), Buffer.from([type >> 8, type & 0xff]), payload]);
  return frame.length >= 60 ? frame : Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

/** What an IPv4 packet says beside its payload. */
export interface Ipv4Options {
  readonly id?: number;
  /** Of the fragment, in bytes. */
  readonly offset?: number;
  readonly more?: boolean;
}

export function ipv4(protocol: number, payload: Buffer, from = GUEST, to = REMOTE, options: Ipv4Options = {}): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payload.length, 2);
  header.writeUInt16BE(options.id ?? 1, 4);
  header.writeUInt16BE(((options.more ?? false) ? 0x2000 : 0) | ((options.offset ?? 0) / 8), 6);
  header[8] = 64;
  header[9] = protocol;
  address(from).copy(header, 12);
  address(to).copy(header, 16);
  header.writeUInt16BE(sum(header), 10);
  return Buffer.concat([header, payload]);
}

/** A frame from the guest to the other end, or the other way round. */
export function frame(protocol: number, payload: Buffer, fromGuest: boolean, options?: Ipv4Options): Buffer {
  const packet = fromGuest ? ipv4(protocol, payload, GUEST, REMOTE, options) : ipv4(protocol, payload, REMOTE, GUEST, options);
  return fromGuest ? ethernet(0x0800, packet) : ethernet(0x0800, packet, REMOTE_MAC, GUEST_MAC);
}

/** A TCP segment's fields; what is left out is harmless. */
export interface SegmentFields {
  readonly fromGuest: boolean;
  readonly flags: number;
  readonly sequence: number;
  readonly acknowledgment?: number;
  readonly window?: number;
  readonly data?: Uint8Array;
  readonly guestPort?: number;
  readonly remotePort?: number;
}

export function tcp(fields: SegmentFields): Buffer {
  const { fromGuest, data = Buffer.alloc(0), guestPort = 40000, remotePort = 443 } = fields;
  const segment = Buffer.alloc(20 + data.length);
  segment.writeUInt16BE(fromGuest ? guestPort : remotePort, 0);
  segment.writeUInt16BE(fromGuest ? remotePort : guestPort, 2);
  segment.writeUInt32BE(fields.sequence >>> 0, 4);
  segment.writeUInt32BE((fields.acknowledgment ?? 0) >>> 0, 8);
  segment[12] = 0x50;
  segment[13] = fields.flags;
  segment.writeUInt16BE(fields.window ?? 64240, 14);
  segment.set(data, 20);
  segment.writeUInt16BE(transportSum(6, segment, fromGuest), 16);
  return frame(6, segment, fromGuest);
}

export function udp(fromGuest: boolean, sourcePort: number, destinationPort: number, payload: Buffer): Buffer {
  return frame(17, datagram(sourcePort, destinationPort, payload, fromGuest), fromGuest);
}

/** A UDP datagram without its IP packet. */
export function datagram(sourcePort: number, destinationPort: number, payload: Buffer, fromGuest = true): Buffer {
  const bytes = Buffer.alloc(8 + payload.length);
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(destinationPort, 2);
  bytes.writeUInt16BE(bytes.length, 4);
  payload.copy(bytes, 8);
  bytes.writeUInt16BE(transportSum(17, bytes, fromGuest), 6);
  return bytes;
}

export function arp(operation: 1 | 2, sender: string, target: string, fromGuest = true): Buffer {
  const senderMac = fromGuest ? GUEST_MAC : REMOTE_MAC;
  const body = Buffer.concat([
    Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]),
    ...[mac(senderMac), address(sender), Buffer.alloc(6), address(target)],
  ]);
  return ethernet(0x0806, body, senderMac, operation === 1 ? 'ff:ff:ff:ff:ff:ff' : fromGuest ? REMOTE_MAC : GUEST_MAC);
}

/** An ICMP message, of the remote end unless told. */
export function icmp(type: number, code: number, body: Buffer, fromGuest = false): Buffer {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), body]);
  bytes.writeUInt16BE(sum(bytes), 2);
  return frame(1, bytes, fromGuest);
}

/** A DNS message with one question. `answers` are IPv4 addresses. */
export function dns(id: number, name: string, options: { code?: number; answers?: readonly string[] } = {}): Buffer {
  const isResponse = options.code !== undefined;
  const answers = options.answers ?? [];
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE((isResponse ? 0x8180 : 0x0100) | (options.code ?? 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  const question = Buffer.concat([...labels, Buffer.from([0, 0, 1, 0, 1])]);
  const records = answers.map((one) => Buffer.concat([Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]), address(one)]));
  return Buffer.concat([header, question, ...records]);
}

/** A DHCP message of a kind (option 53). */
export function dhcp(kind: number, transaction: number, yourAddress = '0.0.0.0'): Buffer {
  const body = Buffer.alloc(236);
  body.set([kind === 2 || kind >= 5 ? 2 : 1, 1, 6, 0]);
  body.writeUInt32BE(transaction, 4);
  address(yourAddress).copy(body, 16);
  mac(GUEST_MAC).copy(body, 28);
  const options = Buffer.from([0x63, 0x82, 0x53, 0x63, 53, 1, kind, 54, 4, 10, 0, 2, 2, 255]);
  return Buffer.concat([body, options]);
}

function transportSum(protocol: number, bytes: Buffer, fromGuest: boolean): number {
  const pseudo = Buffer.concat([address(fromGuest ? GUEST : REMOTE), address(fromGuest ? REMOTE : GUEST), Buffer.alloc(4)]);
  pseudo[9] = protocol;
  pseudo.writeUInt16BE(bytes.length, 10);
  return sum(pseudo, bytes);
}
