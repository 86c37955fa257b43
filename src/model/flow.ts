// What went over a guest's network cards, as seen on the wire: one flow for each pair of ends. The guest does not take part in this.

import type { NetworkEnd, TcpState } from './socket.ts';

/** Traffic in one direction. Bytes are of whole frames, as a capture counts them. */
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
  /** TCP segments whose bytes had been sent before. */
  readonly retransmits: number;
}

/** Something a protocol said that a person wants to know. */
export interface FlowRemark {
  readonly at: number;
  readonly protocol: 'dns' | 'tls' | 'tcp' | 'icmp' | 'arp' | 'dhcp';
  /** A failure is what somebody searches for at night: NXDOMAIN, a refused connection, an unknown CA. */
  readonly failure: boolean;
  /** `A example.org → NXDOMAIN`, `handshake ended by the guest: unknown CA`. Terminal-safe. */
  readonly text: string;
}

/** The packets between one port of the guest and one port of somebody else. */
export interface Flow {
  /** Unique within a capture. */
  readonly id: string;
  /** The card: the name of its netdev. */
  readonly device: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | 'arp' | 'other';
  readonly guest: NetworkEnd;
  readonly remote: NetworkEnd;
  /** Who sent the first packet; null when the capture began in the middle. */
  readonly openedBy: 'guest' | 'remote' | null;
  /** As the wire shows it; null for protocols without connections, and before enough was seen. */
  readonly state: TcpState | null;
  /** Whether it ended by RST. */
  readonly reset: boolean;
  /** To the guest. */
  readonly received: Traffic;
  /** By the guest. */
  readonly sent: Traffic;
  /** Smoothed round-trip time between capture point and remote end, and between capture point and guest; null = not measured. */
  readonly rttMs: { readonly remote: number | null; readonly guest: number | null };
  /** ms since the Unix epoch. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Newest last; bounded. */
  readonly remarks: readonly FlowRemark[];
}

/** A capture and what it saw so far. */
export interface NetworkView {
  /** ms since the Unix epoch when the capture began: what went before is not known. */
  readonly since: number;
  /** How packets are had: `filter-mirror on n0`. */
  readonly how: string;
  /** Most recently used first; bounded. */
  readonly flows: readonly Flow[];
  /** Flows that are no longer kept, packets that were seen but not understood, and packets that were lost before they reached us. */
  readonly forgotten: number;
  readonly malformed: number;
  readonly lost: number;
}
