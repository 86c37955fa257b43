// What network probes share: addresses and ports as stacks keep them (network byte order), sockets counted by state.

import type { MetricDeclaration } from '../../src/model/metric.ts';
import type { ProbeGuest, Reading } from '../../src/model/probe.ts';
import type { GuestSocket, NetworkEnd, TcpState } from '../../src/model/socket.ts';
import type { TypedValue } from './typed.ts';

/** More sockets than this are not looked at. */
export const MAX_SOCKETS = 1024;

/** The gauge that every probe with sockets has. */
export const CONNECTIONS: MetricDeclaration = {
  kind: 'gauge',
  unit: '{connection}',
  doc: 'sockets of the network stack by protocol and state',
};

/** Series of CONNECTIONS. Established and listening ones are told when there are none, too. */
export function countSockets(sockets: readonly GuestSocket[] | null, absent: string): Reading {
  if (sockets === null) return { absent };
  const told = ['tcp established', 'tcp listen'];
  const kinds = [...new Set([...told, ...sockets.map(kindOf)])].sort();
  return kinds.map((kind) => {
    const [protocol = '', state = 'none'] = kind.split(' ');
    return { value: sockets.filter((socket) => kindOf(socket) === kind).length, attributes: { protocol, state } };
  });
}

function kindOf({ protocol, state }: GuestSocket): string {
  return state === null ? protocol : `${protocol} ${state}`;
}

/** A 16-bit port in network byte order. */
export function readNetworkPort(value: TypedValue | null): number | null {
  const raw = value?.number() ?? null;
  return raw === null || raw < 0 || raw > 0xffff ? null : ((raw & 0xff) << 8) | (raw >> 8);
}

/** The bytes of an address as they go over the wire: 4 are IPv4's, 16 IPv6's. All zeros: any, `*`. Null when unreadable. */
export function readNetworkAddress({ memory }: ProbeGuest, value: TypedValue | null, length: 4 | 16): string | null {
  const bytes = value === null ? null : memory.read(value.address, length);
  if (bytes === null) return null;
  if (bytes.every((byte) => byte === 0)) return '*';
  return length === 4 ? [...bytes].join('.') : formatIpv6(bytes);
}

/** RFC 5952: lower case, the longest run of two or more zero groups left out. */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  );
  const runs = [...groups.join(':').matchAll(/\b0(?::0)+\b/g)].sort((a, b) => b[0].length - a[0].length);
  const longest = runs[0];
  const text = groups.join(':');
  if (longest === undefined) return text;
  const before = text.slice(0, longest.index).replace(/:$/, '');
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${before}::${after}`;
}

/** An end that has an address, or null for none at all. */
export function networkEnd(address: string | null, port: number | null): NetworkEnd {
  return { address: address ?? '?', port };
}

/** The peer; null while there is none. */
export function peer(address: string | null, port: number | null): NetworkEnd | null {
  return (address === null || address === '*') && (port === null || port === 0) ? null : networkEnd(address, port);
}

/** A state by its number in a table of states; null when it is none. */
export function tcpState(states: readonly TcpState[], value: TypedValue | null | undefined): TcpState | null {
  return states[value?.number() ?? -1] ?? null;
}
