// lwIP, in any kernel that has it: its protocol control blocks as sockets (tcp_active_pcbs, tcp_listen_pcbs, tcp_tw_pcbs, udp_pcbs, raw_pcbs),
// its interfaces (netif_list), and lwip_stats where it is built with LWIP_STATS. Ports are in host byte order, addresses in network order.
// Counters of lwip_stats are 16 bits wide unless LWIP_STATS_LARGE: their width is the type's, and whoever samples adds up what wraps.

import { defineProbe, type ProbeGuest, type Reading, type ReadingSeries } from '../../src/model/probe.ts';
import type { GuestSocket, NetworkEnd, TcpState } from '../../src/model/socket.ts';
import { CONNECTIONS, countSockets, MAX_SOCKETS, networkEnd, peer, readNetworkAddress, tcpState } from './sockets.ts';
import { counterSeries, findGlobal, orAbsent, seriesOf, type TypedValue, walkList } from './typed.ts';

const MAX_INTERFACES = 64;
/** tcpbase.h: enum tcp_state. */
const STATES: readonly TcpState[] = [
  ...(['closed', 'listen', 'syn-sent', 'syn-received', 'established', 'fin-wait-1', 'fin-wait-2', 'close-wait'] as const),
  ...(['closing', 'last-ack', 'time-wait'] as const),
];
/** ip_addr.h: enum lwip_ip_addr_type. An address of any type is IPv6's unspecified one that takes IPv4 too. */
const TYPE_IPV6 = 6n;
const TYPE_ANY = 46n;
/** netif.h: NETIF_FLAG_UP and NETIF_FLAG_LINK_UP. */
const UP_AND_LINKED = 0x5n;
const NO_STATS = 'lwIP was built without LWIP_STATS: set it to 1 in lwipopts.h';
const UNREADABLE = 'the tables of lwIP cannot be read';
const DIRECTIONS = { receive: 'recv', transmit: 'xmit' };
const PROTOCOLS = ['link', 'etharp', 'ip', 'ip6', 'icmp', 'udp', 'tcp'];
/** stats.h: members of struct stats_proto, in words. */
const REASONS: Readonly<Record<string, string>> = {
  ...{ memerr: 'no memory', chkerr: 'checksum', lenerr: 'length', rterr: 'no route', proterr: 'protocol', opterr: 'options' },
};

export const lwip = defineProbe({
  name: 'lwip',
  doc: "lwIP's sockets, interfaces and counters",
  systems: ['nanos', 'unikraft', 'minios'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('tcp_active_pcbs') === null) return 'no lwIP with TCP in the images that symbols are known of';
    return types.findVariable('tcp_active_pcbs') === null
      ? "no type for tcp_active_pcbs: the kernel's debug information is not there"
      : null;
  },
  metrics: {
    'system.network.connections': CONNECTIONS,
    'unikernel.network.up': { kind: 'gauge', unit: '1', doc: '1 when the interface is up and has a link, by name and address' },
    'unikernel.tcp.send_queue': {
      kind: 'gauge',
      unit: 'By',
      doc: 'bytes sent or to be sent that no peer has acknowledged, together',
    },
    'unikernel.tcp.send_queue.segments': {
      kind: 'gauge',
      unit: '{buffer}',
      doc: 'buffers (pbufs) that wait to be sent or acknowledged',
    },
    'unikernel.tcp.retransmitting': {
      kind: 'gauge',
      unit: '{connection}',
      doc: 'connections that send their oldest segment again',
    },
    'unikernel.tcp.segments': { kind: 'counter', unit: '{segment}', doc: 'TCP segments' },
    'unikernel.udp.datagrams': { kind: 'counter', unit: '{datagram}', doc: 'UDP datagrams' },
    'unikernel.ip.packets': { kind: 'counter', unit: '{packet}', doc: 'IPv4 packets' },
    'unikernel.network.dropped': { kind: 'counter', unit: '{packet}', doc: 'packets dropped, by protocol' },
    'unikernel.network.errors': { kind: 'counter', unit: '{packet}', doc: 'packets with an error, by protocol and reason' },
  },
  sample: (guest) => {
    const active = findTcp(guest, 'tcp_active_pcbs');
    const stats = findGlobal(guest, 'lwip_stats');
    const total = (each: (pcb: TypedValue) => number): Reading =>
      active === null ? { absent: UNREADABLE } : active.reduce((sum, pcb) => sum + each(pcb), 0);
    return {
      'system.network.connections': countSockets(findSockets(guest), UNREADABLE),
      'unikernel.network.up': readInterfaces(guest),
      'unikernel.tcp.send_queue': total((pcb) => sendQueue(pcb) ?? 0),
      'unikernel.tcp.send_queue.segments': total((pcb) => pcb.member('snd_queuelen')?.number() ?? 0),
      'unikernel.tcp.retransmitting': total((pcb) => ((pcb.member('nrtx')?.number() ?? 0) > 0 ? 1 : 0)),
      'unikernel.tcp.segments': counterSeries(stats?.member('tcp') ?? null, 'direction', DIRECTIONS, NO_STATS),
      'unikernel.udp.datagrams': counterSeries(stats?.member('udp') ?? null, 'direction', DIRECTIONS, NO_STATS),
      'unikernel.ip.packets': counterSeries(stats?.member('ip') ?? null, 'direction', DIRECTIONS, NO_STATS),
      'unikernel.network.dropped': dropped(stats),
      'unikernel.network.errors': errors(stats),
    };
  },
  sockets: (guest) => findSockets(guest) ?? [],
});

function dropped(stats: TypedValue | null): Reading {
  const members = Object.fromEntries(PROTOCOLS.map((protocol) => [protocol, `${protocol}.drop`]));
  return counterSeries(stats, 'protocol', members, NO_STATS);
}

/** Want of memory is always told, the other reasons once they have occurred: seven protocols with six each would be mostly zeros. */
function errors(stats: TypedValue | null): Reading {
  const found = PROTOCOLS.flatMap((protocol): readonly ReadingSeries[] => {
    const members = Object.fromEntries(Object.entries(REASONS).map(([member, reason]) => [reason, member]));
    return seriesOf(counterSeries(stats?.member(protocol) ?? null, 'reason', members, NO_STATS))
      .filter(({ value, attributes }) => value !== 0 || attributes.reason === REASONS.memerr)
      .map((one) => ({ ...one, attributes: { protocol, ...one.attributes } }));
  });
  return orAbsent(found, NO_STATS);
}

function readInterfaces(guest: ProbeGuest): Reading {
  const first = findGlobal(guest, 'netif_list');
  if (first?.integer() == null) return { absent: UNREADABLE };
  const found = [...walkList(first.dereference(), 'next', MAX_INTERFACES)].flatMap((netif) => {
    const flags = netif.member('flags')?.integer() ?? null;
    if (flags === null) return [];
    const address = readAddress(guest, netif.member('ip_addr')) ?? '?';
    const isUp = (flags & UP_AND_LINKED) === UP_AND_LINKED;
    return [{ value: isUp ? 1 : 0, attributes: { device: nameOfInterface(netif), address } }];
  });
  return orAbsent(found, 'lwIP has no interface');
}

/** Two letters and a number: `en1`. */
export function nameOfInterface(netif: TypedValue): string {
  return `${netif.member('name')?.text(2) ?? '?'}${netif.member('num')?.number() ?? ''}`;
}

/** Blocks of one list; null when it cannot be read. */
function findTcp(guest: ProbeGuest, list: string): readonly TypedValue[] | null {
  const first = findGlobal(guest, list);
  return first?.integer() == null ? null : [...walkList(first.dereference(), 'next', MAX_SOCKETS)];
}

function findSockets(guest: ProbeGuest): readonly GuestSocket[] | null {
  const listeners = findGlobal(guest, 'tcp_listen_pcbs')?.member('listen_pcbs')?.dereference() ?? null;
  const [active, waiting, udp, raw] = ['tcp_active_pcbs', 'tcp_tw_pcbs', 'udp_pcbs', 'raw_pcbs'].map((list) =>
    findTcp(guest, list),
  );
  if (active == null) return null;
  return [
    ...[...walkList(listeners, 'next', MAX_SOCKETS)].map((pcb) => readListener(guest, pcb)),
    ...[...active, ...(waiting ?? [])].map((pcb) => readConnection(guest, pcb)),
    ...(udp ?? []).map((pcb) => readDatagrams(guest, pcb, 'udp')),
    ...(raw ?? []).map((pcb) => readDatagrams(guest, pcb, 'raw')),
  ].slice(0, MAX_SOCKETS);
}

function readListener(guest: ProbeGuest, pcb: TypedValue): GuestSocket {
  const none = { remote: null, receiveQueue: null, sendQueue: null, retransmits: null };
  return { protocol: 'tcp', state: 'listen', local: readEnd(guest, pcb, 'local'), ...none };
}

function readConnection(guest: ProbeGuest, pcb: TypedValue): GuestSocket {
  return {
    protocol: 'tcp',
    state: tcpState(STATES, pcb.member('state')),
    local: readEnd(guest, pcb, 'local'),
    remote: readEnd(guest, pcb, 'remote'),
    // What the program has not taken yet is seen only as a window that is smaller than it was.
    receiveQueue: null,
    sendQueue: sendQueue(pcb),
    retransmits: pcb.member('nrtx')?.number() ?? null,
  };
}

function readDatagrams(guest: ProbeGuest, pcb: TypedValue, protocol: 'udp' | 'raw'): GuestSocket {
  const remote = readEnd(guest, pcb, 'remote');
  const none = { state: null, receiveQueue: null, sendQueue: null, retransmits: null };
  return { protocol, local: readEnd(guest, pcb, 'local'), remote: peer(remote.address, remote.port), ...none };
}

/** From the oldest byte that was not acknowledged to the next that the program will give. SYN and FIN count as one each. */
function sendQueue(pcb: TypedValue): number | null {
  const [next, acknowledged] = ['snd_lbb', 'lastack'].map((name) => pcb.member(name)?.integer() ?? null);
  return next == null || acknowledged == null ? null : Number(BigInt.asUintN(32, next - acknowledged));
}

function readEnd(guest: ProbeGuest, pcb: TypedValue, which: 'local' | 'remote'): NetworkEnd {
  return networkEnd(readAddress(guest, pcb.member(`${which}_ip`)), pcb.member(`${which}_port`)?.number() ?? null);
}

/** An ip_addr_t: a union with a type where lwIP has both versions, else the address of the one it has. */
function readAddress(guest: ProbeGuest, address: TypedValue | null): string | null {
  const type = address?.member('type')?.integer() ?? null;
  if (type === TYPE_ANY) return '*';
  const bytes = address?.member(type === null ? 'addr' : type === TYPE_IPV6 ? 'u_addr.ip6.addr' : 'u_addr.ip4.addr') ?? null;
  return readNetworkAddress(guest, bytes, bytes?.layout.kind === 'array' ? 16 : 4);
}
