// An HTTP server in the place of an inspector that answers as a test wishes, down to the bytes of its WebSocket frames (RFC 6455 §5).

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { InspectorEndpoint } from '../../src/inspector/endpoint.ts';

/** What a hostile inspector does. */
export interface Behaviour {
  /** Answers /json/… itself; else as an honest Node.js. */
  readonly http?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Takes the socket of the WebSocket's request instead of the handshake. */
  readonly upgrade?: (socket: Duplex, request: IncomingMessage) => void;
  /** Answers one command. */
  readonly command?: (command: Command, socket: Duplex) => void;
}

/** A command as it came. */
export interface Command {
  readonly id: number;
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** A running server. */
export interface HostileServer {
  readonly endpoint: InspectorEndpoint;
  /** Requests so far: method and path. */
  readonly asked: readonly string[];
  /** Open connections. */
  readonly open: () => number;
  close(): Promise<void>;
}

const ID = '0f0e0d0c-aaaa-bbbb-cccc-000000000001';

/** Starts one on a free port, or on a Unix socket. */
export async function startHostile(behaviour: Behaviour, path?: string): Promise<HostileServer> {
  const sockets = new Set<Duplex>();
  const asked: string[] = [];
  const server: Server = createServer((request, response) => {
    asked.push(`${request.method ?? ''} ${request.url ?? ''}`);
    (behaviour.http ?? answerHonestly)(request, response);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    // An HTTP server leaves the second half of a connection open.
    socket.on('end', () => socket.end());
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    asked.push(`UPGRADE ${request.url ?? ''}`);
    if (behaviour.upgrade !== undefined) {
      behaviour.upgrade(socket, request);
      return;
    }
    shakeHands(socket, request);
    if (behaviour.command !== undefined) takeCommands(socket, behaviour.command);
  });
  await new Promise<void>((done) => {
    if (path === undefined) server.listen(0, '127.0.0.1', done);
    else server.listen(path, done);
  });
  return {
    endpoint:
      path === undefined
        ? { kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port }
        : { kind: 'unix', path },
    asked,
    open: () => sockets.size,
    close: () =>
      new Promise((done) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => {
          done();
        });
      }),
  };
}

/** What Node.js answers to /json/version and /json/list. */
export function answerHonestly(request: IncomingMessage, response: ServerResponse): void {
  if (request.url === '/json/version') response.end('{"Browser":"node.js/v24.0.0","Protocol-Version":"1.1"}');
  else response.end(JSON.stringify([{ id: ID, title: 'app.js', type: 'node' }]));
}

/** The server's half of the WebSocket handshake. */
export function shakeHands(socket: Duplex, request: IncomingMessage): void {
  const key = `${request.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
}

/** A text message from a server: one frame. */
export function frame(text: string): Buffer {
  const payload = Buffer.from(text);
  const head =
    payload.length < 126
      ? Buffer.from([0x81, payload.length])
      : payload.length < 65536
        ? Buffer.from([0x81, 126, payload.length >> 8, payload.length & 0xff])
        : frameHead(payload.length);
  return Buffer.concat([head, payload]);
}

/** The head of a frame that says to have so many bytes. */
export function frameHead(length: number): Buffer {
  const head = Buffer.alloc(10);
  head[0] = 0x81;
  head[1] = 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return head;
}

// A client's frames are masked; ours in these tests are short or come whole.
function takeCommands(socket: Duplex, take: (command: Command, socket: Duplex) => void): void {
  let pending: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < 2) return;
      const short = pending[1]! & 0x7f;
      const at = short === 126 ? 4 : 2;
      const length = short === 126 ? pending.readUInt16BE(2) : short;
      if (pending.length < at + 4 + length) return;
      const mask = pending.subarray(at, at + 4);
      const body = Buffer.from(pending.subarray(at + 4, at + 4 + length).map((byte, index) => byte ^ mask[index & 3]!));
      const isText = (pending[0]! & 0x0f) === 1;
      pending = pending.subarray(at + 4 + length);
      if (isText) take(JSON.parse(body.toString()) as Command, socket);
    }
  });
}
