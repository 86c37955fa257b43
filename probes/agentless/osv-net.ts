// OSv's network: counters of its virtio cards (drivers/virtio-net.hh; those in if_data stay 0), of other interfaces (if_data), of TCP,
// UDP and IP, and the sockets of its BSD stack (bsd/sys/netinet/in_pcb.h, tcp_var.h: struct inpcb, struct tcpcb, struct socket).

import { defineProbe, type ProbeGuest, type Reading } from '../../src/model/probe.ts';
import type { GuestSocket, TcpState } from '../../src/model/socket.ts';
import {
  CONNECTIONS,
  countSockets,
  MAX_SOCKETS,
  networkEnd,
  peer,
  readNetworkAddress,
  readNetworkPort,
  tcpState,
} from './sockets.ts';
import { findGlobal, orAbsent, reading, series, seriesOf, type TypedValue, walkList } from './typed.ts';

const MAX_INTERFACES = 64;
/** tcp_fsm.h: TCPS_CLOSED … TCPS_TIME_WAIT. */
const STATES: readonly TcpState[] = [
  ...(['closed', 'listen', 'syn-sent', 'syn-received', 'established', 'close-wait', 'fin-wait-1', 'closing'] as const),
  ...(['last-ack', 'fin-wait-2', 'time-wait'] as const),
];
/** in_pcb.h: INP_TIMEWAIT of inp_flags (inp_ppcb is then a struct tcptw), INC_ISIPV6 of inc_flags. */
const IN_TIME_WAIT = 0x0100_0000n;
const IS_IPV6 = 0x1n;
const NOT_KEPT = 'this build does not keep it';

/** What counts packets: virtio's members, and those of if_data. */
const VIRTIO = {
  io: { receive: '_rxq.stats.rx_bytes', transmit: '_txq.stats.tx_bytes' },
  packets: { receive: '_rxq.stats.rx_packets', transmit: '_txq.stats.tx_packets' },
  errors: { receive: '_rxq.stats.rx_csum_err', transmit: '_txq.stats.tx_err' },
  dropped: { receive: '_rxq.stats.rx_drops', transmit: '_txq.stats.tx_drops' },
};
const IF_DATA = {
  io: { receive: 'if_data.ifi_ibytes', transmit: 'if_data.ifi_obytes' },
  packets: { receive: 'if_data.ifi_ipackets', transmit: 'if_data.ifi_opackets' },
  errors: { receive: 'if_data.ifi_ierrors', transmit: 'if_data.ifi_oerrors' },
  dropped: { receive: 'if_data.ifi_iqdrops' },
};

export const osvNet = defineProbe({
  name: 'osv-net',
  doc: "OSv's interfaces, TCP/IP counters and sockets",
  systems: ['osv'],
  missing: ({ types, symbols }) => {
    if (symbols.findSymbol('tcbinfo') === null) return "no symbols of OSv's kernel: give its loader.elf with --symbols";
    return types.findVariable('tcbinfo') === null ? 'no type for tcbinfo: give loader.elf, not loader-stripped.elf' : null;
  },
  metrics: {
    'system.network.io': { kind: 'counter', unit: 'By', doc: "bytes by interface, by the guest's driver" },
    'system.network.packets': { kind: 'counter', unit: '{packet}', doc: "packets by interface, by the guest's driver" },
    'system.network.errors': { kind: 'counter', unit: '{packet}', doc: 'packets with an error: wrong checksum, no buffer' },
    'system.network.dropped': { kind: 'counter', unit: '{packet}', doc: 'packets dropped by the driver or its queue' },
    'system.network.connections': CONNECTIONS,
    'unikernel.network.queue.full': { kind: 'counter', unit: '{event}', doc: 'a packet to send found the virtqueue full' },
    'unikernel.tcp.segments': { kind: 'counter', unit: '{segment}', doc: 'TCP segments' },
    'unikernel.tcp.retransmits': { kind: 'counter', unit: '{segment}', doc: 'TCP segments sent again' },
    'unikernel.tcp.connects': { kind: 'counter', unit: '{connection}', doc: 'connections that were established' },
    'unikernel.tcp.accepts': { kind: 'counter', unit: '{connection}', doc: 'connections accepted' },
    'unikernel.tcp.drops': { kind: 'counter', unit: '{connection}', doc: 'connections dropped' },
    'unikernel.udp.datagrams': { kind: 'counter', unit: '{datagram}', doc: 'UDP datagrams' },
    'unikernel.ip.packets': { kind: 'counter', unit: '{packet}', doc: 'IPv4 packets' },
    'unikernel.ip.dropped': { kind: 'counter', unit: '{packet}', doc: 'IPv4 packets dropped, and why' },
  },
  sample: (guest) => {
    const cards = [
      ...walkList(findGlobal(guest, 'ifnet')?.member('tqh_first')?.dereference() ?? null, 'if_link.tqe_next', MAX_INTERFACES),
    ];
    const [tcp, udp, ip] = ['tcpstat', 'udpstat', 'ipstat'].map((name) => findGlobal(guest, name));
    const count = (stats: TypedValue | null | undefined, name: string): Reading => reading(stats?.member(name) ?? null, NOT_KEPT);
    return {
      'system.network.io': ofCards(guest, cards, 'io'),
      'system.network.packets': ofCards(guest, cards, 'packets'),
      'system.network.errors': ofCards(guest, cards, 'errors'),
      'system.network.dropped': ofCards(guest, cards, 'dropped'),
      'system.network.connections': countSockets(findSockets(guest), NOT_KEPT),
      'unikernel.network.queue.full': queuesFull(guest, cards),
      'unikernel.tcp.segments': series(
        tcp ?? null,
        'direction',
        { receive: 'tcps_rcvtotal', transmit: 'tcps_sndtotal' },
        NOT_KEPT,
      ),
      'unikernel.tcp.retransmits': count(tcp, 'tcps_sndrexmitpack'),
      'unikernel.tcp.connects': count(tcp, 'tcps_connects'),
      'unikernel.tcp.accepts': count(tcp, 'tcps_accepts'),
      'unikernel.tcp.drops': count(tcp, 'tcps_drops'),
      'unikernel.udp.datagrams': series(
        udp ?? null,
        'direction',
        { receive: 'udps_ipackets', transmit: 'udps_opackets' },
        NOT_KEPT,
      ),
      'unikernel.ip.packets': series(ip ?? null, 'direction', { receive: 'ips_total', transmit: 'ips_localout' }, NOT_KEPT),
      'unikernel.ip.dropped': series(
        ip ?? null,
        'reason',
        { checksum: 'ips_badsum', 'no route': 'ips_noroute', 'no buffer': 'ips_odropped', 'no protocol': 'ips_noproto' },
        NOT_KEPT,
      ),
    };
  },
  sockets: (guest) => findSockets(guest) ?? [],
});

function nameOf(card: TypedValue): string {
  return card.member('if_xname')?.text(16) ?? '?';
}

/** The driver of a virtio card: it points back at its interface, which no other driver's memory does at that place. */
function findVirtio({ types }: ProbeGuest, card: TypedValue): TypedValue | null {
  const layout = types.findType('virtio::net');
  const softc = card.member('if_softc')?.integer() ?? 0n;
  const driver = layout === null || softc === 0n ? null : card.moved(softc).as(layout);
  return driver?.member('_ifn')?.integer() === card.address ? driver : null;
}

function ofCards(guest: ProbeGuest, cards: readonly TypedValue[], what: keyof typeof VIRTIO): Reading {
  const found = cards.flatMap((card) => {
    const driver = findVirtio(guest, card);
    const shared = { device: nameOf(card) };
    return seriesOf(
      driver === null
        ? series(card, 'direction', IF_DATA[what], NOT_KEPT, { shared })
        : series(driver, 'direction', VIRTIO[what], NOT_KEPT, { shared }),
    );
  });
  return orAbsent(found, 'no interface was found in memory');
}

function queuesFull(guest: ProbeGuest, cards: readonly TypedValue[]): Reading {
  const found = cards.flatMap((card) => {
    const value = findVirtio(guest, card)?.member('_txq.stats.tx_hw_queue_is_full')?.number() ?? null;
    return value === null ? [] : [{ value, attributes: { device: nameOf(card) } }];
  });
  return orAbsent(found, 'there is no virtio card');
}

/** Null when the tables cannot be read. */
function findSockets(guest: ProbeGuest): readonly GuestSocket[] | null {
  const tables = (['tcbinfo', 'udbinfo'] as const).map((name) => findGlobal(guest, name)?.member('ipi_listhead') ?? null);
  if (tables.every((head) => head?.integer() == null)) return null;
  const tcp = guest.types.findType('tcpcb');
  return tables
    .flatMap((head, index) => {
      const pcbs = [...walkList(head?.dereference()?.member('lh_first')?.dereference() ?? null, 'inp_list.le_next', MAX_SOCKETS)];
      return pcbs.map((pcb) => readSocket(guest, pcb, index === 0 ? { tcpcb: tcp } : null));
    })
    .slice(0, MAX_SOCKETS);
}

function readSocket(
  guest: ProbeGuest,
  pcb: TypedValue,
  tcp: { readonly tcpcb: TypedValue['layout'] | null } | null,
): GuestSocket {
  const isIpv6 = ((pcb.member('inp_inc.inc_flags')?.integer() ?? 0n) & IS_IPV6) !== 0n;
  const ends = pcb.member('inp_inc.inc_ie');
  const address = (name: string): string | null =>
    isIpv6
      ? readNetworkAddress(guest, ends?.member(`${name}.id6_addr`) ?? null, 16)
      : readNetworkAddress(guest, ends?.member(`${name}.id46_addr.ia46_addr4`) ?? null, 4);
  const port = (name: string): number | null => readNetworkPort(ends?.member(name) ?? null);
  const block = tcp === null || tcp.tcpcb === null ? null : findControlBlock(pcb, tcp.tcpcb);
  const socket = pcb.member('inp_socket')?.dereference() ?? null;
  const state = tcp === null ? null : isInTimeWait(pcb) ? 'time-wait' : tcpState(STATES, block?.member('t_state'));
  return {
    protocol: tcp === null ? 'udp' : 'tcp',
    state,
    local: networkEnd(address('ie_dependladdr'), port('ie_lport')),
    remote: peer(address('ie_dependfaddr'), port('ie_fport')),
    receiveQueue: socket?.member('so_rcv.sb_cc')?.number() ?? null,
    sendQueue: socket?.member('so_snd.sb_cc')?.number() ?? null,
    retransmits: block?.member('t_sndrexmitpack')?.number() ?? null,
  };
}

function isInTimeWait(pcb: TypedValue): boolean {
  return (BigInt.asUintN(32, pcb.member('inp_flags')?.integer() ?? 0n) & IN_TIME_WAIT) !== 0n;
}

/** inp_ppcb is a `void *`: a struct tcpcb when that points back. */
function findControlBlock(pcb: TypedValue, layout: TypedValue['layout']): TypedValue | null {
  const address = pcb.member('inp_ppcb')?.integer() ?? 0n;
  const block = address === 0n || isInTimeWait(pcb) ? null : pcb.moved(address).as(layout);
  return block?.member('t_inpcb')?.integer() === pcb.address ? block : null;
}
