// Ports of a guest that QEMU's user network makes reachable: `hostfwd=` of -netdev user, -nic user and -net user (qemu-options.hx,
// net/slirp.c slirp_hostfwd). Rules added later by HMP hostfwd_add are not on the command line.

import type { Endpoint } from '../qmp/endpoint.ts';
import { findValues, parseCommandLine } from './command-line.ts';
import { parseOptions } from './options.ts';
import type { VmRecord } from './record.ts';

/** A TCP port of the guest, and where on this host it is reached. */
export interface PortForward {
  readonly endpoint: Endpoint;
  readonly guestPort: number;
}

const MAX_FORWARDS = 64;
/** A bracketed address has colons of its own. */
const TCP = /^(?:tcp)?:(?:\[([0-9a-f:.]+)\]|([^:]*)):(\d{1,5})-(?:\[[^\]]*\]|[^:]*):(\d{1,5})$/i;
const UNIX = /^unix:(.+)-(?:\[[^\]]*\]|[^:]*):(\d{1,5})$/;
const EVERYWHERE = new Set(['', '0.0.0.0', '::']);

/** The forwarded TCP ports of a VM, in the order of its command line. */
export function readForwards({ argv, cwd }: Pick<VmRecord, 'argv' | 'cwd'>): readonly PortForward[] {
  return findValues(parseCommandLine(argv.slice(1)), 'netdev', 'nic', 'net')
    .map((text) => parseOptions(text, 'type'))
    .filter((pairs) => pairs.some(([key, value]) => key === 'type' && value === 'user'))
    .flatMap((pairs) => pairs.filter(([key]) => key === 'hostfwd'))
    .flatMap(([, rule]) => readRule(rule, cwd) ?? [])
    .slice(0, MAX_FORWARDS);
}

function readRule(rule: string, cwd: string | null): PortForward | null {
  const unix = UNIX.exec(rule);
  if (unix !== null) {
    const path = unix[1] ?? '';
    return { endpoint: { kind: 'unix', path: path.startsWith('/') ? path : `${cwd ?? ''}/${path}` }, guestPort: Number(unix[2]) };
  }
  const tcp = TCP.exec(rule);
  if (tcp === null) return null;
  const [, bracketed, plain = '', port = '', guestPort = ''] = tcp;
  const host = bracketed ?? plain;
  return {
    endpoint: { kind: 'tcp', host: EVERYWHERE.has(host) ? '127.0.0.1' : host, port: Number(port) },
    guestPort: Number(guestPort),
  };
}
