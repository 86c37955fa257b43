// Totals of a capture as metrics. They carry `seen: wire`, so that what a guest's own stack or a virtqueue counts under the same
// name stays a series of its own.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { TcpState } from '../model/socket.ts';
import type { Side } from './tcp-track.ts';

/** The metrics, declared as a probe declares its own. */
export const NETWORK_METRICS = {
  'system.network.io': {
    kind: 'counter',
    unit: 'By',
    doc: 'Bytes of whole Ethernet frames that went over the card since the capture began, as seen on the wire.',
  },
  'system.network.packets': {
    kind: 'counter',
    unit: '{packet}',
    doc: 'Frames that went over the card since the capture began, as seen on the wire.',
  },
  'unikernel.network.tcp.retransmits': {
    kind: 'counter',
    unit: '{segment}',
    doc: 'TCP segments, of either end, whose bytes had been sent before, since the capture began.',
  },
  'unikernel.network.dns.queries': {
    kind: 'counter',
    unit: '{query}',
    doc: 'Different DNS questions seen since the capture began; one that is repeated while it waits counts once.',
  },
  'unikernel.network.dns.failures': {
    kind: 'counter',
    unit: '{query}',
    doc: 'DNS questions answered with an error (NXDOMAIN, SERVFAIL, …) or not within 5 s, since the capture began.',
  },
  'unikernel.network.tls.failures': {
    kind: 'counter',
    unit: '{handshake}',
    doc: 'TLS handshakes that an end broke off, by an alert or by closing, since the capture began.',
  },
  'unikernel.network.connections': {
    kind: 'gauge',
    unit: '{connection}',
    doc: 'TCP connections among the flows that are kept (the newest 256), by the state of the guest as the wire shows it.',
  },
  'unikernel.network.capture.lost': {
    kind: 'counter',
    unit: '{packet}',
    doc: 'Packets that went over the cards but not into the capture, because unidbg was too slow or stopped.',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

/** What is counted. */
export interface NetworkTotals {
  readonly devices: ReadonlyMap<string, Readonly<Record<Side, { packets: number; bytes: number }>>>;
  readonly dns: { readonly queries: number; readonly failures: number };
  retransmits: number;
  tlsFailures: number;
}

/** One sample of everything. */
export function sampleNetwork(totals: NetworkTotals, states: readonly TcpState[], lost: number): readonly Sample[] {
  const traffic = [...totals.devices].flatMap(([device, sides]) =>
    (['guest', 'remote'] as const).flatMap((side) => {
      const attributes = { device, direction: side === 'guest' ? 'transmit' : 'receive', seen: 'wire' };
      const { bytes, packets } = sides[side];
      return [sampleOf('system.network.io', bytes, attributes), sampleOf('system.network.packets', packets, attributes)];
    }),
  );
  const counts = new Map<TcpState, number>();
  for (const state of states) counts.set(state, (counts.get(state) ?? 0) + 1);
  return [
    ...traffic,
    sampleOf('unikernel.network.tcp.retransmits', totals.retransmits),
    sampleOf('unikernel.network.dns.queries', totals.dns.queries),
    sampleOf('unikernel.network.dns.failures', totals.dns.failures),
    sampleOf('unikernel.network.tls.failures', totals.tlsFailures),
    // A series that ends would stand still in a graph: the common states are told at zero too.
    ...(['established', 'syn-sent', 'close-wait', 'time-wait'] as const)
      .filter((state) => !counts.has(state))
      .map((state) => sampleOf('unikernel.network.connections', 0, { state })),
    ...[...counts].map(([state, count]) => sampleOf('unikernel.network.connections', count, { state })),
    sampleOf('unikernel.network.capture.lost', lost),
  ];
}

function sampleOf(name: keyof typeof NETWORK_METRICS, value: number, attributes: Readonly<Record<string, string>> = {}): Sample {
  const { kind, unit } = NETWORK_METRICS[name];
  return { name, attributes, value, unit, kind, absent: null, probe: 'wire' };
}
