import { describe, expect, it, vi } from 'vitest';
import { Connection } from '../../gdbstub/client/connection.ts';
import { decodeLatin1 } from '../../gdbstub/framing/bytes.ts';
import type { Answers, FakeStub } from './support/fake-stub.ts';
import { startFakeStub, table } from './support/fake-stub.ts';

function connect(answers: Answers, timeoutMs = 1000): { connection: Connection; stub: FakeStub } {
  const stub = startFakeStub(answers);
  return { connection: new Connection(stub.socket, { requestTimeoutMs: timeoutMs }), stub };
}

async function ask(connection: Connection, request: string): Promise<string> {
  return decodeLatin1(await connection.request(request));
}

const NO_ANSWER: readonly string[] = [];

describe('a connection', () => {
  it('answers requests in the order they were made, one on the wire at a time', async () => {
    const { connection, stub } = connect((request) => request.toUpperCase());
    expect(await Promise.all(['a', 'b', 'c'].map(async (request) => ask(connection, request)))).toEqual(['A', 'B', 'C']);
    expect(stub.seen).toEqual(['a', 'b', 'c']);
  });

  it('passes over a stop reply that nobody asked for', async () => {
    const { connection } = connect(table({ qSupported: ['T02thread:01;', 'PacketSize=1000'], g: ['T05thread:01;', '0011'] }));
    expect(await ask(connection, 'qSupported')).toBe('PacketSize=1000');
    expect(await ask(connection, 'g')).toBe('0011');
  });

  it('takes a stop reply for the answer where one was asked for', async () => {
    const { connection } = connect(table({ '?': 'T05thread:01;' }));
    expect(decodeLatin1(await connection.request('?', { stopReply: true }))).toBe('T05thread:01;');
  });

  it('sends again what the stub did not get, and asks again for what came broken', async () => {
    const { connection, stub } = connect(() => NO_ANSWER);
    const reply = ask(connection, 'qC');
    await vi.waitFor(() => {
      expect(stub.seen).toEqual(['qC']);
    });
    stub.sendRaw('-');
    await vi.waitFor(() => {
      expect(stub.seen).toEqual(['qC', 'qC']);
    });
    stub.sendRaw('$QC1#00');
    stub.sendRaw('$QC1#c5');
    expect(await reply).toBe('QC1');
  });

  it('gives up a stub whose packets stay broken: RSP_CHECKSUM', async () => {
    const { connection, stub } = connect(() => NO_ANSWER);
    const reply = ask(connection, 'g');
    for (let count = 0; count < 4; count += 1) stub.sendRaw('$00#ff');
    await expect(reply).rejects.toMatchObject({ code: 'RSP_CHECKSUM' });
  });

  it('without acknowledgements sends none, and forgives no broken packet', async () => {
    const { connection, stub } = connect(() => NO_ANSWER);
    connection.stopAcknowledging();
    const reply = ask(connection, 'g');
    stub.sendRaw('$00#ff');
    await expect(reply).rejects.toMatchObject({ code: 'RSP_CHECKSUM' });
  });

  it('ends with a packet that is too long or cannot be read: RSP_MALFORMED', async () => {
    const { connection, stub } = connect(() => NO_ANSWER);
    const reply = ask(connection, 'g');
    stub.sendRaw('$*#2a');
    await expect(reply).rejects.toMatchObject({ code: 'RSP_MALFORMED' });
  });

  it('closes on a time-out, since a late answer would be taken for the next one’s', async () => {
    const { connection } = connect(() => NO_ANSWER, 40);
    const closed = vi.fn();
    connection.onClose = closed;
    const [first, second] = [ask(connection, 'first'), ask(connection, 'second')];
    await expect(first).rejects.toMatchObject({ code: 'RSP_TIMEOUT', facts: { request: 'first' } });
    await expect(second).rejects.toMatchObject({ code: 'RSP_CLOSED' });
    expect(closed).toHaveBeenCalledOnce();
  });

  it('rejects everything pending when it is closed, by either side', async () => {
    for (const end of [
      ({ connection }: ReturnType<typeof connect>) => {
        connection.close();
      },
      ({ stub }: ReturnType<typeof connect>) => {
        stub.hangUp();
      },
    ]) {
      const both = connect(table({ c: NO_ANSWER, g: NO_ANSWER }));
      const requests = [ask(both.connection, 'g'), ask(both.connection, 'm0,1')];
      end(both);
      for (const request of requests) await expect(request).rejects.toMatchObject({ code: 'RSP_CLOSED' });
      await expect(ask(both.connection, 'g')).rejects.toMatchObject({ code: 'RSP_CLOSED' });
      await expect(both.connection.resume('c')).rejects.toMatchObject({ code: 'RSP_CLOSED' });
    }
  });

  it('rejects the wait for a stop when it is closed', async () => {
    const { connection } = connect(table({ c: NO_ANSWER }));
    const stop = connection.resume('c');
    await Promise.resolve();
    connection.close();
    await expect(stop).rejects.toMatchObject({ code: 'RSP_CLOSED' });
  });

  it('keeps in step when a request is aborted after it was sent', async () => {
    const { connection, stub } = connect(() => NO_ANSWER);
    const giveUp = new AbortController();
    const first = connection.request('first', { signal: giveUp.signal });
    const second = ask(connection, 'second');
    giveUp.abort();
    await expect(first).rejects.toMatchObject({ code: 'RSP_ABORTED' });
    stub.send('answer to the first');
    await vi.waitFor(() => {
      expect(stub.seen).toEqual(['first', 'second']);
    });
    stub.send('answer to the second');
    expect(await second).toBe('answer to the second');
    await expect(connection.request('third', { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'RSP_ABORTED' });
    expect(stub.seen).toEqual(['first', 'second']);
  });
});

describe('a run', () => {
  it('ends with the stop reply; output comes before it, and file requests are turned down', async () => {
    const output: string[] = [];
    const { connection, stub } = connect(table({ c: ['O4869', 'Fopen,1000/5,0,0', 'T05thread:01;'] }));
    connection.onOutput = (text) => output.push(text);
    expect(await connection.resume('c')).toMatchObject({ type: 'stopped', signal: 5 });
    expect(output).toEqual(['Hi']);
    await vi.waitFor(() => {
      expect(stub.seen).toEqual(['c', 'F-1,270f']);
    });
  });

  it('lets no request through until it has ended', async () => {
    const { connection, stub } = connect(table({ c: NO_ANSWER, '<03>': 'T02thread:01;', g: '00' }));
    const stop = connection.resume('c');
    await expect(ask(connection, 'g')).rejects.toMatchObject({ code: 'RSP_RUNNING' });
    expect(connection.running).toBe(true);
    connection.interrupt();
    expect(await stop).toMatchObject({ signal: 2 });
    expect(await ask(connection, 'g')).toBe('00');
    expect(stub.seen).toEqual(['c', '<03>', 'g']);
  });

  it('goes on when the wait for its end is limited', async () => {
    const { connection, stub } = connect(table({ c: NO_ANSWER }));
    await expect(connection.resume('c', { timeoutMs: 20 })).rejects.toMatchObject({ code: 'RSP_TIMEOUT' });
    expect(connection.running).toBe(true);
    stub.send('T05');
    expect(await connection.waitForStop()).toMatchObject({ signal: 5 });
  });

  it('that the stub refuses is an error, and the guest is not thought to run', async () => {
    const { connection } = connect(table({ 'vCont;c': 'E01' }));
    await expect(connection.resume('vCont;c')).rejects.toMatchObject({ code: 'RSP_REFUSED' });
    await expect(connection.resume('c')).rejects.toMatchObject({ code: 'RSP_UNSUPPORTED' });
    expect(connection.running).toBe(false);
  });
});
