// Where a V8 inspector may listen: a TCP port that QEMU forwards into the guest, or a Unix socket at the end of a tunnel.

/** A stream socket. The same shape as QEMU's own endpoints. */
export type InspectorEndpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** `unix:PATH` or `HOST:PORT`, for messages. */
export function describeEndpoint(endpoint: InspectorEndpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`;
  return `${bracketed(endpoint.host)}:${endpoint.port}`;
}

/** The form `node:net` and `node:http` connect to. */
export function socketOptions(endpoint: InspectorEndpoint): { path: string } | { host: string; port: number } {
  if (endpoint.kind === 'unix') return { path: endpoint.path };
  return { host: endpoint.host, port: endpoint.port };
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
