// A hand-made guest that has everything the GC, memory and network panels draw: two and a half minutes of a Go server whose memory
// runs full, with flows of which some fail. And three VMs for the fleet: it, one that crashed, one that cannot be attached.

import type { FleetMember } from '../../src/model/fleet.ts';
import type { Flow, NetworkView } from '../../src/model/flow.ts';
import type { Intent } from '../../src/model/intent.ts';
import type { Sample } from '../../src/model/metric.ts';
import { seriesKey } from '../../src/model/metric.ts';
import type { SessionView } from '../../src/model/session.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import type { GuestSocket } from '../../src/model/socket.ts';
import { makeCrashed, makeSnapshot, NOW } from './guest.ts';

const SECONDS = 150;
const KIB = 1024;
const MIB = 1024 * 1024;

type Curve = (second: number) => number | null;
type Given = Partial<Pick<Sample, 'attributes' | 'kind' | 'absent' | 'probe'>>;

/** One sample a second, the newest 400 ms ago. */
function curve(
  name: string,
  unit: string,
  value: Curve,
  { attributes = {}, kind = 'gauge', absent = null, probe = 'go' }: Given = {},
): Series {
  const values = Array.from({ length: SECONDS }, (_, second) => value(second));
  const at = NOW - 400;
  const latest = { name, unit, value: values.at(-1) ?? null, attributes, kind, absent, probe };
  return { latest, at, times: values.map((_, index) => at - (SECONDS - 1 - index) * 1000), values };
}

const counter = (name: string, unit: string, value: Curve, attributes: Given['attributes'] = {}): Series =>
  curve(name, unit, value, { attributes, kind: 'counter' });
const gauge = (name: string, unit: string, value: Curve, attributes: Given['attributes'] = {}): Series =>
  curve(name, unit, value, { attributes });
const absent = (name: string, why: string): Series => curve(name, '1', () => null, { absent: why });

/** A saw of 12 s: the collector runs when the heap has doubled. */
const sawtooth: Curve = (second) => (6 + ((second % 12) / 12) * 6) * MIB;
const cycles: Curve = (second) => 200 + Math.floor(second / 12);
const used: Curve = (second) => (35 + second * 0.14) * MIB;

const SERIES: readonly Series[] = [
  counter('system.cpu.time', 's', (second) => 20 + second * 0.37, { vcpu: '0' }),
  gauge('unikernel.memory.allocated', 'By', () => 128 * MIB),
  gauge('unikernel.memory.resident', 'By', (second) => (80 + second * 0.1) * MIB),
  gauge('unikernel.memory.used', 'By', used),
  gauge('unikernel.memory.free', 'By', (second) => 64 * MIB - used(second)!),
  gauge('unikernel.memory.limit', 'By', () => 64 * MIB),
  gauge('unikernel.memory.used.peak', 'By', used),
  gauge('unikernel.memory.exhaustion.time', 's', () => 57),
  counter('unikernel.memory.allocations', '{allocation}', (second) => 9000 + second * 420),
  counter('unikernel.memory.frees', '{free}', (second) => 8500 + second * 380),
  counter('unikernel.memory.allocation.failures', '{allocation}', () => 2),
  counter('go.memory.gc.cycles', '{cycle}', cycles),
  counter('go.memory.gc.pause.time', 'ns', (second) => cycles(second)! * 310_000),
  gauge('go.memory.gc.pause.last', 'ns', () => 312_000),
  ...[
    ['0.5', 210_000],
    ['0.99', 800_000],
    ['1', 1_200_000],
  ].map(([quantile, ns]) => gauge('go.memory.gc.pause', 'ns', () => Number(ns), { quantile: String(quantile) })),
  gauge('go.memory.heap.live', 'By', sawtooth),
  absent('go.memory.heap.marked', 'Go 1.18 and older keep it only while they collect'),
  gauge('go.memory.heap.used', 'By', () => 14.5 * MIB),
  gauge('go.memory.gc.goal', 'By', () => 12 * MIB),
  counter('go.memory.allocated', 'By', (second) => second * 512 * KIB),
  counter('system.network.io', 'By', (second) => 60_000 + second * second * 90, { device: 'net0', direction: 'receive' }),
  counter('system.network.io', 'By', (second) => 90_000 + second * 9_000, { device: 'net0', direction: 'transmit' }),
  counter('system.network.packets', '{packet}', (second) => 600 + second * 34, { device: 'net0', direction: 'receive' }),
  counter('system.network.packets', '{packet}', (second) => 500 + second * 21, { device: 'net0', direction: 'transmit' }),
  counter('system.network.dropped', '{packet}', () => 3, { device: 'net0', direction: 'receive' }),
];

function flow(id: string, given: Partial<Flow>): Flow {
  return {
    id,
    device: 'n0',
    protocol: 'tcp',
    guest: { address: '10.0.2.15', port: 41_000 + Number(id) },
    remote: { address: '93.184.216.34', port: 443 },
    openedBy: 'guest',
    state: 'established',
    reset: false,
    received: { packets: 14, bytes: 9_120, retransmits: 0 },
    sent: { packets: 12, bytes: 1_430, retransmits: 0 },
    rttMs: { remote: 12.4, guest: 0.2 },
    firstAt: NOW - 20_000,
    lastAt: NOW - Number(id) * 1000,
    remarks: [],
    ...given,
  };
}

export const FLOWS: readonly Flow[] = [
  flow('1', {
    guest: { address: '10.0.2.15', port: 8080 },
    remote: { address: '10.0.2.2', port: 40_211 },
    openedBy: 'remote',
    rttMs: { remote: 0.3, guest: 0.1 },
  }),
  flow('2', {
    state: 'closed',
    received: { packets: 6, bytes: 4_300, retransmits: 2 },
    remarks: [
      { at: NOW - 5000, protocol: 'tls', failure: false, text: 'ClientHello to api.example.org, TLS 1.3' },
      { at: NOW - 4900, protocol: 'tls', failure: true, text: 'handshake ended by the guest: unknown CA' },
    ],
  }),
  flow('3', {
    protocol: 'udp',
    state: null,
    remote: { address: '10.0.2.3', port: 53 },
    remarks: [{ at: NOW - 3000, protocol: 'dns', failure: true, text: 'A db.internal → NXDOMAIN' }],
  }),
  flow('4', { remote: { address: '10.0.2.9', port: 5432 }, state: 'closed', reset: true, rttMs: { remote: null, guest: null } }),
];

export const NETWORK: NetworkView = {
  since: NOW - 60_000,
  how: 'filter-mirror on n0',
  flows: FLOWS,
  forgotten: 12,
  malformed: 0,
  lost: 3,
};

const SOCKETS: readonly GuestSocket[] = [
  {
    protocol: 'tcp',
    state: 'listen',
    local: { address: '*', port: 8080 },
    remote: null,
    receiveQueue: 0,
    sendQueue: 0,
    retransmits: null,
  },
  {
    protocol: 'tcp',
    state: 'established',
    local: { address: '10.0.2.15', port: 8080 },
    remote: { address: '10.0.2.2', port: 40_211 },
    receiveQueue: 512,
    sendQueue: 0,
    retransmits: 1,
  },
];

/** The busy server; `given` replaces parts of it. */
export function makeBusy(given: Partial<Snapshot> = {}): Snapshot {
  return makeSnapshot({
    metrics: new Map(SERIES.map((series) => [seriesKey(series.latest), series])),
    network: NETWORK,
    sockets: SOCKETS,
    findings: [
      {
        check: 'memory-exhaustion',
        severity: 'critical',
        message:
          'memory is full in 57 s: 55.9 MiB of 64.0 MiB used, growing by 8.4 MiB a minute; find what grows, or give the VM more',
        active: true,
        since: NOW - 20_000,
      },
    ],
    ...given,
  });
}

/** A member whose session never changes; what is sent to it is kept in `sent`. */
export function makeMember(
  name: string,
  snapshot: Snapshot | null,
  failure: string | null = null,
): FleetMember & { readonly sent: Intent[] } {
  const sent: Intent[] = [];
  const session: SessionView = {
    snapshot: () => snapshot!,
    subscribe: () => () => undefined,
    dispatch: (intent) => {
      sent.push(intent);
    },
  };
  return { id: name, name, session: snapshot === null ? null : session, failure, sent };
}

/** A healthy guest, the busy one, one that crashed, one that is being attached, one that refuses. */
export function makeFleet(): readonly ReturnType<typeof makeMember>[] {
  const identity = makeSnapshot().identity!;
  const calm = makeBusy({ findings: [], identity: { ...identity, name: 'web-2', unikernel: 'nanos' } });
  return [
    makeMember('web-1', makeBusy({ identity: { ...identity, name: 'web-1', unikernel: 'nanos' } })),
    makeMember('web-2', calm),
    makeMember('dns', makeCrashed({ identity: { ...identity, name: 'dns', unikernel: 'solo5' } })),
    makeMember('new', null),
    makeMember('old', null, 'old (pid 17) has no monitor: start it with -qmp unix:/run/old.qmp,server=on,wait=off'),
  ];
}
