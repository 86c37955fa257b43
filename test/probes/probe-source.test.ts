// Which of a guest's transports the session listens to, and what it refuses: real sockets and files, a guest that is made up.

import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestProbe } from '../../probes/guest/index.ts';
import type { Sample } from '../../src/model/metric.ts';
import type { VmRecord } from '../../src/qemu/discover/record.ts';
import type { Code } from '../../src/session/code.ts';
import { parseProbeEndpoint } from '../../src/session/probe-endpoint.ts';
import { ProbeSource } from '../../src/session/probe-source.ts';
import { Session } from '../../src/session/session.ts';
import type { LiveTarget } from '../../src/targets/live.ts';
import { RecordWriter } from './record-writer.ts';
import { speak } from './speaker.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-probe-source-'));
let said: Uint8Array;

beforeAll(() => {
  said = speak(directory).framed;
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

type Consoles = VmRecord['consoles'];

function openSource(
  consoles: Consoles,
  virtioPorts: VmRecord['virtioPorts'] = [],
  { chardevs = '', endpoints = [] }: { readonly chardevs?: string; readonly endpoints?: readonly string[] } = {},
): { source: ProbeSource; remarks: string[] } {
  const session = new Session();
  const remarks: string[] = [];
  session.subscribe((event) => {
    if (event.type === 'diagnostic') remarks.push(event.diagnostic.code);
  });
  const source = new ProbeSource({
    target: {
      monitor: { hmp: () => Promise.resolve(chardevs) },
      state: () => ({ status: 'running' }),
    } as unknown as LiveTarget,
    record: { consoles, virtioPorts } as unknown as VmRecord,
    session,
    code: () => ({ symbolizer: { findSymbol: () => null } }) as unknown as Code,
    guestProbe,
    endpoints: endpoints.map(parseProbeEndpoint),
  });
  return { source, remarks };
}

const first = { name: 'serial0', chardev: 'serial0', backend: { kind: 'none' }, logfile: null } as const;
const file = (name: string, path: string): Consoles[number] => ({
  ...{ name, chardev: name, logfile: null },
  backend: { kind: 'file', path, append: false },
});
const socket = (name: string, path: string): Consoles[number] => ({
  ...{ name, chardev: name, logfile: null },
  backend: { kind: 'socket', endpoint: { kind: 'unix', path }, server: true },
});

async function listening(path: string): Promise<{ server: Server; clients: Socket[]; closed: () => boolean }> {
  const clients: Socket[] = [];
  let closed = false;
  const server = createServer((client) => {
    clients.push(client);
    client.on('close', () => {
      closed = true;
    });
    client.on('error', () => undefined);
    client.resume();
  });
  await new Promise<void>((done) => server.listen(path, done));
  return { server, clients, closed: () => closed };
}

const named = (samples: readonly Sample[]): Record<string, number | null> =>
  Object.fromEntries(samples.map(({ name, value }) => [name, value]));

const PAUSE = ['app.gc.pause', 'app.gc.pause.count', 'app.gc.pause.time'];
const NOTHING_ELSE: ReadonlySet<string> = new Set();

describe('the source of in-guest samples', () => {
  it('finds the probe on a further serial port by what it says', async () => {
    const text = join(directory, 'text.log');
    const probe = join(directory, 'probe.bin');
    writeFileSync(text, 'an ordinary console\n');
    writeFileSync(probe, said);
    const { source } = openSource([first, file('serial1', text), file('serial2', probe)]);
    await source.open();
    const samples = await source.sample(null, NOTHING_ELSE);
    expect(named(samples)).toMatchObject({ 'app.requests': -5, 'app.load': 0.25, 'app.gc.pause': 123456 });
    expect(samples[0]?.probe).toBe('guest (serial2)');
    expect(await source.sample(null, NOTHING_ELSE)).toEqual([]);
    source.close();
  });

  it('does not take the first console for the probe, nor other ports where the probe has its own', async () => {
    const probe = join(directory, 'own.bin');
    const port = join(directory, 'port.bin');
    writeFileSync(probe, said);
    writeFileSync(port, '');
    const { source } = openSource([file('serial0', probe)]);
    await source.open();
    expect(await source.sample(null, NOTHING_ELSE)).toEqual([]);
    source.close();
    const both = openSource([first, file('serial1', probe)], [{ ...file('org.unidbg.probe', port) }]);
    await both.source.open();
    expect(await both.source.sample(null, NOTHING_ELSE)).toEqual([]);
    both.source.close();
  });

  it('never lets the guest overwrite what is measured from outside, and says so once', async () => {
    const probe = join(directory, 'names.bin');
    writeFileSync(probe, said);
    const { source, remarks } = openSource([first, file('serial1', probe)]);
    await source.open();
    expect(Object.keys(named(await source.sample(null, new Set(['app.requests']))))).toEqual(['app.load', ...PAUSE]);
    appendFileSync(probe, said);
    await sleep(100);
    expect(Object.keys(named(await source.sample(null, new Set(['app.requests']))))).toEqual(['app.load', ...PAUSE]);
    expect(remarks).toEqual(['probe-name-taken']);
    source.close();
  });

  it('lets go of a port that says much and nothing of the probe', async () => {
    const noise = join(directory, 'noise.bin');
    writeFileSync(noise, Buffer.alloc(70_000, 'noise\0'));
    const { source, remarks } = openSource([first, file('serial1', noise)]);
    await source.open();
    expect(await source.sample(null, NOTHING_ELSE)).toEqual([]);
    appendFileSync(noise, said);
    await sleep(100);
    expect(await source.sample(null, NOTHING_ELSE)).toEqual([]);
    expect(remarks).toEqual([]);
    source.close();
  });

  it('gives a silent socket back, without a word', async () => {
    const path = join(directory, 'silent.sock');
    const { server, clients, closed } = await listening(path);
    const { source, remarks } = openSource([first, socket('serial1', path)], [], {
      chardevs: 'serial1: filename=disconnected:unix:x',
    });
    await source.open();
    while (clients.length === 0) await sleep(5);
    for (let samples = 0; samples < 10; samples += 1) await source.sample(null, NOTHING_ELSE);
    expect(closed()).toBe(false);
    await source.sample(null, NOTHING_ELSE);
    while (!closed()) await sleep(5);
    expect(remarks).toEqual([]);
    server.close();
  });

  it('does not queue behind another reader, and says whose port is taken', async () => {
    const path = join(directory, 'taken.sock');
    const { server, clients } = await listening(path);
    const port = socket('org.unidbg.probe', path);
    const { source, remarks } = openSource([], [{ ...port, chardev: 'probe' }], {
      chardevs: 'probe: filename=unix:taken.sock,server=on',
    });
    await source.open();
    await sleep(50);
    expect(clients).toEqual([]);
    expect(remarks).toEqual(['probe-busy']);
    source.close();
    server.close();
  });

  it('hears what is said at the places that the user named beside what a device says, and takes those first', async () => {
    const [device, first, second] = ['device.bin', 'first.bin', 'second.bin'].map((name) => join(directory, name));
    const say = (value: number): RecordWriter => new RecordWriter().declare(1, 'gauge', 'shared', '1').integer(1, value);
    writeFileSync(device!, say(1).declare(2, 'gauge', 'of.device', '1').integer(2, 10).frames());
    writeFileSync(first!, say(2).declare(2, 'gauge', 'of.first', '1').integer(2, 20).frames());
    writeFileSync(second!, say(3).declare(2, 'gauge', 'shared', '1', 'zone=eu').integer(2, 30).frames());
    const endpoints = [`file:${first!}`, `file:${second!}`];
    const { source, remarks } = openSource([], [file('org.unidbg.probe', device!)], { endpoints });
    await source.open();
    const samples = await source.sample(null, NOTHING_ELSE);
    expect(samples.map(({ name, attributes, value, probe }) => [name, attributes, value, probe])).toEqual([
      ['shared', {}, 2, `guest (file:${first!})`],
      ['of.first', {}, 20, `guest (file:${first!})`],
      ['shared', { zone: 'eu' }, 30, `guest (file:${second!})`],
      ['of.device', {}, 10, 'guest (virtio-serial)'],
    ]);
    expect(remarks).toEqual([]);
    source.close();
  });

  it('does not grow with a program that comes again and again with other names', async () => {
    const path = join(directory, 'again.sock');
    const { source, remarks } = openSource([], [], { endpoints: [`listen:${path}`] });
    await source.open();
    const seen = new Set<string>();
    for (let visit = 0; visit < 6; visit += 1) {
      const writer = new RecordWriter();
      for (let index = 1; index <= 1000; index += 1)
        writer.declare(index, 'gauge', `visit${visit}.n${index}`, '1').integer(index, 1);
      const socket = connect(path);
      await new Promise((done) => socket.write(writer.frames(), done));
      for (let heard = 0; heard === 0; ) {
        await sleep(10);
        for (const { name } of await source.sample(null, NOTHING_ELSE)) seen.add(name);
        heard = remarks.length > 0 || seen.has(`visit${visit}.n1000`) ? 1 : 0;
      }
      socket.destroy();
    }
    expect(seen.size).toBe(4000);
    expect(remarks).toEqual(['probe-many']);
    source.close();
  });

  it('says what a place named by the user lacks, and what its guest says of itself', async () => {
    const newer = join(directory, 'newer.bin');
    writeFileSync(newer, new RecordWriter().hello(9, 'newer').frames());
    const { source, remarks } = openSource([], [], { endpoints: [`file:${newer}`, `file:${directory}/nowhere/probe.bin`] });
    await source.open();
    await source.sample(null, NOTHING_ELSE);
    expect(remarks).toEqual(['probe-unavailable', 'probe-version']);
    source.close();
  });
});
