// Where a stub listens, and the opening of a socket to it.

import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { RspError } from '../error.ts';

/** A Unix socket's path, or a TCP host and port. */
export type Endpoint =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp'; readonly host: string; readonly port: number };

/**
 * An endpoint as people and QEMU write it: `/path`, `unix:/path[,server=on,…]`, `host:port`, `:port`, `tcp:host:port[,…]`,
 * `[::1]:port`, `port`. Null for anything else.
 */
export function parseEndpoint(text: string): Endpoint | null {
  const bare = text.replace(/,.*$/, '');
  const path = /^(?:unix:)?((?:\/|\.{1,2}\/).+)$/.exec(bare) ?? /^unix:(.+)$/.exec(bare);
  if (path !== null) return { type: 'unix', path: path[1]! };
  const tcp = /^(?:tcp:)?(?:(\[[0-9a-f:.%a-z]+\]|[^:/\s]*):)?([0-9]{1,5})$/i.exec(bare);
  if (tcp === null || Number(tcp[2]) > 65_535) return null;
  const host = (tcp[1] ?? '').replace(/^\[|\]$/g, '');
  return { type: 'tcp', host: host === '' || host === '0.0.0.0' ? '127.0.0.1' : host, port: Number(tcp[2]) };
}

/** An endpoint as gdb's `target remote` takes it. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.type === 'unix') return endpoint.path;
  return `${endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host}:${endpoint.port}`;
}

/** A connected socket. Throws RSP_CONNECT, RSP_TIMEOUT or RSP_ABORTED. */
export async function openSocket(
  endpoint: Endpoint,
  options: { timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<Socket> {
  const where = formatEndpoint(endpoint);
  return new Promise((resolve, reject) => {
    const socket = endpoint.type === 'unix' ? connect(endpoint.path) : connect(endpoint.port, endpoint.host);
    const fail = (error: RspError): void => {
      finish();
      socket.on('error', () => undefined).destroy();
      reject(error);
    };
    const onAbort = (): void => {
      fail(new RspError('RSP_ABORTED', `connecting to the gdbstub at ${where} was given up`));
    };
    const onError = (cause: Error): void => {
      fail(new RspError('RSP_CONNECT', `no gdbstub can be reached at ${where}: ${cause.message}`, { cause, facts: { where } }));
    };
    const timer = setTimeout(() => {
      fail(new RspError('RSP_TIMEOUT', `no gdbstub took the connection at ${where} within ${options.timeoutMs} ms`));
    }, options.timeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      socket.off('error', onError);
    };
    socket.once('error', onError).once('connect', () => {
      finish();
      if (endpoint.type === 'tcp') socket.setNoDelay(true);
      resolve(socket);
    });
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted === true) onAbort();
  });
}
