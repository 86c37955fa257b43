// The fold of packets into flows and totals. Bounded: the flow that was silent longest is forgotten, and counted.

import type { FlowRemark, NetworkView } from '../model/flow.ts';
import type { Sample } from '../model/metric.ts';
import { ArpWatch, DhcpWatch, DnsStream, DnsWatch } from './ask-watch.ts';
import { type ArpPacket, decodePacket, type Packet, type Transport } from './decode.ts';
import { decodeDhcp } from './decode-dhcp.ts';
import { decodeDns } from './decode-dns.ts';
import type { IcmpMessage } from './decode-icmp.ts';
import type { IpHeader } from './decode-ip.ts';
import type { TcpSegment } from './decode-tcp.ts';
import { type FlowEnds, FlowRecord } from './flow-record.ts';
import { type NetworkTotals, sampleNetwork } from './network-metrics.ts';
import { failure } from './questions.ts';
import type { Side } from './tcp-track.ts';

/** A card of the VM as far as flows need it. */
export interface FlowDevice {
  /** The netdev's name. */
  readonly name: string;
  /** MAC addresses of the guest's cards on it. */
  readonly macs: readonly string[];
}

/** A packet as it was captured. */
export interface CapturedPacket {
  readonly device: string;
  /** ms since the Unix epoch, with fractions. */
  readonly at: number;
  /** Bytes on the wire; `bytes` may hold fewer. Valid only during the call. */
  readonly length: number;
  readonly bytes: Uint8Array;
}

const MAX_FLOWS = 256;
const MAX_FRAGMENTED = 128;
const MAX_GUEST_ADDRESSES = 64;
/** What is looked at in a second is ticked once: nothing that waits does so for less. */
const TICK_MS = 250;

/** Folds packets. `view` and `samples` may be asked at any time. */
export class FlowTable {
  private readonly since: number;
  private readonly how: string;
  private readonly macs: ReadonlyMap<string, ReadonlySet<string>>;
  /** Least recently used first. */
  private readonly flows = new Map<string, FlowRecord>();
  private readonly fragmented = new Map<string, FlowRecord>();
  private readonly dnsStreams = new WeakMap<FlowRecord, Record<Side, DnsStream>>();
  private readonly guestAddresses = new Set<string>();
  private readonly dns = new DnsWatch();
  private readonly dhcp = new DhcpWatch();
  private readonly arp = new ArpWatch();
  private readonly totals: NetworkTotals;
  private opened = 0;
  private forgotten = 0;
  private malformed = 0;
  private lost = 0;
  private nextTick = 0;
  /** Grows with every packet and remark: whether a view has anything new. */
  changes = 0;

  constructor(options: { readonly devices: readonly FlowDevice[]; readonly since: number; readonly how: string }) {
    this.since = options.since;
    this.how = options.how;
    this.macs = new Map(options.devices.map(({ name, macs }) => [name, new Set(macs)]));
    this.totals = {
      devices: new Map(options.devices.map(({ name }) => [name, { guest: zero(), remote: zero() }])),
      ...{ retransmits: 0, tlsFailures: 0, dns: this.dns.totals },
    };
  }

  /** Takes a packet; says who sent it. */
  push(captured: CapturedPacket): Side {
    const { device, at, length } = captured;
    const packet = decodePacket(captured.bytes);
    // A snapped frame is cut by us, not by its sender.
    if (packet.problem !== null && captured.bytes.length >= length) this.malformed += 1;
    const from = this.sideOf(packet, device);
    const total = this.totals.devices.get(device)?.[from];
    if (total !== undefined) {
      total.packets += 1;
      total.bytes += length;
    }
    this.enter(packet, device, from, length, at);
    this.changes += 1;
    if (at >= this.nextTick) this.tick(at);
    return from;
  }

  /** Lets time pass: what stays without an answer is told even when no packet comes. */
  tick(now: number): void {
    this.nextTick = now + TICK_MS;
    this.changes += this.dns.tick(now) + this.dhcp.tick(now) + this.arp.tick(now);
    for (const flow of this.flows.values()) this.changes += flow.tick(now);
  }

  /** Counts packets that were lost before they came here. */
  lose(packets: number): void {
    this.lost += packets;
    this.changes += 1;
  }

  view(): NetworkView {
    const flows = [...this.flows.values()].reverse().map((flow) => flow.toFlow());
    return { since: this.since, how: this.how, flows, forgotten: this.forgotten, malformed: this.malformed, lost: this.lost };
  }

  samples(): readonly Sample[] {
    const states = [...this.flows.values()].flatMap(({ tcp }) => tcp?.state() ?? []);
    return sampleNetwork(this.totals, states, this.lost);
  }

  // By the card's own address; a guest that speaks under another one (a bridge, a forger) is known by the addresses it used before.
  private sideOf(packet: Packet, device: string): Side {
    const macs = this.macs.get(device);
    const source = packet.ip?.source ?? packet.arp?.senderAddress;
    if (macs?.has(packet.source) === true) {
      const isNew = source !== undefined && source !== '0.0.0.0' && source !== '::' && !this.guestAddresses.has(source);
      if (isNew && this.guestAddresses.size < MAX_GUEST_ADDRESSES) this.guestAddresses.add(source);
      return 'guest';
    }
    if (macs?.has(packet.destination) === true) return 'remote';
    return source !== undefined && this.guestAddresses.has(source) ? 'guest' : 'remote';
  }

  private enter(packet: Packet, device: string, from: Side, length: number, at: number): void {
    const flow = this.findFlow(packet, device, from, at);
    flow.count(from, length, at);
    if (packet.arp !== null) this.arp.hear(packet.arp, flow, at);
    const { transport } = packet;
    if (transport?.protocol === 'tcp') this.enterSegment(flow, transport, from, at);
    if (transport?.protocol === 'udp') this.enterDatagram(flow, transport, at);
    if (transport?.protocol === 'icmp' || transport?.protocol === 'icmpv6') this.enterIcmp(flow, transport, device, from, at);
  }

  private findFlow(packet: Packet, device: string, from: Side, at: number): FlowRecord {
    const isLaterFragment = packet.ip?.fragment != null && packet.ip.fragment.offset > 0;
    const whole = isLaterFragment ? this.fragmented.get(fragmentKey(packet.ip)) : undefined;
    if (whole !== undefined) return whole;
    const ends = endsOf(packet, device, from);
    const key = keyOf(ends);
    const segment = packet.transport?.protocol === 'tcp' ? packet.transport : null;
    let flow = this.flows.get(key);
    if (flow !== undefined && segment !== null && flow.tcp!.isReplacedBy(segment, from)) {
      this.setAside(key, flow);
      flow = undefined;
    }
    flow ??= this.open(ends, segment === null ? from : null, at);
    // Set again: a Map keeps the order of insertion, and the first is forgotten first.
    this.flows.delete(key);
    this.flows.set(key, flow);
    this.forgetOldest();
    if (packet.ip?.fragment?.more === true && !isLaterFragment) {
      this.fragmented.set(fragmentKey(packet.ip), flow);
      if (this.fragmented.size > MAX_FRAGMENTED) this.fragmented.delete(this.fragmented.keys().next().value!);
    }
    return flow;
  }

  private open(ends: Omit<FlowEnds, 'id'>, openedBy: Side | null, at: number): FlowRecord {
    this.opened += 1;
    return new FlowRecord({ id: String(this.opened), ...ends }, openedBy, at);
  }

  // Ports that are used again: the connection before is kept under a key that no packet has, at its place among the others.
  private setAside(key: string, flow: FlowRecord): void {
    this.flows.delete(key);
    this.flows.set(`closed ${flow.ends.id}`, flow);
  }

  private forgetOldest(): void {
    while (this.flows.size > MAX_FLOWS) {
      this.flows.delete(this.flows.keys().next().value!);
      this.forgotten += 1;
    }
  }

  private enterSegment(flow: FlowRecord, segment: TcpSegment, from: Side, at: number): void {
    const { isRetransmit, words } = flow.takeSegment(segment, from, at);
    if (isRetransmit) this.totals.retransmits += 1;
    this.totals.tlsFailures += words.filter((word) => word.protocol === 'tls' && word.failure).length;
    flow.remark(words, at);
    if (segment.sourcePort !== 53 && segment.destinationPort !== 53) return;
    let streams = this.dnsStreams.get(flow);
    if (streams === undefined) this.dnsStreams.set(flow, (streams = { guest: new DnsStream(), remote: new DnsStream() }));
    for (const message of streams[from].push(segment)) this.dns.hear(message, flow, at);
  }

  private enterDatagram(flow: FlowRecord, datagram: Extract<Transport, { protocol: 'udp' }>, at: number): void {
    const { sourcePort, destinationPort, payload } = datagram;
    if (sourcePort === 53 || destinationPort === 53) this.dns.hear(decodeDns(payload), flow, at);
    const isDhcp =
      (sourcePort === 68 && destinationPort === 67) || (sourcePort === 67 && (destinationPort === 68 || destinationPort === 67));
    const message = isDhcp ? decodeDhcp(payload) : null;
    if (message !== null) this.dhcp.hear(message, flow, at);
  }

  // An error is told where the packet went that it is about.
  private enterIcmp(flow: FlowRecord, message: IcmpMessage, device: string, from: Side, at: number): void {
    if (message.error === null) return;
    const { quoted } = message;
    const about = quoted === null ? undefined : this.flows.get(keyOf(quotedEnds(quoted, device, from)));
    const who = flow.ends[from].address;
    const whom =
      quoted === null ? '' : `: ${quoted.ip.destination}${quoted.ports === null ? '' : `, port ${String(quoted.ports[1])}`}`;
    const word: Omit<FlowRemark, 'at'> = failure('icmp', `${message.error}, says ${who}${whom}`);
    flow.remark([word], at);
    if (about !== undefined && about !== flow) about.remark([word], at);
  }
}

function zero(): { packets: number; bytes: number } {
  return { packets: 0, bytes: 0 };
}

function keyOf({ device, protocol, guest, remote }: Omit<FlowEnds, 'id'>): string {
  return `${device} ${protocol} ${guest.address} ${String(guest.port)} ${remote.address} ${String(remote.port)}`;
}

function fragmentKey({ source, destination, protocol, fragment }: IpHeader): string {
  return `${source} ${destination} ${String(protocol)} ${String(fragment?.id)}`;
}

function endsOf(packet: Packet, device: string, from: Side): Omit<FlowEnds, 'id'> {
  const { arp, ip, transport } = packet;
  if (arp !== null) return { device, protocol: 'arp', ...arpEnds(arp, from) };
  if (ip === null) return { device, protocol: 'other', ...sides(from, packet.source, null, packet.destination, null) };
  const protocol = transport?.protocol ?? 'other';
  const ports: readonly [number, number] | null =
    transport?.protocol === 'tcp' || transport?.protocol === 'udp' ? [transport.sourcePort, transport.destinationPort] : null;
  return { device, protocol, ...sides(from, ip.source, ports?.[0] ?? null, ip.destination, ports?.[1] ?? null) };
}

function arpEnds({ senderAddress, targetAddress }: ArpPacket, from: Side): Pick<FlowEnds, 'guest' | 'remote'> {
  return sides(from, senderAddress, null, targetAddress, null);
}

/** The ends of the packet that an error quotes: whoever gets the error had sent it. */
function quotedEnds({ ip, ports }: NonNullable<IcmpMessage['quoted']>, device: string, errorFrom: Side): Omit<FlowEnds, 'id'> {
  const protocol = ip.protocol === 6 ? 'tcp' : ip.protocol === 17 ? 'udp' : ip.protocol === 1 ? 'icmp' : 'other';
  const from = errorFrom === 'guest' ? 'remote' : 'guest';
  return { device, protocol, ...sides(from, ip.source, ports?.[0] ?? null, ip.destination, ports?.[1] ?? null) };
}

function sides(
  from: Side,
  source: string,
  sourcePort: number | null,
  destination: string,
  destinationPort: number | null,
): Pick<FlowEnds, 'guest' | 'remote'> {
  const sender = { address: source, port: sourcePort };
  const receiver = { address: destination, port: destinationPort };
  return from === 'guest' ? { guest: sender, remote: receiver } : { guest: receiver, remote: sender };
}
