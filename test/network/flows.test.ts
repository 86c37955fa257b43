// The fold: who opened what, what failed, what is forgotten; and its totals as samples.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Flow } from '../../src/model/flow.ts';
import { ACK, RST, SYN } from '../../src/network/decode-tcp.ts';
import { FlowTable } from '../../src/network/flows.ts';
import { NETWORK_METRICS } from '../../src/network/network-metrics.ts';
import { arp, datagram, dhcp, dns, ethernet, frame, GUEST_MAC, icmp, ipv4, tcp, udp } from './support/frames.ts';

function openTable(): FlowTable {
  return new FlowTable({ devices: [{ name: 'n0', macs: [GUEST_MAC] }], since: 0, how: 'test' });
}

/** A table that was given frames, 1 ms apart. */
function fold(frames: readonly Buffer[], table = openTable()): FlowTable {
  for (const [index, bytes] of frames.entries()) table.push({ device: 'n0', at: 1000 + index, length: bytes.length, bytes });
  return table;
}

const texts = (table: FlowTable): string[] => table.view().flows.flatMap(({ remarks }: Flow) => remarks.map(({ text }) => text));
const failures = (table: FlowTable): string[] =>
  table.view().flows.flatMap(({ remarks }) => remarks.filter((one) => one.failure).map(({ text }) => text));
const valueOf = (table: FlowTable, name: string, attributes: Record<string, string> = {}): number | null | undefined =>
  table
    .samples()
    .find((one) => one.name === name && Object.entries(attributes).every(([key, value]) => one.attributes[key] === value))?.value;

describe('flows', () => {
  it('are one for each pair of ends, whoever speaks, newest first', () => {
    const table = fold([
      tcp({ fromGuest: true, flags: SYN, sequence: 1, guestPort: 1 }),
      tcp({ fromGuest: true, flags: SYN, sequence: 1, guestPort: 2 }),
      tcp({ fromGuest: false, flags: SYN | ACK, sequence: 9, acknowledgment: 2, guestPort: 1 }),
    ]);
    expect(
      table
        .view()
        .flows.map(({ guest, sent, received, openedBy, state }) => [guest.port, sent.packets, received.packets, openedBy, state]),
    ).toEqual([
      [1, 1, 1, 'guest', 'syn-sent'],
      [2, 1, 0, 'guest', 'syn-sent'],
    ]);
  });

  it('count whole frames, and say so as samples that collide with nobody', () => {
    const table = fold([udp(true, 1, 2, Buffer.alloc(100)), udp(false, 2, 1, Buffer.alloc(10))]);
    expect(valueOf(table, 'system.network.io', { direction: 'transmit', device: 'n0', seen: 'wire' })).toBe(142);
    expect(valueOf(table, 'system.network.io', { direction: 'receive', seen: 'wire' })).toBe(60);
    expect(valueOf(table, 'system.network.packets', { direction: 'receive', seen: 'wire' })).toBe(1);
    for (const { name, unit, kind } of table.samples()) {
      expect(NETWORK_METRICS[name as keyof typeof NETWORK_METRICS]).toMatchObject({ unit, kind });
    }
  });

  it('are bounded: the one that was silent longest is forgotten, and counted', () => {
    const table = fold(Array.from({ length: 300 }, (_, port) => udp(true, 1000 + port, 9, Buffer.alloc(1))));
    expect(table.view().flows).toHaveLength(256);
    expect(table.view().forgotten).toBe(44);
    expect(table.view().flows[0]!.guest.port).toBe(1299);
  });

  it('are two where ports are used again', () => {
    const table = fold([
      tcp({ fromGuest: true, flags: SYN, sequence: 1 }),
      tcp({ fromGuest: false, flags: RST | ACK, sequence: 0, acknowledgment: 2 }),
      tcp({ fromGuest: true, flags: SYN, sequence: 5000 }),
    ]);
    expect(table.view().flows.map(({ state, reset }) => [state, reset])).toEqual([
      ['syn-sent', false],
      ['closed', true],
    ]);
  });

  it('take later fragments to where the first one went', () => {
    const whole = datagram(5, 6, Buffer.alloc(1600));
    const table = fold([
      frame(17, whole.subarray(0, 800), true, { id: 7, more: true }),
      frame(17, whole.subarray(800), true, { id: 7, offset: 800 }),
    ]);
    expect(table.view().flows.map(({ protocol, sent }) => [protocol, sent.packets])).toEqual([['udp', 2]]);
  });

  it('know the guest by its address when it speaks under another MAC', () => {
    const packet = ipv4(17, datagram(7, 8, Buffer.alloc(4)));
    const table = fold([udp(true, 7, 8, Buffer.alloc(4)), ethernet(0x0800, packet, '02:00:00:00:00:01', '02:00:00:00:00:02')]);
    expect(table.view().flows.map(({ sent, received }) => [sent.packets, received.packets])).toEqual([[2, 0]]);
  });

  it('count what is malformed and what was lost, and go on', () => {
    const table = fold([Buffer.alloc(5), frame(6, Buffer.alloc(8), true)]);
    table.lose(3);
    expect(table.view()).toMatchObject({ malformed: 2, lost: 3 });
    expect(valueOf(table, 'unikernel.network.capture.lost')).toBe(3);
  });
});

describe('failures', () => {
  it('of names are told with their code, and counted', () => {
    const table = fold([
      udp(true, 5000, 53, dns(1, 'no.such.example')),
      udp(false, 53, 5000, dns(1, 'no.such.example', { code: 3 })),
      udp(true, 5000, 53, dns(2, 'broken.example')),
      udp(false, 53, 5000, dns(2, 'broken.example', { code: 2 })),
      udp(true, 5000, 53, dns(3, 'good.example')),
      udp(false, 53, 5000, dns(3, 'good.example', { code: 0, answers: ['192.0.2.7'] })),
    ]);
    expect(texts(table)).toEqual([
      'A no.such.example → NXDOMAIN (1.0 ms)',
      'A broken.example → SERVFAIL (1.0 ms)',
      'A good.example → 192.0.2.7 (1.0 ms)',
    ]);
    expect(failures(table)).toHaveLength(2);
    expect([valueOf(table, 'unikernel.network.dns.queries'), valueOf(table, 'unikernel.network.dns.failures')]).toEqual([3, 2]);
  });

  it('of names over TCP are told too, cut as it may be', () => {
    const framed = (message: Buffer): Buffer => Buffer.concat([Buffer.from([0, message.length]), message]);
    const send = (fromGuest: boolean, sequence: number, data: Buffer): Buffer =>
      tcp({ fromGuest, flags: ACK, sequence, data, guestPort: 5000, remotePort: 53 });
    const [query, answer] = [framed(dns(1, 'no.such.example')), framed(dns(1, 'no.such.example', { code: 3 }))];
    const table = fold([
      ...[send(true, 100, query.subarray(0, 5)), send(true, 105, query.subarray(5))],
      ...[send(false, 900, answer.subarray(0, 1)), send(false, 901, answer.subarray(1))],
    ]);
    expect(failures(table)).toEqual(['A no.such.example → NXDOMAIN (2.0 ms)']);
  });

  it('of what gets no answer are told once, when patience ends, also on a silent wire', () => {
    const table = fold([
      udp(true, 5000, 53, dns(1, 'silent.example')),
      arp(1, '10.0.2.15', '10.0.2.77'),
      udp(true, 68, 67, dhcp(1, 42)),
      tcp({ fromGuest: true, flags: SYN, sequence: 1 }),
    ]);
    table.tick(2000);
    expect(failures(table)).toEqual([]);
    for (const at of [4100, 7000, 9000]) table.tick(at);
    expect(failures(table).sort()).toEqual([
      'A silent.example → no answer for 5 s from 10.0.2.2',
      'no answer to SYN for 3 s: 10.0.2.2:443 is not there, or a filter drops it',
      'no offer for 5 s: there is no DHCP server on n0',
      'nobody says to have 10.0.2.77 for 3 s: wrong network, or it is down',
    ]);
  });

  it('are not what was answered, nor what wants no answer', () => {
    const table = fold([
      ...[arp(1, '10.0.2.15', '10.0.2.2'), arp(2, '10.0.2.2', '10.0.2.15', false)],
      ...[arp(1, '10.0.2.15', '10.0.2.15'), arp(1, '0.0.0.0', '10.0.2.15')],
      ...[
        udp(true, 68, 67, dhcp(1, 42)),
        udp(false, 67, 68, dhcp(2, 42, '10.0.2.15')),
        udp(false, 67, 68, dhcp(5, 42, '10.0.2.15')),
      ],
    ]);
    table.tick(60_000);
    expect(failures(table)).toEqual([]);
    expect(texts(table)).toEqual(['10.0.2.15 from 10.0.2.2']);
  });

  it('of a connection are refusal and reset', () => {
    const refused = fold([
      tcp({ fromGuest: true, flags: SYN, sequence: 1 }),
      tcp({ fromGuest: false, flags: RST | ACK, sequence: 0, acknowledgment: 2 }),
    ]);
    expect(failures(refused)).toEqual(['connection refused by 10.0.2.2:443: nobody listens there']);
    const reset = fold([
      tcp({ fromGuest: true, flags: ACK, sequence: 1, data: Buffer.alloc(9) }),
      tcp({ fromGuest: true, flags: RST, sequence: 10 }),
    ]);
    expect(failures(reset)).toEqual(['reset by the guest']);
  });

  it('that ICMP reports stand with the flow they are about', () => {
    const table = fold([udp(true, 1234, 9, Buffer.alloc(20)), icmp(3, 3, ipv4(17, datagram(1234, 9, Buffer.alloc(20))))]);
    const { flows } = table.view();
    expect(flows.find(({ protocol }) => protocol === 'udp')!.remarks.map(({ text }) => text)).toEqual([
      'port unreachable, says 10.0.2.2: 10.0.2.2, port 9',
    ]);
  });
});

describe('hostile packets', () => {
  const seeds = [
    ...[udp(true, 5000, 53, dns(1, 'a.example')), udp(false, 53, 5000, dns(1, 'a.example', { code: 0, answers: ['192.0.2.1'] }))],
    ...[
      udp(true, 68, 67, dhcp(1, 42)),
      arp(1, '10.0.2.15', '10.0.2.77'),
      icmp(3, 3, ipv4(17, datagram(5000, 53, Buffer.alloc(20)))),
    ],
    ...[
      tcp({ fromGuest: true, flags: SYN, sequence: 1 }),
      tcp({ fromGuest: false, flags: ACK, sequence: 7, data: Buffer.from([22, 3, 1, 0, 9, 1, 0]) }),
    ],
    ...[
      frame(17, datagram(5, 6, Buffer.alloc(80)), true, { id: 7, more: true }),
      frame(17, Buffer.alloc(16), true, { id: 7, offset: 88 }),
    ],
  ];
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 5 }))
    .map(([bytes, changes]) => {
      const copy = Buffer.from(bytes);
      for (const [at, value] of changes) copy[at % copy.length] = value;
      return copy;
    });

  it('in any order make no exception, no view without bounds and no text that a terminal would obey', () => {
    fc.assert(
      fc.property(fc.array(mutated, { maxLength: 60 }), (frames) => {
        const table = fold(frames);
        table.tick(100_000);
        const { flows } = table.view();
        expect(flows.length).toBeLessThanOrEqual(256);
        for (const { remarks } of flows) {
          expect(remarks.length).toBeLessThanOrEqual(16);
          for (const { text } of remarks) expect(text).toMatch(/^[\x20-\x7e→…]*$/);
        }
        expect(table.samples().every(({ value }) => Number.isFinite(value))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
