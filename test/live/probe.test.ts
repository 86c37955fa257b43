// The in-guest probe in a real guest on a real QEMU: its three transports beside what is read from outside, and what happens
// when nobody reads, or too slowly.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProbeDecoder } from '../../probes/guest/decoder.ts';
import { ProbeMetrics } from '../../probes/guest/metrics.ts';
import { decodeRecord } from '../../probes/guest/records.ts';
import { RingReader } from '../../probes/guest/ring.ts';
import { SYSTEMS } from '../../src/cli/systems.ts';
import type { EventOf } from '../../src/model/event.ts';
import { findVm } from '../../src/qemu/discover/find.ts';
import type { VmRecord } from '../../src/qemu/discover/record.ts';
import { type LiveSession, openLiveSession } from '../../src/session/live-session.ts';
import { buildDemoGuest } from '../guests/build.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const directory = mkdtempSync(join(tmpdir(), 'unidbg-probe-live-'));
const PORT = join(directory, 'port.sock');
const UART = join(directory, 'uart.sock');

const VIRTIO = [
  ...['-device', 'virtio-serial-pci,disable-legacy=off', '-chardev', `socket,id=probe,path=${PORT},server=on,wait=off`],
  ...['-device', 'virtserialport,name=org.example.other', '-device', 'virtserialport,chardev=probe,name=org.unidbg.probe'],
];
/** The same port behind a device without the legacy interface. */
const MODERN = VIRTIO.map((word) => word.replace('disable-legacy=off', 'disable-legacy=on'));
const SECOND_UART = ['-serial', `unix:${UART},server=on,wait=off`];
const NETWORK = ['-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'];

const guests: DemoGuest[] = [];
afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.stop()));
  rmSync(directory, { recursive: true });
});

async function start(...[options]: Parameters<typeof startDemoGuest>): Promise<DemoGuest> {
  const guest = await startDemoGuest(options);
  guests.push(guest);
  await guest.waitForConsole(/demo: up/);
  return guest;
}

/** What a session hears in `seconds`, sampling twice a second. */
async function listen(
  record: VmRecord,
  seconds: number,
): Promise<{ metrics: EventOf<'metrics'>[]; lost: number; remarks: string[] }> {
  const heard = { metrics: [] as EventOf<'metrics'>[], lost: 0, remarks: [] as string[] };
  const live = await attach(record, 500, (session) => {
    session.subscribe((event) => {
      if (event.type === 'metrics') heard.metrics.push(event);
      if (event.type === 'lost') heard.lost += event.count;
      if (event.type === 'diagnostic') heard.remarks.push(event.diagnostic.code);
    });
  });
  await sleep(seconds * 1000);
  await live.close();
  return heard;
}

const attach = (
  record: VmRecord,
  sampleEveryMs: number,
  prepare: Parameters<typeof openLiveSession>[2] = () => undefined,
): Promise<LiveSession> =>
  openLiveSession(record, { systems: SYSTEMS, symbols: [], sourceRoots: [], takeConsole: false, sampleEveryMs }, prepare);

function valueOf({ samples }: EventOf<'metrics'>, name: string, attributes: Record<string, string> = {}): number | null {
  const sample = samples.find(
    (one) => one.name === name && Object.entries(attributes).every(([key, value]) => one.attributes[key] === value),
  );
  return sample?.value ?? null;
}

// What the guest says of itself, and the same global as it is read from outside.
const PAIRS: readonly (readonly [string, string, Record<string, string>])[] = [
  ['demo.gc.cycles', 'unikernel.gc.cycles', {}],
  ['demo.gc.pause.time', 'unikernel.gc.pause.time', {}],
  ['demo.memory.allocations', 'unikernel.memory.allocations', {}],
  ['demo.network.sent', 'system.network.packets', { direction: 'transmit' }],
];

describe('one guest with all transports', () => {
  let record: VmRecord;
  beforeAll(async () => {
    const guest = await start({ append: 'probe=ring,uart,virtio', qemuArgs: [...SECOND_UART, ...VIRTIO, ...NETWORK] });
    record = findVm(String(guest.process.pid));
  });

  it.each([
    ['its virtio-serial port', 'guest (virtio-serial)', (all: VmRecord) => all],
    ['a second UART, which nobody named', 'guest (serial1)', (all: VmRecord) => ({ ...all, virtioPorts: [] })],
    [
      'its ring in RAM, without any device',
      'guest (RAM ring)',
      (all: VmRecord) => ({ ...all, virtioPorts: [], consoles: all.consoles.slice(0, 1) }),
    ],
  ] as const)('says over %s what is read from outside, within one sample', async (_title, probe, withOnly) => {
    const { metrics, lost, remarks } = await listen(withOnly(record), 3);
    // The ring is there at once; it is left when a stream has spoken.
    const heard = metrics.map(({ samples }) => [
      ...new Set(samples.map((one) => one.probe).filter((name) => name.startsWith('guest'))),
    ]);
    expect(
      heard.filter((names, at) => heard.slice(0, at).flat().includes(probe) && names.some((name) => name !== probe)),
    ).toEqual([]);
    expect(heard.flat().filter((name) => name === probe).length).toBeGreaterThanOrEqual(4);
    for (const [inside, outside, attributes] of PAIRS) {
      const both = metrics
        .map((event) => ({ said: valueOf(event, inside), read: valueOf(event, outside, attributes) }))
        .filter(({ read }) => read !== null);
      const compared = both.flatMap(({ said }, index) => {
        const [before, after] = [both[index - 1]?.read, both[index + 1]?.read];
        return said === null || before == null || after == null ? [] : [{ before, said, after }];
      });
      expect(compared.length, inside).toBeGreaterThanOrEqual(3);
      for (const { before, said, after } of compared) {
        expect(said, inside).toBeGreaterThanOrEqual(before);
        expect(said, inside).toBeLessThanOrEqual(after);
      }
      expect(compared.at(-1)!.said).toBeGreaterThan(compared[0]!.said);
    }
    expect(metrics.some((event) => (valueOf(event, 'demo.gc.pause') ?? 0) > 0)).toBe(true);
    expect(lost).toBe(0);
    expect(remarks.filter((code) => code.startsWith('probe-') || code === 'sample-failed')).toEqual([]);
  });
});

// 30,000 records a second: more than any reader here takes, and than a ring keeps for a second.
const FLOOD = `
#include "hook.h"
#include "unidbg_probe.h"
static void (*usual)(void);
static uint16_t id;
static int64_t said;
static void flood(void) {
    for (int i = 0; i < 300; i++) unidbg_integer(id, ++said);
    usual();
}
void extension_start(void) {
    id = unidbg_declare(UNIDBG_COUNTER, "flood.said", "{record}");
    usual = periodic_hook;
    periodic_hook = flood;
}`;

describe('a guest that says more than anybody takes', () => {
  let elf: string;
  beforeAll(async () => {
    const source = join(directory, 'flood.c');
    writeFileSync(source, FLOOD);
    elf = await buildDemoGuest('fp', { sources: [source], cache: directory });
  });

  it.each([
    ['the virtio-serial port', 'virtio', VIRTIO, PORT],
    ['the port of a modern virtio-serial device', 'virtio', MODERN, PORT],
    ['the UART', 'uart', SECOND_UART, UART],
  ] as const)(
    'never waits for a slow reader of %s, and counts exactly what it dropped',
    async (_title, transport, qemuArgs, path) => {
      const guest = await start({ elf, append: `probe=${transport}`, qemuArgs });
      const { socket, decoder, hellos } = openReader(path);
      const hello = async (wanted: (count: Loss) => boolean): Promise<Loss> => {
        for (const deadline = Date.now() + 15_000; Date.now() < deadline; ) {
          const found = hellos.find(wanted);
          if (found !== undefined) return found;
          await sleep(20);
        }
        throw new Error(`no such HELLO among ${JSON.stringify(hellos)}`);
      };
      const before = await hello(() => true);
      socket.pause();
      const uptime = uptimeIn(await guest.console());
      await sleep(2500);
      // Where others have the host's CPUs it may take a while.
      await until(async () => uptimeIn(await guest.console()) - uptime > 1);
      socket.resume();
      const after = await hello(({ dropped }) => dropped > before.dropped + 1000);
      expect(after.missing - before.missing).toBe(after.dropped - before.dropped);
      // A reader that comes in the middle of a frame cannot read that one.
      expect(decoder.damaged).toBeLessThanOrEqual(1);
      socket.destroy();
      await guest.stop();
    },
  );

  it('loses of its ring what was overwritten before it was read, and that is counted exactly', async () => {
    const guest = await start({ elf, append: 'probe=ring' });
    const live = await attach(findVm(String(guest.process.pid)), 60_000);
    const ring = live.code().symbolizer.findSymbol('unidbg_ring')!.address;
    const { registers } = (await live.target.allRegisters())[0]!;
    const metrics = new ProbeMetrics('test');
    const reader = new RingReader(metrics.push);
    const read = () => reader.read(() => live.target.memory(registers), ring);
    const written = (): Promise<number> =>
      live.target.memory(registers).walk((memory) => Number(Buffer.from(memory.read(ring + 16n, 8)!).readBigUInt64LE()));
    await read();
    let sent = metrics.records;
    for (let turn = 0; turn < 3; turn += 1) {
      const [before, from] = [reader.lost, await written()];
      await until(async () => (await written()) > from + 5000);
      sent += (await read())!.records;
      expect(reader.lost).toBeGreaterThan(before);
      // By the slots' stamps, and by the guest's own numbering of its records.
      expect(metrics.records + reader.lost).toBe(sent);
      expect(metrics.lost).toBeLessThanOrEqual(reader.lost);
    }
    expect(reader.damaged).toBe(0);
    await live.close();
  });
});

/** Looks again until it is so, for fifteen seconds at most. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 15_000; !(await condition()); ) {
    expect(Date.now()).toBeLessThan(deadline);
    await sleep(50);
  }
}

interface Loss {
  readonly dropped: number;
  readonly missing: number;
}

/** Reads a probe's stream; at each HELLO, what the guest says to have dropped and what is missing here. */
function openReader(path: string): { socket: Socket; decoder: ProbeDecoder; hellos: Loss[] } {
  const metrics = new ProbeMetrics('test');
  const hellos: Loss[] = [];
  const decoder = new ProbeDecoder((view, start, length) => {
    metrics.push(view, start, length);
    const record = decodeRecord(new Uint8Array(view.buffer, start, length));
    if (record?.type === 'hello') hellos.push({ dropped: record.dropped, missing: metrics.lost });
  });
  const socket = connect(path);
  socket.on('data', (bytes: Buffer) => {
    decoder.push(bytes);
  });
  return { socket, decoder, hellos };
}

function uptimeIn(console: string): number {
  return Number([...console.matchAll(/^demo: up ([\d.]+)s/gm)].at(-1)?.[1] ?? 0);
}
