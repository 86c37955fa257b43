// Where an in-guest probe is awaited, as `--probe` says it, for what no VM's command line tells: a guest that connects out to this
// host (through QEMU's user network, or a vsock that ends in a Unix socket), one that listens itself, one that writes to a file.

import { chmodSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { UnidbgError } from '../model/error.ts';
import { type Endpoint, findEndpoint, formatEndpoint, socketAddress } from '../qemu/qmp/endpoint.ts';
import { type ConsoleSource, followFile, readSocket } from './console-source.ts';

/** `listen`: guests connect to us; `connect`: we connect to the guest, again and again; `file`: it is followed from its first byte. */
export type ProbeEndpoint =
  | { readonly kind: 'listen'; readonly endpoint: Endpoint }
  | { readonly kind: 'connect'; readonly endpoint: Endpoint }
  | { readonly kind: 'file'; readonly path: string };

/** Takes what one guest program says, until it ends. */
export interface ProbeSpeaker {
  onBytes(bytes: Uint8Array): void;
  onEnd(): void;
}

/** What an endpoint needs: somebody to take each speaker, and where it says what goes wrong. */
export interface ProbeAudience {
  /** Null when there are too many already. */
  readonly admit: (name: string) => ProbeSpeaker | null;
  readonly onRemark: (code: string, message: string) => void;
}

const RECONNECT_MS = 1000;

/** `listen:PORT`, `listen:HOST:PORT`, `listen:/path`, `tcp:HOST:PORT`, `unix:/path`, `file:/path`. Throws USAGE on anything else. */
export function parseProbeEndpoint(text: string): ProbeEndpoint {
  const [, kind, rest] = /^(listen|file):(.+)$/.exec(text) ?? [];
  if (kind === 'file') return { kind, path: rest! };
  // Unless a host is named nobody but this machine, and so a guest behind QEMU's user network, gets in.
  const endpoint = findEndpoint(kind === 'listen' ? rest!.replace(/^(?=\d+$)/, ':') : text);
  if (endpoint !== null) return { kind: kind === 'listen' ? 'listen' : 'connect', endpoint };
  throw new UnidbgError(
    'USAGE',
    `"${text}" is no place for a probe: write listen:PORT, listen:/path/to/socket, tcp:HOST:PORT, unix:/path/to/socket or file:/path`,
  );
}

/** The form `parseProbeEndpoint` takes. */
export function formatProbeEndpoint(endpoint: ProbeEndpoint): string {
  if (endpoint.kind === 'file') return `file:${endpoint.path}`;
  return endpoint.kind === 'listen' ? `listen:${formatEndpoint(endpoint.endpoint)}` : formatEndpoint(endpoint.endpoint);
}

/** Waits there for what guests say. Throws FILE_UNREADABLE. */
export function openProbeEndpoint(endpoint: ProbeEndpoint, audience: ProbeAudience): ConsoleSource {
  if (endpoint.kind === 'listen') return listen(endpoint.endpoint, audience);
  return endpoint.kind === 'connect' ? connect(endpoint.endpoint, audience) : follow(endpoint.path, audience);
}

function follow(path: string, { admit, onRemark }: ProbeAudience): ConsoleSource {
  const speaker = admit(`file:${path}`);
  return followFile(path, {
    onBytes: (bytes) => {
      speaker?.onBytes(bytes);
    },
    onRemark: (code, message) => {
      onRemark(code.replace('console-', ''), message.replace('the console', 'the probe'));
    },
  });
}

// QEMU's port forwarding takes every connection, and ends it at once while nobody in the guest listens: so that is no failure.
function connect(endpoint: Endpoint, { admit }: ProbeAudience): ConsoleSource {
  let source: ConsoleSource | null = null;
  let timer: NodeJS.Timeout | null = null;
  const open = (): void => {
    let speaker: ProbeSpeaker | null = null;
    source = readSocket(socketAddress(endpoint), {
      onBytes: (bytes) => {
        speaker?.onBytes(bytes);
      },
      onRemark: (code) => {
        if (code === 'console-from-now') speaker = admit(formatEndpoint(endpoint));
        if (code !== 'console-ended') return;
        speaker?.onEnd();
        timer = setTimeout(open, RECONNECT_MS);
      },
    });
  };
  open();
  return {
    close: () => {
      if (timer !== null) clearTimeout(timer);
      void source?.close();
    },
  };
}

function listen(endpoint: Endpoint, audience: ProbeAudience): ConsoleSource {
  const where = formatEndpoint(endpoint);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    const speaker = audience.admit(endpoint.kind === 'unix' ? 'unix' : `tcp:${String(endpoint.port)}`);
    if (speaker === null) {
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('data', (bytes) => {
      speaker.onBytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      speaker.onEnd();
    });
  });
  server.on('error', (error) => {
    audience.onRemark('unavailable', `no guest can connect to ${where}: ${error.message}`);
  });
  if (endpoint.kind === 'tcp') server.listen(endpoint.port, endpoint.host);
  else
    server.listen(endpoint.path, () => {
      chmodSync(endpoint.path, 0o600);
    });
  return {
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
