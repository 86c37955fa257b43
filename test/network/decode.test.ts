// Frames decoded, beside tshark; and what hostile ones do, which is nothing.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePacket, type Packet } from '../../src/network/decode.ts';
import { decodeDhcp } from '../../src/network/decode-dhcp.ts';
import { decodeDns } from '../../src/network/decode-dns.ts';
import { ipv6Text, nameText } from '../../src/network/wire-text.ts';
import { arp, datagram, dhcp, dns, ethernet, frame, icmp, ipv4, tcp, udp } from './support/frames.ts';
import { fieldsOf, withFile } from './support/tshark.ts';

const DATA = Buffer.from('GET / HTTP/1.1\r\n\r\n');

function tagged(inner: Buffer, ...tags: readonly number[]): Buffer {
  const stack = tags.flatMap((tag) => [0x81, 0x00, tag >> 8, tag & 0xff]);
  return Buffer.concat([inner.subarray(0, 12), Buffer.from(stack), inner.subarray(12)]);
}

function ipv6(next: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32BE(0x60000000, 0);
  header.writeUInt16BE(payload.length, 4);
  header.set([next, 64], 6);
  Buffer.from('fe80000000000000505400fffe123456', 'hex').copy(header, 8);
  Buffer.from('20010db8000000010000000000000001', 'hex').copy(header, 24);
  return ethernet(0x86dd, Buffer.concat([header, payload]));
}

/** Extension headers of RFC 8200: hop-by-hop, destination options, routing, each of 8 bytes, then UDP. */
const EXTENSIONS = Buffer.from([60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0]);

const FRAMES: Readonly<Record<string, Buffer>> = {
  'a TCP segment with data': tcp({ fromGuest: true, flags: 0x18, sequence: 0xfffffff0, acknowledgment: 7, data: DATA }),
  'a TCP segment in a padded frame': tcp({ fromGuest: false, flags: 0x10, sequence: 1, acknowledgment: 2, window: 0 }),
  'a UDP datagram': udp(true, 1234, 53, dns(1, 'example.org')),
  'an 802.1Q tag': tagged(udp(true, 1, 2, DATA), 0x2064),
  'two tags': tagged(udp(true, 1, 2, DATA), 0x0007, 0x0064),
  'an ARP request': arp(1, '10.0.2.15', '10.0.2.2'),
  'an ARP reply': arp(2, '10.0.2.2', '10.0.2.15', false),
  'the first fragment': frame(17, datagram(5, 6, Buffer.alloc(1600)).subarray(0, 800), true, { id: 77, more: true }),
  'a later fragment': frame(17, datagram(5, 6, Buffer.alloc(1600)).subarray(800), true, { id: 77, offset: 800 }),
  'an ICMP error': icmp(3, 3, ipv4(17, datagram(1234, 9, DATA))),
  'IPv6 with UDP': ipv6(17, datagram(1000, 2000, DATA)),
  'IPv6 with three extension headers': ipv6(0, Buffer.concat([EXTENSIONS, datagram(1000, 2000, DATA)])),
  'an ICMPv6 neighbour solicitation': ipv6(58, Buffer.concat([Buffer.from([135, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(16)])),
  'a DHCP message': udp(true, 68, 67, dhcp(1, 42)),
  'a protocol nobody reads': frame(132, DATA, true),
  LLDP: ethernet(0x88cc, Buffer.alloc(50)),
};

const FIELDS = [
  ...['eth.src', 'eth.dst', 'vlan.id', 'ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'tcp.srcport', 'tcp.dstport', 'tcp.seq_raw'],
  ...['tcp.len', 'udp.srcport', 'udp.dstport', 'udp.length', 'arp.opcode', 'arp.dst.proto_ipv4', 'icmp.code', 'icmpv6.type'],
];

/** What tshark's fields would be if it were us. */
function ourFields({ source, destination, vlan, ip, transport, arp: question }: Packet): string[] {
  const of = (value: number | string | null | undefined): string => (value == null ? '' : String(value));
  const four = ip?.version === 4 ? ip : null;
  const six = ip?.version === 6 ? ip : null;
  const segment = transport?.protocol === 'tcp' ? transport : null;
  const user = transport?.protocol === 'udp' ? transport : null;
  return [
    ...[source, destination, of(vlan), of(four?.source), of(four?.destination), of(six?.source), of(six?.destination)],
    ...[of(segment?.sourcePort), of(segment?.destinationPort), of(segment?.sequence), of(segment?.length)],
    ...[of(user?.sourcePort), of(user?.destinationPort), of(user === null ? null : user.length + 8)],
    ...[question === null ? '' : question.operation === 'request' ? '1' : '2', of(question?.targetAddress)],
    ...[transport?.protocol === 'icmp' ? of(transport.code) : '', transport?.protocol === 'icmpv6' ? of(transport.type) : ''],
  ];
}

describe('decoding a frame', () => {
  it('reads what tshark reads, in every kind of frame', () => {
    const oracle = withFile(Object.values(FRAMES), (path) => fieldsOf(path, FIELDS));
    // tshark puts fragments together and shows the ports with the last one, and shows those that an ICMP error quotes.
    const portsElsewhere = ['the first fragment', 'a later fragment', 'an ICMP error'];
    for (const [index, [title, bytes]] of Object.entries(FRAMES).entries()) {
      const compared = (values: readonly string[]): string[] =>
        values.filter((_value, column) => !portsElsewhere.includes(title) || !FIELDS[column]!.startsWith('udp.'));
      expect(compared(ourFields(decodePacket(bytes))), title).toEqual(compared(oracle[index]!));
    }
    expect(oracle).toHaveLength(Object.keys(FRAMES).length);
  });

  it('finds the packet that an ICMP error is about', () => {
    const { transport } = decodePacket(FRAMES['an ICMP error']!);
    expect(transport).toMatchObject({ error: 'port unreachable', quoted: { ip: { source: '10.0.2.15' }, ports: [1234, 9] } });
  });

  it('finds a fragment by its id and leaves its middle alone', () => {
    expect(decodePacket(FRAMES['the first fragment']!).transport).toMatchObject({ sourcePort: 5, destinationPort: 6 });
    const later = decodePacket(FRAMES['a later fragment']!);
    expect(later).toMatchObject({ transport: null, problem: null, ip: { fragment: { id: 77, offset: 800, more: false } } });
  });

  it('calls a frame malformed that is shorter than its headers, and one whose lengths do not fit', () => {
    const whole = FRAMES['a TCP segment with data']!;
    for (let length = 0; length < 54; length += 1) expect(decodePacket(whole.subarray(0, length)).problem).not.toBeNull();
    const broken = Buffer.from(whole);
    broken[14] = 0x43;
    expect(decodePacket(broken).problem).toBe('an IPv4 header shorter than 20 bytes');
    const long = Buffer.from(whole);
    long[46] = 0xf0;
    expect(decodePacket(long).problem).toBe('a TCP header longer than its packet');
  });

  it('ends a chain of extension headers that does not', () => {
    const chain = Buffer.from(Array.from({ length: 100 }, () => [60, 0, 1, 4, 0, 0, 0, 0]).flat());
    expect(decodePacket(ipv6(60, chain)).problem).toBe('more IPv6 extension headers than anybody sends');
  });

  it('never throws, whatever the bytes', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...Object.values(FRAMES)),
        fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 8 }),
        fc.nat(120),
      )
      .map(([bytes, changes, cut]) => {
        const copy = Buffer.from(bytes);
        for (const [at, value] of changes) copy[at % copy.length] = value;
        return copy.subarray(0, copy.length - (cut % copy.length));
      });
    const check = (bytes: Uint8Array): void => {
      decodePacket(bytes);
      decodeDns(bytes);
      decodeDhcp(bytes);
    };
    fc.assert(fc.property(mutated, check), { numRuns: 6000 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), check), { numRuns: 2000 });
  });
});

describe('DNS messages', () => {
  it('tell question, code and answers', () => {
    expect(decodeDns(dns(7, 'a.example.org'))).toMatchObject({
      id: 7,
      isResponse: false,
      question: { name: 'a.example.org', type: 'A' },
    });
    const answer = decodeDns(dns(7, 'a.example.org', { code: 0, answers: ['192.0.2.1', '192.0.2.2'] }));
    expect(answer).toMatchObject({ isResponse: true, code: 'NOERROR', answers: ['192.0.2.1', '192.0.2.2'] });
    expect(decodeDns(dns(7, 'x', { code: 3 }))?.code).toBe('NXDOMAIN');
  });

  it('do not lead round in circles by their pointers', () => {
    const message = Buffer.concat([dns(1, 'x').subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
    expect(decodeDns(message)).toBeNull();
  });

  it('keep what they had told when they are cut short', () => {
    const whole = dns(7, 'a.example.org', { code: 0, answers: ['192.0.2.1', '192.0.2.2'] });
    expect(decodeDns(whole.subarray(0, whole.length - 3))).toMatchObject({ code: 'NOERROR', answers: ['192.0.2.1'] });
    for (let length = 0; length < 31; length += 1) expect(decodeDns(whole.subarray(0, length))).toBeNull();
  });
});

describe('text from the wire', () => {
  it('shortens IPv6 as RFC 5952 wants', () => {
    const text = (hex: string): string => ipv6Text(Buffer.from(hex, 'hex'));
    expect(text('20010db8000000000001000000000001')).toBe('2001:db8::1:0:0:1');
    expect(text('00000000000000000000000000000000')).toBe('::');
    expect(text('00010000000200000003000000040000')).toBe('1:0:2:0:3:0:4:0');
    expect(text('fe800000000000000000000000000000')).toBe('fe80::');
  });

  it('lets no control character through, and no name without end', () => {
    expect(nameText(Buffer.from('a\x1b[31m\\\n\xff'))).toBe('a\\027[31m\\092\\010\\195\\191');
    expect(nameText(Buffer.alloc(1000, 65))).toHaveLength(256);
  });
});
