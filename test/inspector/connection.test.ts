// A connection survives whatever the other end does: every command settles, nothing hangs, nothing stays open.

import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { type Connection, openConnection } from '../../src/inspector/connection.ts';
import {
  type Behaviour,
  type Command,
  frame,
  frameHead,
  type HostileServer,
  shakeHands,
  startHostile,
} from './hostile-server.ts';

const servers: HostileServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function start(behaviour: Behaviour): Promise<HostileServer> {
  const server = await startHostile(behaviour);
  servers.push(server);
  return server;
}

async function connectTo(behaviour: Behaviour): Promise<Connection> {
  return openConnection((await start(behaviour)).endpoint, 'id-1');
}

function answer({ id }: Command, socket: Duplex, result: unknown): void {
  socket.write(frame(JSON.stringify({ id, result })));
}

/** Answers the first command by these bytes. */
function answering(bytes: (command: Command) => Buffer): Behaviour {
  return { command: (command, socket) => socket.write(bytes(command)) };
}

describe('an honest inspector', () => {
  it('is asked and answers', async () => {
    const connection = await connectTo({
      command: (command, socket) => {
        answer(command, socket, { was: command.method, with: command.params });
      },
    });
    await expect(connection.send('Runtime.enable', { a: 1 })).resolves.toEqual({ was: 'Runtime.enable', with: { a: 1 } });
    await connection.close();
    await expect(connection.ended).resolves.toMatch(/closed/);
    await expect(connection.send('Runtime.enable')).rejects.toMatchObject({ code: 'INSPECTOR_CLOSED' });
  });

  it('refuses a command in its own words, made safe', async () => {
    const connection = await connectTo(
      answering(({ id }) => frame(`{"id":${id},"error":{"code":-1,"message":"no \\u001b[31msuch"}}`)),
    );
    await expect(connection.send('Runtime.x')).rejects.toMatchObject({
      code: 'INSPECTOR_COMMAND',
      message: 'Runtime.x: no \\x1b[31msuch',
    });
    await connection.close();
  });

  it('tells events to who listens, and to nobody else', async () => {
    const heard: unknown[] = [];
    const connection = await connectTo({
      command: (command, socket) => {
        socket.write(frame('{"method":"Runtime.consoleAPICalled","params":{"not":"parsed"'));
        socket.write(frame('{"method":"Runtime.exceptionThrown","params":{"x":1}}'));
        answer(command, socket, {});
      },
    });
    const stop = connection.on('Runtime.exceptionThrown', (params) => heard.push(params));
    await connection.send('A.b');
    stop();
    await connection.send('A.b');
    expect(heard).toEqual([{ x: 1 }]);
    await connection.close();
  });
});

describe('a handshake that fails is one clear error', () => {
  const failures: readonly (readonly [string, Behaviour['upgrade']])[] = [
    ['closed at once', (socket) => socket.destroy()],
    ['answered by a page', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi')],
    ['answered by nonsense', (socket) => socket.end('\0\u00ff SSH-2.0-nonsense\r\n\r\n')],
    [
      'answered by a wrong key',
      (socket) => socket.write('HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n'),
    ],
    ['never answered', () => undefined],
  ];
  it.each(failures)('%s', async (_title, upgrade) => {
    const server = await start(upgrade === undefined ? {} : { upgrade });
    await expect(openConnection(server.endpoint, 'id-1')).rejects.toMatchObject({ code: 'INSPECTOR_CONNECT' });
    await expect.poll(server.open).toBe(0);
  });

  it('a redirect is not followed', async () => {
    const elsewhere = await start({});
    const { port } = elsewhere.endpoint as { readonly port: number };
    const server = await start({
      upgrade: (socket) => socket.end(`HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:${port}/x\r\nContent-Length: 0\r\n\r\n`),
    });
    await expect(openConnection(server.endpoint, 'id-1')).rejects.toMatchObject({ code: 'INSPECTOR_CONNECT' });
    expect(elsewhere.asked).toEqual([]);
  });
});

describe('a hostile inspector', () => {
  const lies: readonly (readonly [string, (command: Command) => Buffer])[] = [
    ['no JSON', () => frame('hello')],
    ['an answer that is cut off', ({ id }) => frame(`{"id":${id},"result":{`)],
    ['an answer without a result', ({ id }) => frame(`{"id":${id}}`)],
    ['a result that is no object', ({ id }) => frame(`{"id":${id},"result":7}`)],
    ['null', () => frame('null')],
    ['an array', () => frame('[]')],
    ['an id that is a name', () => frame('{"id":"__proto__","result":{}}')],
    ['an event called like a method of ours', () => frame('{"method":"error","params":{}}')],
    ['binary data', () => Buffer.from([0x82, 2, 1, 2])],
    ['text that is no UTF-8', () => Buffer.from([0x81, 2, 0xff, 0xfe])],
    ['a frame of 1 GiB', () => Buffer.concat([frameHead(2 ** 30), Buffer.alloc(64)])],
    ['a frame of 2^63 bytes', () => Buffer.from([0x81, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255])],
    ['goodbye', () => Buffer.from([0x88, 2, 0x03, 0xe8])],
  ];
  it.each(lies)('that says %s is left, and the command settles', async (_title, bytes) => {
    const server = await start(answering(bytes));
    const connection = await openConnection(server.endpoint, 'id-1');
    await expect(connection.send('Runtime.enable')).rejects.toMatchObject({ code: 'INSPECTOR_CLOSED' });
    await connection.close();
    await expect.poll(server.open).toBe(0);
  });

  it('may speak before anybody asked it', async () => {
    const server = await start({
      upgrade: (socket, request) => {
        shakeHands(socket, request);
        socket.write(frame('{"id":1,"result":{}}'));
        socket.write(frame('nonsense'));
      },
    });
    const outcome = await openConnection(server.endpoint, 'id-1').then(
      async (connection) => connection.ended,
      (error: unknown) => String(error),
    );
    expect(outcome).toMatch(/inspector protocol|INSPECTOR_CONNECT|closed/);
  });

  it('may answer what was never asked: nobody hears it', async () => {
    const connection = await connectTo({
      command: (command, socket) => {
        socket.write(frame('{"id":999,"result":{"a":"lie"}}'));
        answer(command, socket, { true: 1 });
      },
    });
    await expect(connection.send('A.b')).resolves.toEqual({ true: 1 });
    await connection.close();
  });

  it('may answer too much: the command fails, the connection stays', async () => {
    let asked = 0;
    const connection = await connectTo({
      command: (command, socket) => {
        asked += 1;
        answer(command, socket, asked === 1 ? { text: 'x'.repeat(2 * 1024 * 1024) } : {});
      },
    });
    await expect(connection.send('A.b')).rejects.toMatchObject({
      code: 'INSPECTOR_COMMAND',
      message: expect.stringContaining('more than') as string,
    });
    await expect(connection.send('A.b')).resolves.toEqual({});
    await connection.close();
  });

  it('may not answer at all: each command has its time, and too many of them end the connection', async () => {
    const connection = await connectTo({ command: () => undefined });
    await expect(connection.send('A.b', {}, { timeoutMs: 30 })).rejects.toMatchObject({ code: 'INSPECTOR_TIMEOUT' });
    const codes = await Promise.all(
      Array.from({ length: 70 }, async () =>
        connection.send('A.b', {}, { timeoutMs: 2_000 }).then(
          () => 'answered',
          (error: unknown) => (error as { readonly code: string }).code,
        ),
      ),
    );
    expect(new Set(codes)).toEqual(new Set(['INSPECTOR_CLOSED']));
  });

  it('may not say goodbye: closing takes half a second at most', async () => {
    const server = await start({
      upgrade: (socket, request) => {
        shakeHands(socket, request);
        socket.resume();
      },
    });
    const connection = await openConnection(server.endpoint, 'id-1');
    const startedAt = performance.now();
    await connection.close();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await expect.poll(server.open).toBe(0);
  });
});
