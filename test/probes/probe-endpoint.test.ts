// Endpoints that the user names: what they are written like, and that whoever speaks there is heard, again when it comes again.

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { formatProbeEndpoint, openProbeEndpoint, parseProbeEndpoint } from '../../src/session/probe-endpoint.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-endpoint-'));
afterAll(() => {
  rmSync(directory, { recursive: true });
});

describe('an endpoint of a probe', () => {
  it.each([
    ['listen:7000', 'listen:tcp:127.0.0.1:7000'],
    ['listen:192.0.2.1:7000', 'listen:tcp:192.0.2.1:7000'],
    ['listen:/run/guest.vsock_7000', 'listen:unix:/run/guest.vsock_7000'],
    ['tcp:127.0.0.1:7000', 'tcp:127.0.0.1:7000'],
    [':7000', 'tcp:127.0.0.1:7000'],
    ['unix:/run/probe.sock', 'unix:/run/probe.sock'],
    ['file:/tmp/probe.bin', 'file:/tmp/probe.bin'],
  ])('is written %s', (text, meant) => {
    const endpoint = parseProbeEndpoint(text);
    expect(formatProbeEndpoint(endpoint)).toBe(meant);
    expect(parseProbeEndpoint(meant)).toEqual(endpoint);
  });

  it.each(['', 'listen:', 'listen:99999', 'nonsense', 'vsock:3:7000', 'file:'])('is not written %j', (text) => {
    expect(() => parseProbeEndpoint(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

interface Audience {
  readonly said: string[];
  readonly remarks: string[];
  readonly ended: () => number;
  readonly admit: () => { onBytes(bytes: Uint8Array): void; onEnd(): void } | null;
  readonly onRemark: (code: string) => void;
}

/** Takes at most so many speakers in. */
function audience(room: number): Audience {
  const said: string[] = [];
  const remarks: string[] = [];
  let ended = 0;
  return {
    said,
    remarks,
    ended: () => ended,
    admit: () => {
      if (said.length - ended >= room) return null;
      const index = said.push('') - 1;
      return {
        onBytes: (bytes) => {
          said[index] = `${said[index] ?? ''}${Buffer.from(bytes).toString('latin1')}`;
        },
        onEnd: () => {
          ended += 1;
        },
      };
    },
    onRemark: (code) => remarks.push(code),
  };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  await new Promise((done) => server.close(done));
  return port;
}

describe('whoever speaks at an endpoint', () => {
  it('is heard, many at a time, no more than there is room for', async () => {
    const port = await freePort();
    const heard = audience(2);
    const source = openProbeEndpoint(parseProbeEndpoint(`listen:${port}`), heard);
    const speak = (text: string): Socket => {
      const socket = connect(port, '127.0.0.1', () => socket.write(text));
      return socket.on('error', () => undefined).resume();
    };
    const first = speak('one');
    await until(() => heard.said[0] === 'one');
    speak('two');
    await until(() => heard.said[1] === 'two');
    const refused = speak('three');
    await until(() => refused.destroyed);
    first.end();
    await until(() => heard.ended() === 1);
    speak('four');
    await until(() => heard.said[2] === 'four');
    await source.close();
  });

  it('may come through a Unix socket that nobody else can open', async () => {
    const path = join(directory, 'listen.sock');
    const heard = audience(1);
    const source = openProbeEndpoint(parseProbeEndpoint(`listen:${path}`), heard);
    await until(() => statSync(path, { throwIfNoEntry: false }) !== undefined);
    await sleep(20);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    connect(path).end('hello');
    await until(() => heard.said[0] === 'hello');
    await source.close();
  });

  it('is asked again when it was not there, or went', async () => {
    const port = await freePort();
    const heard = audience(1);
    const source = openProbeEndpoint(parseProbeEndpoint(`tcp:127.0.0.1:${port}`), heard);
    await sleep(50);
    let count = 0;
    const server = createServer((socket) => socket.end(`time ${(count += 1)}`)).listen(port, '127.0.0.1');
    await until(() => heard.said[1] === 'time 2');
    expect(heard.remarks).toEqual([]);
    await source.close();
    server.close();
  });

  it('is told of when its place is taken', async () => {
    const port = await freePort();
    const server = createServer().listen(port, '127.0.0.1');
    const heard = audience(1);
    const source = openProbeEndpoint(parseProbeEndpoint(`listen:${port}`), heard);
    await until(() => heard.remarks.length > 0);
    expect(heard.remarks).toEqual(['unavailable']);
    await source.close();
    server.close();
  });

  it('may have written a file', async () => {
    const path = join(directory, 'said.bin');
    writeFileSync(path, 'written');
    const heard = audience(1);
    const source = openProbeEndpoint(parseProbeEndpoint(`file:${path}`), heard);
    await until(() => heard.said[0] === 'written');
    await source.close();
  });
});
