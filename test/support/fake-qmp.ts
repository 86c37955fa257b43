// A QMP server for tests, on a unix socket in a temporary folder: it says what the test tells it to, nothing more.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from '../../src/qemu/qmp/endpoint.ts';

/** A request as the client wrote it. */
export interface FakeRequest {
  readonly execute: string;
  readonly arguments?: Readonly<Record<string, unknown>>;
  readonly id: number;
}

/** A listening fake; `write` sends raw text to the newest client. */
export interface FakeQmp {
  readonly endpoint: Endpoint;
  readonly requests: readonly FakeRequest[];
  readonly connections: () => number;
  readonly write: (text: string) => void;
  readonly drop: () => void;
  readonly close: () => Promise<void>;
}

export const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n';

/** Starts a fake. `answer` returns the reply's text (without id handling) or null for silence; `greeting` null: none, as a busy QEMU. */
export async function startFakeQmp(
  answer: (request: FakeRequest) => string | null = (request) => `{"return": {}, "id": ${request.id}}\r\n`,
  greeting: string | null = GREETING,
): Promise<FakeQmp> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-fake-qmp-'));
  const path = join(folder, 'qmp.sock');
  const requests: FakeRequest[] = [];
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (greeting !== null) socket.write(greeting);
    let held = '';
    socket.on('data', (chunk) => {
      held += chunk.toString();
      const lines = held.split('\n');
      held = lines.pop() ?? '';
      for (const line of lines) {
        const request = JSON.parse(line) as FakeRequest;
        if (request.execute !== 'qmp_capabilities') requests.push(request);
        const reply = request.execute === 'qmp_capabilities' ? `{"return": {}, "id": ${request.id}}\r\n` : answer(request);
        if (reply !== null) socket.write(reply);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const drop = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    endpoint: { kind: 'unix', path },
    requests,
    connections: () => sockets.length,
    write: (text) => sockets.at(-1)?.write(text),
    drop,
    close: async () => {
      drop();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
