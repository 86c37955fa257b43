// Where a monitor or stub listens, as QEMU writes it on its command line and as people type it.

import { UnidbgError } from '../../model/error.ts';

/** A stream socket on this machine or reachable by TCP. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** `unix:/path`, a path with a slash, `tcp:host:port`, `host:port` or `:port`. Throws USAGE on anything else. */
export function parseEndpoint(text: string): Endpoint {
  const endpoint = findEndpoint(text);
  if (endpoint !== null) return endpoint;
  throw new UnidbgError('USAGE', `"${text}" is not an endpoint: write unix:/path/to/socket or tcp:host:port`);
}

/** The same, or null when it is not an endpoint: for a word that may also be a VM's name. */
export function findEndpoint(text: string): Endpoint | null {
  const unix = /^(?:qmp:)?unix:(.+)$/.exec(text)?.[1] ?? (text.includes('/') && !text.includes('://') ? text : null);
  if (unix !== null) return { kind: 'unix', path: unix };
  const tcp = /^(?:qmp:)?(?:tcp:)?(?:\[([0-9a-f:]+)\]|([^:/\s]*)):(\d{1,5})$/i.exec(text);
  if (tcp === null || Number(tcp[3]) > 65535) return null;
  const host = tcp[1] ?? tcp[2] ?? '';
  return { kind: 'tcp', host: host === '' || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host, port: Number(tcp[3]) };
}

/** `unix:/path` or `tcp:host:port`, the form `parseEndpoint` takes. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`;
  return `tcp:${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}

/** The form `node:net` connects to. */
export function socketAddress(endpoint: Endpoint): { path: string } | { host: string; port: number } {
  if (endpoint.kind === 'unix') return { path: endpoint.path };
  return { host: endpoint.host, port: endpoint.port };
}
