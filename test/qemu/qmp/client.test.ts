import { afterEach, describe, expect, it } from 'vitest';
import { errorCode } from '../../../src/model/error.ts';
import { type ConnectionChange, openQmp, type QmpClient, type QmpOptions } from '../../../src/qemu/qmp/client.ts';
import type { QmpEvent } from '../../../src/qemu/qmp/connection.ts';
import { type FakeQmp, startFakeQmp } from '../../support/fake-qmp.ts';

const open: (FakeQmp | QmpClient)[] = [];

afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function start(...parameters: Parameters<typeof startFakeQmp>): Promise<FakeQmp> {
  const fake = await startFakeQmp(...parameters);
  open.push(fake);
  return fake;
}

async function connect(fake: FakeQmp, options: QmpOptions = {}): Promise<QmpClient> {
  const client = await openQmp(fake.endpoint, options);
  open.push(client);
  return client;
}

async function codeOf(promise: Promise<unknown>): Promise<{ code: string | null; message: string }> {
  const error: unknown = await promise.then(
    () => new Error('it was fulfilled'),
    (reason: unknown) => reason,
  );
  return { code: errorCode(error), message: (error as Error).message };
}

describe('QmpClient', () => {
  it('negotiates and knows the version', async () => {
    const client = await connect(await start());
    expect(client.version).toEqual({ major: 7, minor: 2, micro: 22, package: 'Debian' });
  });

  it('matches answers to commands by id, in whatever order they come', async () => {
    const held: number[] = [];
    const fake = await start((request) => {
      held.push(request.id);
      return held.length < 2 ? null : `{"return": "b", "id": ${held[1]!}}\r\n{"return": "a", "id": ${held[0]!}}\r\n`;
    });
    const client = await connect(fake);
    expect(await Promise.all([client.execute('first'), client.execute('second')])).toEqual(['a', 'b']);
  });

  it('carries 64-bit integers both ways', async () => {
    const fake = await start((request) => `{"return": 18446744073709551615, "id": ${request.id}}\r\n`);
    const client = await connect(fake);
    expect(await client.execute('x', { val: 2n ** 60n })).toBe(18446744073709551615n);
    expect(fake.requests[0]?.arguments?.['val']).toBe(2 ** 60);
  });

  it('hands events to its subscribers and tells them from answers', async () => {
    const fake = await start();
    const client = await connect(fake);
    const events: QmpEvent[] = [];
    client.subscribe((event) => events.push(event));
    fake.write('{"timestamp": {"seconds": 10, "microseconds": 500000}, "event": "STOP"}\r\n');
    await client.execute('query-status');
    expect(events).toEqual([{ name: 'STOP', data: {}, at: 10_500 }]);
  });

  it('reports a refusal with QEMU’s words', async () => {
    const fake = await start(
      (request) => `{"error": {"class": "CommandNotFound", "desc": "no such thing"}, "id": ${request.id}}\r\n`,
    );
    const client = await connect(fake);
    expect(await codeOf(client.execute('fly'))).toEqual({ code: 'QMP_COMMAND', message: 'QEMU refused fly: no such thing' });
  });

  it('gives up on one command after its time-out and goes on with the next', async () => {
    const fake = await start((request) => (request.execute === 'slow' ? null : `{"return": 1, "id": ${request.id}}\r\n`));
    const client = await connect(fake);
    expect((await codeOf(client.execute('slow', undefined, { timeoutMs: 20 }))).code).toBe('QMP_TIMEOUT');
    expect(await client.execute('quick')).toBe(1);
  });

  it('rejects everything pending when the connection ends', async () => {
    const fake = await start(() => null);
    const client = await connect(fake);
    const pending = [codeOf(client.execute('a')), codeOf(client.execute('b'))];
    await new Promise((resolve) => setTimeout(resolve, 20));
    fake.drop();
    expect((await Promise.all(pending)).map(({ code }) => code)).toEqual(['QMP_CLOSED', 'QMP_CLOSED']);
    expect((await codeOf(client.execute('c'))).code).toBe('QMP_CLOSED');
  });

  it('ends the connection on what is not JSON', async () => {
    const fake = await start(() => 'garbage\r\n');
    const client = await connect(fake);
    expect((await codeOf(client.execute('a'))).code).toBe('QMP_MALFORMED');
  });

  it('says that somebody else is connected when no greeting comes', async () => {
    const fake = await start(() => null, null);
    const { code, message } = await codeOf(openQmp(fake.endpoint, { connectTimeoutMs: 50 }));
    expect(code).toBe('QMP_CONNECT');
    expect(message).toMatch(/no QMP greeting within 50 ms: most likely another program is connected.*-qmp unix:/s);
  });

  it('tells a human monitor from QMP', async () => {
    const fake = await start(() => null, "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ");
    expect((await codeOf(openQmp(fake.endpoint))).message).toContain('human monitor (HMP), not QMP');
  });

  it('says that there is no such socket, or nobody behind it', async () => {
    expect((await codeOf(openQmp({ kind: 'unix', path: '/nonexistent/qmp.sock' }))).message).toContain('there is no such socket');
    expect((await codeOf(openQmp({ kind: 'tcp', host: '127.0.0.1', port: 1 }))).message).toContain('nobody listens there');
  });

  it('connects again with growing pauses, and says so', async () => {
    const fake = await start();
    const client = await connect(fake, { reconnect: { firstDelayMs: 5, maxDelayMs: 20, attempts: 5 } });
    const changes: ConnectionChange[] = [];
    const back = new Promise<void>((resolve) => {
      client.onConnection((change) => {
        changes.push(change);
        if (change.state === 'connected') resolve();
      });
    });
    fake.drop();
    await back;
    expect(changes.map(({ state }) => state)).toEqual(['lost', 'connected']);
    expect(changes[0]).toMatchObject({ retryInMs: 5 });
    expect(await client.execute('a')).toEqual({});
  });

  it('gives up for good after the last attempt', async () => {
    const fake = await start();
    const client = await connect(fake, { reconnect: { firstDelayMs: 1, maxDelayMs: 4, attempts: 3 } });
    const delays: (number | null)[] = [];
    const final = new Promise<void>((resolve) => {
      client.onConnection((change) => {
        if (change.state !== 'lost') return;
        delays.push(change.retryInMs);
        if (change.retryInMs === null) resolve();
      });
    });
    open.splice(open.indexOf(fake), 1);
    await fake.close();
    await final;
    expect(delays).toEqual([1, 2, 4, null]);
  });
});
