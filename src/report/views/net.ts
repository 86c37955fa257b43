// `net`: the guest's network: what goes over its cards, between whom, what failed, and who listens.

import type { Flow, FlowRemark } from '../../model/flow.ts';
import { formatCount, formatSize } from '../../model/quantity.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { GuestSocket, NetworkEnd } from '../../model/socket.ts';
import { findSeries, rateOf } from '../../vitals/history.ts';
import { tableLines } from '../table.ts';
import type { View } from './view.ts';

const RATES = ['system.network.io', 'system.network.packets', 'system.network.errors', 'system.network.dropped'] as const;

export const net: View = {
  name: 'net',
  doc: "show the guest's network: traffic, flows, failures, listeners",
  notes: `
Packets are captured on the host, through QEMU's netfilter, for as long as this runs (--for, 3s without); the guest
takes no part in it. --pcap FILE keeps them as pcapng. Listeners and sockets are read from the guest's own tables.`,
  settleMs: 3000,
  captures: true,
  lines: ({ snapshot }) => [
    ...trafficLines(snapshot),
    ...flowLines(snapshot),
    ...failureLines(snapshot),
    ...socketLines(snapshot.sockets),
  ],
  document: ({ snapshot }) => ({
    traffic: RATES.flatMap((name) =>
      findSeries(snapshot, name).map(({ latest, ...series }) => ({
        name,
        attributes: latest.attributes,
        value: latest.value,
        perSecond: rateOf([{ latest, ...series }]),
        absent: latest.absent,
      })),
    ),
    capture: snapshot.network,
    sockets: snapshot.sockets,
  }),
};

function trafficLines(snapshot: Snapshot): readonly string[] {
  const rows = RATES.flatMap((name) =>
    findSeries(snapshot, name).flatMap((series) => {
      const { latest } = series;
      const isTrouble = name.endsWith('errors') || name.endsWith('dropped');
      if (latest.value === null || (isTrouble && latest.value === 0)) return [];
      const rate = rateOf([series]);
      const say = (value: number): string => (latest.unit === 'By' ? formatSize(value) : formatCount(Math.round(value)));
      const { device, direction, ...others } = latest.attributes;
      const card = [device, direction, ...Object.values(others)].filter((part) => part !== undefined).join(' ');
      return [
        [card, name.slice('system.network.'.length), say(latest.value), rate === null ? '–' : `${say(rate)}/s`, latest.probe],
      ];
    }),
  );
  const columns = [
    { title: 'CARD' },
    { title: 'WHAT' },
    { title: 'SO FAR', align: 'right' as const },
    { title: 'RATE', align: 'right' as const },
    { title: 'COUNTED BY' },
  ];
  return rows.length === 0 ? ['no network card is counted'] : tableLines(columns, rows);
}

function flowLines({ network }: Snapshot): readonly string[] {
  if (network === null) return ['', 'flows: nothing is captured'];
  const head = ['', `flows (${network.how}):`];
  if (network.flows.length === 0) return [...head, '  no packet was seen'];
  const columns = [
    { title: 'PROTO' },
    { title: 'GUEST' },
    { title: '' },
    { title: 'REMOTE' },
    { title: 'STATE' },
    { title: 'RECEIVED', align: 'right' as const },
    { title: 'SENT', align: 'right' as const },
    { title: 'RTT', align: 'right' as const },
    { title: 'AGAIN', align: 'right' as const },
    { title: 'SAYS' },
  ];
  const counted = [
    ...(network.forgotten > 0 ? [`${network.forgotten} older flows are no longer kept`] : []),
    ...(network.malformed > 0 ? [`${network.malformed} packets were not understood`] : []),
    ...(network.lost > 0 ? [`${network.lost} packets were lost on the way to us`] : []),
  ];
  return [...head, ...tableLines(columns, network.flows.map(flowRow)), ...counted];
}

function flowRow(flow: Flow): readonly string[] {
  const arrow = flow.openedBy === 'guest' ? '→' : flow.openedBy === 'remote' ? '←' : '↔';
  const rtt = flow.rttMs.remote;
  const again = flow.received.retransmits + flow.sent.retransmits;
  return [
    flow.protocol,
    sayEnd(flow.guest),
    arrow,
    sayEnd(flow.remote),
    flow.reset ? 'reset' : (flow.state ?? ''),
    formatSize(flow.received.bytes),
    formatSize(flow.sent.bytes),
    rtt === null ? '–' : `${rtt.toFixed(rtt < 10 ? 2 : 0)}ms`,
    again === 0 ? '' : String(again),
    flow.remarks.at(-1)?.text ?? '',
  ];
}

function failureLines({ network }: Snapshot): readonly string[] {
  const failures = (network?.flows ?? [])
    .flatMap(({ remarks }): readonly FlowRemark[] => remarks)
    .filter(({ failure }) => failure);
  if (failures.length === 0) return [];
  return ['', 'failures:', ...[...new Set(failures.map(({ protocol, text }) => `  ${protocol.toUpperCase()} ${text}`))]];
}

function socketLines(sockets: readonly GuestSocket[] | null): readonly string[] {
  if (sockets === null)
    return ['', "sockets: no probe knows this guest's network stack, or its symbols are missing (--symbols ELF)"];
  if (sockets.length === 0) return ['', 'sockets: none is open'];
  const columns = [
    { title: 'PROTO' },
    { title: 'LOCAL' },
    { title: 'REMOTE' },
    { title: 'STATE' },
    { title: 'RECV-Q', align: 'right' as const },
    { title: 'SEND-Q', align: 'right' as const },
    { title: 'AGAIN', align: 'right' as const },
  ];
  const say = (value: number | null): string => (value === null ? '–' : String(value));
  const rows = sockets.map(({ protocol, local, remote, state, receiveQueue, sendQueue, retransmits }) => [
    protocol,
    sayEnd(local),
    remote === null ? '*' : sayEnd(remote),
    state ?? '',
    say(receiveQueue),
    say(sendQueue),
    say(retransmits),
  ]);
  return ['', "sockets in the guest's own tables:", ...tableLines(columns, rows)];
}

function sayEnd({ address, port }: NetworkEnd): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
