// TLS handshakes as a bystander tells them. The bytes are real: Node's OpenSSL speaks with itself, and we look at what goes by.

import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePacket } from '../../src/network/decode.ts';
import { ACK, FIN, SYN, type TcpSegment } from '../../src/network/decode-tcp.ts';
import { TlsReader, type TlsWord } from '../../src/network/decode-tls.ts';
import { type Side } from '../../src/network/tcp-track.ts';
import { TlsWatch } from '../../src/network/tls-watch.ts';
import { cuts } from '../support/cuts.ts';
import { TEST_CERTIFICATE, TEST_KEY } from './support/certificate.ts';
import { tcp } from './support/frames.ts';

/** What went over the wire, in order; `null` bytes: that side closed. */
type Transcript = { readonly from: Side; readonly bytes: Buffer | null }[];

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A handshake over TCP in which the guest is the client, to its end or failure, as somebody between the two sees it. */
async function handshake(client: tls.ConnectionOptions, server: tls.TlsOptions = {}): Promise<Transcript> {
  const transcript: Transcript = [];
  const answering = tls.createServer({ key: TEST_KEY, cert: TEST_CERTIFICATE, ...server }, (socket) => {
    socket.on('error', () => undefined).on('data', (bytes: Buffer) => socket.end(bytes));
  });
  const port = await listen(answering);
  const between = createServer((guest) => {
    const remote = connect(port, '127.0.0.1');
    const pass = (from: Side, source: Socket, target: Socket): void => {
      source.on('error', () => undefined);
      source.on('data', (bytes: Buffer) => {
        transcript.push({ from, bytes });
        target.write(bytes);
      });
      source.on('close', () => {
        transcript.push({ from, bytes: null });
        target.end();
      });
    };
    pass('guest', guest, remote);
    pass('remote', remote, guest);
  });
  const asking = tls.connect({
    ...{ host: '127.0.0.1', port: await listen(between), servername: 'api.example.org', ALPNProtocols: ['h2', 'http/1.1'] },
    ...client,
  });
  asking.on('secureConnect', () => asking.write('hello'));
  asking.on('data', () => asking.end());
  asking.on('error', () => undefined);
  await new Promise((resolve) => asking.once('close', resolve));
  for (const one of [between, answering]) await new Promise((resolve) => one.close(resolve));
  return transcript;
}

/** Feeds a transcript in segments of at most `most` bytes; returns the remarks. */
function watch(transcript: Transcript, most = 1460): { failure: boolean; text: string }[] {
  const tlsWatch = new TlsWatch();
  const next: Record<Side, number> = { guest: 1000, remote: 0xffffff00 };
  const words: { failure: boolean; text: string }[] = [];
  const send = (from: Side, flags: number, data: Uint8Array): void => {
    const bytes = tcp({ fromGuest: from === 'guest', flags, sequence: next[from], data });
    next[from] = (next[from] + data.length + ((flags & (SYN | FIN)) === 0 ? 0 : 1)) >>> 0;
    words.push(...tlsWatch.push(decodePacket(bytes).transport as TcpSegment, from));
  };
  send('guest', SYN, Buffer.alloc(0));
  send('remote', SYN | ACK, Buffer.alloc(0));
  for (const { from, bytes } of transcript) {
    if (bytes === null) send(from, FIN | ACK, Buffer.alloc(0));
    for (let at = 0; bytes !== null && at < bytes.length; at += most) send(from, ACK, bytes.subarray(at, at + most));
  }
  return words.map(({ failure, text }) => ({ failure, text }));
}

/** Where the client speaks for the second time. */
function secondFlight(transcript: Transcript): number {
  return transcript.findIndex(({ from, bytes }, index) => index > 0 && from === 'guest' && bytes !== null);
}

const TRUSTING: tls.ConnectionOptions = { ca: TEST_CERTIFICATE, checkServerIdentity: () => undefined };
const AT_MOST_1_2 = { maxVersion: 'TLSv1.2' } as const;

describe('a handshake', () => {
  it.each([
    ['TLS 1.3', {}],
    ['TLS 1.2', AT_MOST_1_2],
  ])('that succeeds is told once, with its version, name and protocols: %s', async (version, options) => {
    const words = watch(await handshake({ ...TRUSTING, ...options }));
    expect(words).toEqual([{ failure: false, text: `${version} handshake with api.example.org done, offered h2, http/1.1` }]);
  });

  it('that the guest ends because it does not know the CA says so in TLS 1.2', async () => {
    const transcript = await handshake({ ...TRUSTING, ...AT_MOST_1_2 });
    // OpenSSL's and Go's clients end it after the server's certificate, with this alert.
    const alert = { from: 'guest', bytes: Buffer.from([21, 3, 3, 0, 2, 2, 48]) } as const;
    const words = watch([...transcript.slice(0, secondFlight(transcript)), alert, { from: 'guest', bytes: null }]);
    expect(words).toEqual([{ failure: true, text: 'handshake with api.example.org ended by the guest: unknown CA' }]);
  });

  it.each([
    ['TLS 1.3', {}, [true], /ended by the guest, which closed the connection after the server's certificate without an alert/],
    ['TLS 1.2', AT_MOST_1_2, [false, true], /connection with api.example.org closed by the guest right after the handshake/],
  ])('that Node refuses when it is done is a failure: %s', async (_version, options, failures, text) => {
    const words = watch(await handshake(options));
    expect(words.map(({ failure }) => failure)).toEqual(failures);
    expect(words.at(-1)!.text).toMatch(text);
    expect(words.at(-1)!.text).toContain('verify late (Node.js)');
  });

  it('that fails for want of a common version is told', async () => {
    const words = watch(await handshake({ ...TRUSTING, ...AT_MOST_1_2 }, { minVersion: 'TLSv1.3' }));
    expect(words).toEqual([
      { failure: true, text: 'handshake with api.example.org ended by the remote end: protocol version not supported' },
    ]);
  });

  it('that fails for want of a common cipher is told', async () => {
    const words = watch(
      await handshake(
        { ...TRUSTING, ...AT_MOST_1_2, ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' },
        { ciphers: 'ECDHE-RSA-AES256-GCM-SHA384' },
      ),
    );
    expect(words).toHaveLength(1);
    expect(words[0]).toMatchObject({ failure: true });
    expect(words[0]!.text).toContain('ended by the remote end: handshake failure (no cipher');
  });

  it('is told the same however TCP cuts it', async () => {
    const transcript = await handshake({ ...TRUSTING, ...AT_MOST_1_2 });
    const whole = watch(transcript);
    for (const most of [1, 2, 3, 5, 7, 100]) expect(watch(transcript, most)).toEqual(whole);
  });

  it('that the server leaves without a word is a failure too', async () => {
    const [hello] = await handshake(TRUSTING);
    const words = watch([hello!, { from: 'remote', bytes: null }]);
    expect(words[0]).toMatchObject({ failure: true });
    expect(words[0]!.text).toContain('ended by the remote end, which closed the connection before the server answered');
  });
});

describe('a TLS 1.3 alert that is encrypted', () => {
  it.each([
    ['OpenSSL and Go', 19],
    ['Java, which pads', 35],
  ])('is known by its size: it is the first thing the client seals (%s)', async (_client, length) => {
    const transcript = await handshake(TRUSTING);
    const sealed = Buffer.concat([Buffer.from([23, 3, 3, 0, length]), Buffer.alloc(length, 0xaa)]);
    const words = watch([...transcript.slice(0, secondFlight(transcript)), { from: 'guest', bytes: sealed }]);
    expect(words[0]).toMatchObject({ failure: true });
    expect(words[0]!.text).toMatch(/ended by the guest with what looks like an encrypted alert; .*unknown CA/);
  });
});

describe('the reader of one direction', () => {
  const say = (pieces: readonly Uint8Array[]): TlsWord[] => {
    const reader = new TlsReader();
    return pieces.flatMap((bytes) => reader.push(bytes));
  };

  it('says the same of a hello cut anywhere', async () => {
    const [hello] = await handshake(TRUSTING);
    const whole = say([hello!.bytes!]);
    expect(whole).toMatchObject([
      { kind: 'client-hello', serverName: 'api.example.org', version: 0x0304, protocols: ['h2', 'http/1.1'] },
    ]);
    for (const pieces of cuts(hello!.bytes!)) expect(say(pieces)).toEqual(whole);
  });

  it('never throws, and gives up on what is no TLS', async () => {
    const [hello] = await handshake(TRUSTING);
    expect(say([Buffer.from('SSH-2.0-OpenSSH_9.2')])).toEqual([{ kind: 'not-tls' }]);
    const mutated = fc.tuple(fc.nat(1000), fc.nat(255), fc.nat(1000)).map(([at, value, cut]) => {
      const copy = Buffer.from(hello!.bytes!);
      copy[at % copy.length] = value;
      return [copy.subarray(0, cut), copy.subarray(cut)];
    });
    fc.assert(
      fc.property(mutated, (pieces) => void say(pieces)),
      { numRuns: 3000 },
    );
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }), (pieces) => void say(pieces)),
      { numRuns: 1000 },
    );
  });
});
