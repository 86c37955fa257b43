// The network panel: what each card carries, the flows seen on the wire with what went wrong on them, and what the guest's own
// tables have open. What is not known says how it would be.

import type { Flow, FlowRemark, NetworkView } from '../../src/model/flow.ts';
import { formatSize } from '../../src/model/quantity.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import type { GuestSocket, NetworkEnd } from '../../src/model/socket.ts';
import { addUp, findAbsence, findSeries, rateOf, rises, stepsFor } from '../../src/vitals/history.ts';
import { parsePattern } from '../filter.ts';
import { formatAge, formatCount } from '../format.ts';
import type { SortKey } from '../sorting.ts';
import { sorted, sortWords } from '../sorting.ts';
import { sparkline } from '../sparkline.ts';
import type { ScreenState } from '../state.ts';
import { referenceTime } from '../state.ts';
import type { Style } from '../style.ts';
import type { Line } from '../text.ts';
import { fit, lineWidth, padEnd, padStart, span, textWidth, truncate, truncateStart, wrap } from '../text.ts';
import { findingLines } from './findings.ts';
import type { Row } from './list.ts';

/** A row and what it stands for; a card's or a hint's stands for neither. */
export interface NetworkRow extends Row {
  readonly flow: Flow | null;
  readonly socket: GuestSocket | null;
}

/** A flow in which nothing moved for so long is drawn dim. */
const QUIET_MS = 30_000;
const MOST_ROWS = 2_000;

const SORT_KEYS: readonly SortKey<Flow>[] = [
  { name: 'last use', value: ({ lastAt }) => lastAt, descending: true },
  { name: 'bytes', value: ({ received, sent }) => received.bytes + sent.bytes, descending: true },
  { name: 'failures', value: (flow) => (failureOf(flow) === null ? 0 : 1), descending: true },
  { name: 'RTT', value: ({ rttMs }) => rttMs.remote, descending: true },
  { name: 'remote', value: ({ remote }) => endText(remote), descending: false },
];

/** How many keys there are to sort flows by. */
export const FLOW_SORTS = SORT_KEYS.length;

/** All rows for this width. */
export function networkRows(snapshot: Snapshot, state: ScreenState, width: number): readonly NetworkRow[] {
  const pattern = parsePattern(state.filters.network ?? '');
  const keep = (row: NetworkRow): boolean => pattern === null || pattern.matches(row.text);
  const section = (title: string, rows: readonly NetworkRow[]): readonly NetworkRow[] =>
    rows.length === 0 ? [] : [heading(title, [span(title, 'strong')]), ...rows];
  const cards = cardRows(snapshot).filter(keep);
  const flows = flowRows(snapshot, state).filter(keep);
  const sockets = (snapshot.sockets ?? []).slice(0, MOST_ROWS).map(socketRow).filter(keep);
  const found = [
    ...section('Cards', cards),
    ...section(flowTitle(snapshot.network), flows),
    ...section('Open in the guest', sockets),
  ];
  return pattern !== null
    ? found
    : [...findingRows(snapshot, width), ...found, ...hintRows(snapshot, flows.length, sockets.length, width)];
}

function heading(key: string, line: Line): NetworkRow {
  return { key: `heading:${key}`, flow: null, socket: null, text: key, heading: true, draw: () => line };
}

function findingRows(snapshot: Snapshot, width: number): readonly NetworkRow[] {
  return findingLines(snapshot, 'network', width).map((line, index) => heading(`finding:${index}`, line));
}

// --- cards

interface Card {
  readonly device: string;
  readonly direction: string;
  readonly series: Readonly<Partial<Record<CardMetric, Series>>>;
}

type CardMetric = 'io' | 'packets' | 'errors' | 'dropped';
const CARD_METRICS: readonly CardMetric[] = ['io', 'packets', 'errors', 'dropped'];

function cardRows(snapshot: Snapshot): readonly NetworkRow[] {
  const cards = new Map<string, Card>();
  for (const metric of CARD_METRICS) {
    for (const series of findSeries(snapshot, `system.network.${metric}`)) {
      if (series.latest.value === null) continue;
      const { device = '', direction = '' } = series.latest.attributes;
      const key = `${device} ${direction}`;
      const known = cards.get(key)?.series ?? {};
      // What several probes count is shown once, by whoever came first.
      cards.set(key, { device, direction, series: { [metric]: series, ...known } });
    }
  }
  const all = [...cards.values()].sort((a, b) => (`${a.device} ${a.direction}` < `${b.device} ${b.direction}` ? -1 : 1));
  return all.slice(0, 128).map((card) => ({
    key: `card:${card.device}:${card.direction}`,
    flow: null,
    socket: null,
    text: `${card.device} ${card.direction}`,
    draw: (width) => cardLine(card, width),
  }));
}

const ARROWS: Readonly<Record<string, string>> = { receive: '↓', transmit: '↑' };

/** ` ↓ net0 receive  ▁▂▃▅  12.3 KiB/s  34/s  58.8 KiB  2 dropped`. */
function cardLine({ device, direction, series }: Card, width: number): Line {
  const { io, packets, errors, dropped } = series;
  const drawn = io ?? packets;
  const bytes = io === undefined ? null : rateOf([io]);
  const count = packets === undefined ? null : rateOf([packets]);
  const lost = [
    ...[dropped?.latest.value ?? 0].flatMap((value) => (value > 0 ? [`${formatCount(value)} dropped`] : [])),
    ...[errors?.latest.value ?? 0].flatMap((value) => (value > 0 ? [`${formatCount(value)} errors`] : [])),
  ].join(' ');
  const name = width < 60 ? device || direction : `${device} ${direction}`.trim();
  const total = io === undefined ? '' : formatSize(io.latest.value ?? 0);
  const tail: Line = [
    span(padStart(bytes === null ? (count === null ? '' : `${perSecond(count)} pkt/s`) : `${formatSize(bytes)}/s`, 12), 'strong'),
    ...(width < 50 || bytes === null || count === null ? [] : [span(padStart(`${perSecond(count)} pkt/s`, 12))]),
    ...(width < 70 || total === '' ? [] : [span(padStart(total, 11), 'dim')]),
    ...(lost === '' ? [] : [span(`  ${lost}`, 'bad')]),
  ];
  const head: Line = [span(` ${ARROWS[direction] ?? '·'} `, 'note'), span(padEnd(name, width < 60 ? 7 : 18))];
  const room = Math.max(0, Math.min(60, width - lineWidth(head) - lineWidth(tail) - 1));
  const steps = stepsFor(drawn, room);
  return [...head, span(sparkline(addUp([rises(drawn, steps)]), room), 'spark'), span(' '), ...tail];
}

function perSecond(rate: number): string {
  return rate >= 10 || rate === 0 ? formatCount(Math.round(rate)) : rate.toFixed(1);
}

// --- flows

function flowTitle(network: NetworkView | null): string {
  if (network === null) return 'Flows';
  const lost = [
    ...(network.lost > 0 ? [`${formatCount(network.lost)} packets lost`] : []),
    ...(network.forgotten > 0 ? [`${formatCount(network.forgotten)} older flows not kept`] : []),
    ...(network.malformed > 0 ? [`${formatCount(network.malformed)} malformed`] : []),
  ];
  return ['Flows', ...lost].join(' · ');
}

function flowRows(snapshot: Snapshot, state: ScreenState): readonly NetworkRow[] {
  const flows = sorted((snapshot.network?.flows ?? []).slice(0, MOST_ROWS), SORT_KEYS, state.sorts.network);
  const now = referenceTime(state, snapshot);
  return flows.map((flow) => {
    const words = `${flow.protocol} ${stateText(flow)} ${endText(flow.guest)} ${endText(flow.remote)}`;
    const text = `${words} ${flow.remarks.map((remark) => remark.text).join(' ')}`;
    return { key: `flow:${flow.id}`, flow, socket: null, text, draw: (width) => flowLine(flow, now, width) };
  });
}

/** The newest thing that failed on a flow: a remark, else that it was reset; null when nothing did. */
function failureOf({ remarks, reset }: Flow): string | null {
  return remarks.findLast(({ failure }) => failure)?.text ?? (reset ? 'reset' : null);
}

function stateText({ state, reset, protocol }: Flow): string {
  if (reset) return 'reset';
  return state ?? (protocol === 'tcp' ? '?' : '');
}

/** `10.0.2.15:80`, `[fe80::1]:80`, `10.0.2.15`. */
function endText({ address, port }: NetworkEnd): string {
  if (port === null) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** ` ✖ tcp established  → 93.184.216.34:443  ↓ 1.2 KiB ↑ 300 B  12 ms  2 resent  handshake ended: unknown CA`. */
function flowLine(flow: Flow, now: number, width: number): Line {
  const failure = failureOf(flow);
  const style: Style = failure !== null ? 'bad' : now - flow.lastAt > QUIET_MS ? 'dim' : 'plain';
  const narrow = width < 60;
  const head: Line = [
    span(failure === null ? '   ' : ' ✖ ', 'bad'),
    span(padEnd(flow.protocol, narrow ? 5 : 7), style),
    ...(narrow ? [] : [span(padEnd(stateText(flow), 13), flow.reset ? 'bad' : style)]),
    span(`${arrowOf(flow)} `, 'dim'),
  ];
  if (narrow) return narrowFlow(flow, head, style, failure, width);
  if (failure !== null && width < 110) return failedFlow(flow, head.slice(0, 2), failure, width);
  const remote = flow.openedBy === 'remote' ? `${endText(flow.remote)} on :${flow.guest.port ?? '-'}` : endText(flow.remote);
  const again = flow.received.retransmits + flow.sent.retransmits;
  const rtt = flow.rttMs.remote;
  const numbers: Line = [
    span(padStart(`↓${formatSize(flow.received.bytes)}`, 10), style),
    span(padStart(`↑${formatSize(flow.sent.bytes)}`, 10), style),
    span(padStart(rtt === null ? '' : formatMilliseconds(rtt), 8), style),
    ...(again > 0 ? [span(` ${again} resent`, 'warning')] : []),
  ];
  const remoteWidth = width >= 110 ? 34 : 24;
  const line = [...head, span(padEnd(truncateStart(remote, remoteWidth), remoteWidth), style), ...numbers];
  const words = failure ?? flow.remarks.at(-1)?.text ?? '';
  const room = width - lineWidth(line) - 2;
  return words === '' || room < 6 ? line : [...line, span(`  ${truncate(words, room)}`, failure === null ? 'dim' : 'bad')];
}

/** What failed needs the room more than how much was carried: Enter shows the rest. */
function failedFlow(flow: Flow, head: Line, failure: string, width: number): Line {
  const line = [...head, span(`${arrowOf(flow)} `, 'dim'), span(padEnd(truncateStart(endText(flow.remote), 24), 24), 'bad')];
  return [...line, span(`  ${truncate(failure, width - lineWidth(line) - 2)}`, 'bad')];
}

function arrowOf({ openedBy }: Flow): string {
  return openedBy === null ? '↔' : openedBy === 'remote' ? '←' : '→';
}

function narrowFlow(flow: Flow, head: Line, style: Style, failure: string | null, width: number): Line {
  const bytes = formatSize(flow.received.bytes + flow.sent.bytes);
  const room = width - lineWidth(head);
  const right = failure === null ? padStart(bytes, 9) : ` ${truncate(failure, Math.max(9, Math.floor(room / 2)))}`;
  const left = room - textWidth(right);
  return [
    ...head,
    span(padEnd(truncateStart(endText(flow.remote), left), left), style),
    span(right, failure === null ? 'strong' : 'bad'),
  ];
}

function formatMilliseconds(ms: number): string {
  if (ms < 0.05) return '<0.1 ms';
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

// --- sockets

function socketRow(socket: GuestSocket, index: number): NetworkRow {
  const { protocol, state, local, remote } = socket;
  const key = `socket:${protocol}:${endText(local)}:${remote === null ? '' : endText(remote)}:${index}`;
  const text = `${protocol} ${state ?? ''} ${endText(local)} ${remote === null ? '' : endText(remote)}`;
  return { key, flow: null, socket, text, draw: (width) => socketLine(socket, width) };
}

function socketLine({ protocol, state, local, remote, receiveQueue, sendQueue, retransmits }: GuestSocket, width: number): Line {
  const ends = remote === null ? endText(local) : `${endText(local)} – ${endText(remote)}`;
  const queue = (name: string, bytes: number | null): Line =>
    bytes === null || bytes === 0 ? [] : [span(`  ${name} `, 'dim'), span(formatSize(bytes), 'warning')];
  const line: Line = [
    span(`   ${padEnd(protocol, width < 60 ? 5 : 7)}`),
    span(padEnd(state ?? '', width < 60 ? 12 : 13), state === 'listen' ? 'good' : 'plain'),
    span(ends, 'strong'),
    ...queue('unread', receiveQueue),
    ...queue('unacknowledged', sendQueue),
    ...(retransmits === null || retransmits === 0 ? [] : [span(`  ${retransmits} resent`, 'warning')]),
  ];
  return fit(line, width);
}

// --- what is missing

/** What cannot be seen, and what would show it. */
function hintRows(snapshot: Snapshot, flows: number, sockets: number, width: number): readonly NetworkRow[] {
  const { network } = snapshot;
  const kind = snapshot.identity?.kind ?? 'live';
  const hints = [
    ...(network === null && kind === 'live'
      ? ['Flows are not captured: `:capture on` lets QEMU mirror the packets; the guest does not notice.']
      : []),
    ...(network !== null && flows === 0 ? [`No packet since the capture began (${network.how}).`] : []),
    ...(snapshot.sockets === null
      ? ["The guest's own tables (listeners, connections) are not read: no probe knows its network stack, or it has no symbols."]
      : []),
    ...(snapshot.sockets !== null && sockets === 0 ? ['Nothing is open in the guest.'] : []),
    ...['system.network.io', 'system.network.packets'].flatMap((name) => {
      const why = findAbsence(snapshot, name);
      return why === null ? [] : [`${name}: ${why}`];
    }),
  ];
  return hints.flatMap((hint) =>
    wrap(hint, width - 2, 4).map((text, index) => heading(`hint:${hint}:${index}`, [span(` ${text}`, 'dim')])),
  );
}

/** Right end of the title: how flows are sorted, and whether packets are captured. */
export function networkRemark({ network }: Snapshot, state: ScreenState): Line {
  if (network === null) return [];
  return [
    span(` ${network.flows.length > 1 ? `${sortWords(SORT_KEYS, state.sorts.network)} · ` : ''}`, 'dim'),
    span('● capturing ', 'good'),
  ];
}

// --- one flow

/** The layer of a flow: all that is known of it. */
export function flowLines(snapshot: Snapshot, id: string, now: number, width: number): readonly Line[] {
  const flow = snapshot.network?.flows.find((candidate) => candidate.id === id);
  if (flow === undefined) return [[span('this flow is no longer kept', 'dim')]];
  const { guest, remote, received, sent, rttMs } = flow;
  const opened =
    flow.openedBy === null ? 'before the capture began' : flow.openedBy === 'guest' ? 'by the guest' : 'by the remote end';
  const failure = failureOf(flow);
  const row = (label: string, value: string, style: Style = 'plain'): readonly Line[] =>
    wrap(value, Math.max(10, width - 14), 6).map(
      (text, index): Line => [span(padEnd(index === 0 ? ` ${label}` : '', 14), 'dim'), span(text, style)],
    );
  const traffic = ({ packets, bytes, retransmits }: Flow['sent']): string =>
    `${formatSize(bytes)} in ${formatCount(packets)} packets${retransmits > 0 ? `, ${formatCount(retransmits)} sent again` : ''}`;
  const rtt = (ms: number | null): string => (ms === null ? 'not measured' : formatMilliseconds(ms));
  return [
    ...row('guest', endText(guest), 'strong'),
    ...row('remote', endText(remote), 'strong'),
    ...row(
      'protocol',
      `${flow.protocol}${flow.state === null ? '' : `, ${flow.state}`}${flow.reset ? ', ended by a reset' : ''} on ${flow.device}`,
      flow.reset ? 'bad' : 'plain',
    ),
    ...row('opened', `${opened}, ${formatAge(now - flow.firstAt)} ago; last packet ${formatAge(now - flow.lastAt)} ago`),
    ...row('received', traffic(received), received.retransmits > 0 ? 'warning' : 'plain'),
    ...row('sent', traffic(sent), sent.retransmits > 0 ? 'warning' : 'plain'),
    ...row('round trip', `to the remote end ${rtt(rttMs.remote)}, to the guest ${rtt(rttMs.guest)}`),
    ...(failure === null ? [] : row('failure', failure, 'bad')),
    [],
    [span(flow.remarks.length === 0 ? ' nothing remarkable was said on it' : ' Remarks', 'strong')],
    ...flow.remarks.slice(-200).flatMap((remark) => remarkLines(remark, now, width)),
  ];
}

function remarkLines({ at, protocol, failure, text }: FlowRemark, now: number, width: number): readonly Line[] {
  const head = `  ${padStart(formatAge(now - at), 4)} ago  ${padEnd(protocol, 5)}`;
  return wrap(text, Math.max(10, width - head.length - 1), 4).map(
    (piece, index): Line => [
      span(index === 0 ? head : ' '.repeat(head.length), 'dim'),
      span(` ${piece}`, failure ? 'bad' : 'plain'),
    ],
  );
}
