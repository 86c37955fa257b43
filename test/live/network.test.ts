// Packets of a real guest (iPXE, from Debian's ipxe-qemu) captured by QEMU while it runs: held against tshark and against the HTTP
// server's own counts, over a wire that loses frames; and what happens when unidbg stands still or dies.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NetworkView } from '../../src/model/flow.ts';
import { openCapture } from '../../src/network/capture.ts';
import { readNetworkSetup } from '../../src/network/network-cards.ts';
import { type Monitor, openMonitor } from '../../src/qemu/monitor.ts';
import { NetworkSource } from '../../src/session/network-source.ts';
import { Session } from '../../src/session/session.ts';
import { fieldsOf, tshark } from '../network/support/tshark.ts';
import { answerDns, type NetworkGuest, openWireLab, startNetworkGuest } from '../network/support/wire-lab.ts';

const HOLDER = join(import.meta.dirname, '../network/support/capture-holder.ts');
const folder = mkdtempSync(join(tmpdir(), 'unidbg-network-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** What a server serves: a script under /boot, `body` under /body; it knows how many bodies it gave. */
async function serve(script: (port: number) => string, body: Buffer): Promise<{ server: Server; port: number; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    const { port } = server.address() as AddressInfo;
    response.end(request.url === '/boot' ? script(port) : request.url === '/body' ? body : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as AddressInfo).port, asked };
}

async function until(what: string, isSo: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  for (const deadline = Date.now() + limitMs; Date.now() < deadline; ) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error(`not within ${String(limitMs)} ms: ${what}`);
}

/** What must not be called. */
function never(...said: readonly unknown[]): never {
  throw new Error(`unexpected: ${said.join(' ')}`);
}

const remarksOf = ({ flows }: NetworkView): string[] =>
  flows.flatMap(({ remarks }) =>
    remarks.map(({ failure, protocol, text }) => `${failure ? 'FAILURE ' : ''}${protocol}: ${text}`),
  );

describe('a guest on a wire that loses frames', () => {
  const pcap = join(folder, 'lossy.pcapng');
  const body = Buffer.alloc(250_000, 'unikernel ');
  let network: NetworkView;
  let started: number;
  let asked: string[];

  beforeAll(async () => {
    const script = (port: number): string =>
      [
        ...['#!ipxe', `imgfetch http://10.0.2.2:${String(port)}/body ||`, 'imgfetch http://nosuch.example/ ||'],
        ...[
          'imgfetch http://10.0.2.2:1/ ||',
          `imgfetch http://10.0.2.2:${String(port)}/last ||`,
          'imgfetch http://10.0.2.77/ ||',
        ],
      ].join('\n');
    const http = await serve(script, body);
    asked = http.asked;
    let frames = 0;
    const lab = await openWireLab(
      (frame, from) => {
        const answer = from === 'guest' ? answerDns(frame, 3) : null;
        if (answer !== null) return { answer };
        frames += 1;
        // Data and acknowledgments of TCP alike, in either direction.
        return frame[23] === 6 && frames % 17 === 0 ? 'drop' : 'pass';
      },
      `http://10.0.2.2:${String(http.port)}/boot`,
    );
    const monitor = await openMonitor([{ kind: 'unix', path: lab.qmpPaths[0]! }]);
    try {
      const session = new Session();
      const source = new NetworkSource({ session, monitor, pid: lab.process.pid! });
      started = Date.now();
      await source.open({ pcap });
      await monitor.cont();
      await until('nobody has 10.0.2.77', () => remarksOf(source.view()!).some((text) => text.includes('10.0.2.77')), 90_000);
      expect(lab.dropped()).toBeGreaterThan(10);
      await source.close();
      network = session.snapshot().network!;
      expect((await readNetworkSetup(monitor)).filters).toEqual([]);
    } finally {
      monitor.close();
      await lab.stop();
      http.server.close();
    }
  }, 150_000);

  it('is counted packet by packet and byte by byte as tshark counts', () => {
    const rows = fieldsOf(pcap, ['frame.len', 'tcp.stream', 'eth.src']);
    const packets = network.flows.reduce((sum, { sent, received }) => sum + sent.packets + received.packets, 0);
    expect(packets).toBe(rows.length);
    const theirs = new Map<string, number[]>();
    for (const [length, stream, source] of rows.filter((row) => row[1] !== '')) {
      const counts = theirs.get(stream!) ?? theirs.set(stream!, [0, 0, 0, 0]).get(stream!)!;
      const side = source === '52:54:00:12:34:56' ? 0 : 2;
      counts[side]! += 1;
      counts[side + 1]! += Number(length);
    }
    const ours = network.flows
      .filter(({ protocol }) => protocol === 'tcp')
      .map(({ sent, received }) => [sent.packets, sent.bytes, received.packets, received.bytes]);
    expect(new Set(ours.map(String))).toEqual(new Set([...theirs.values()].map(String)));
    expect([network.lost, network.malformed, network.forgotten]).toEqual([0, 0, 0]);
  });

  it('sends again what tshark takes for retransmissions, in each direction', () => {
    const theirs = fieldsOf(pcap, ['eth.src'], 'tcp.analysis.retransmission').map(([source]) => source === '52:54:00:12:34:56');
    const count = (side: 'sent' | 'received'): number => network.flows.reduce((sum, flow) => sum + flow[side].retransmits, 0);
    // Seen once in some thirty runs: tshark also takes a frame for one that only came late (12 against its 13). Never the reverse.
    const missed = {
      guest: theirs.filter(Boolean).length - count('sent'),
      remote: theirs.filter((own) => !own).length - count('received'),
    };
    expect([0, 1]).toContain(missed.guest);
    expect([0, 1]).toContain(missed.remote);
    expect(count('received')).toBeGreaterThan(5);
  });

  it('got the body that the server sent, to the byte', () => {
    const reassembling = ['-o', 'tcp.reassemble_out_of_order:TRUE', '-Y', 'http.response'];
    const lengths = tshark(pcap, ...reassembling, '-T', 'fields', '-e', 'http.content_length')
      .trim()
      .split('\n')
      .map(Number);
    expect(lengths).toContain(body.length);
    expect(asked.slice(0, 2)).toEqual(['/boot', '/body']);
    const [largest] = [...network.flows].sort((a, b) => b.received.bytes - a.received.bytes);
    expect(largest!.received.bytes).toBeGreaterThan(body.length);
  });

  it('has its failures told: the name that is not, the port where nobody listens, the address that nobody has', () => {
    const remarks = remarksOf(network);
    expect(remarks.find((text) => text.includes('nosuch.example'))).toMatch(/^FAILURE dns: A nosuch\.example → NXDOMAIN/);
    expect(remarks).toContain('FAILURE tcp: connection refused by 10.0.2.2:1: nobody listens there');
    expect(remarks.find((text) => text.startsWith('FAILURE arp'))).toContain('nobody says to have 10.0.2.77');
    expect(remarks).toContain('dhcp: 10.0.2.15 from 10.0.2.2');
  });

  it('has true times: the capture lies between its beginning and now, and round trips are measured to both sides', () => {
    for (const { firstAt, lastAt } of network.flows) {
      expect(firstAt).toBeGreaterThan(started - 1000);
      expect(lastAt).toBeLessThan(Date.now() + 1000);
    }
    const http = network.flows.filter(({ protocol, received }) => protocol === 'tcp' && received.bytes > body.length);
    expect(http.map(({ rttMs, openedBy }) => [rttMs.guest !== null, rttMs.remote !== null, openedBy])).toEqual([
      [true, true, 'guest'],
    ]);
  });

  it('is in a file that tshark finds nothing wrong with', () => {
    expect(fieldsOf(pcap, ['frame.number'], '_ws.malformed || eth.fcs_bad')).toEqual([]);
    expect(tshark(pcap, '-T', 'fields', '-e', 'frame.interface_name', '-c', '1').trim()).toBe('n0');
  });
});

interface Holder {
  readonly process: ChildProcess;
  readonly last: () => { packets: number; bytes: number; lost: number; janitor: number };
}

async function startHolder(qmpPath: string, pid: number, ...more: readonly string[]): Promise<Holder> {
  const child = spawn(process.execPath, [HOLDER, qmpPath, String(pid), ...more], { stdio: ['ignore', 'pipe', 'inherit'] });
  let last = { packets: 0, bytes: 0, lost: 0, janitor: 0 };
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = JSON.parse(line) as typeof last;
  });
  await until('the holder captures', () => last.janitor > 0);
  return { process: child, last: () => last };
}

/** Folders of captures by `pid`, wherever they may be. */
function foldersOf(pid: number): string[] {
  return ['/dev/shm', tmpdir(), process.env['XDG_RUNTIME_DIR'] ?? '/nowhere'].flatMap((base) =>
    existsSync(base) ? readdirSync(base).filter((name) => name.startsWith(`unidbg-capture-${String(pid)}-`)) : [],
  );
}

describe('a guest that never rests', () => {
  let guest: NetworkGuest;
  let monitor: Monitor;
  let http: Awaited<ReturnType<typeof serve>>;

  beforeAll(async () => {
    const script = (port: number): string =>
      ['#!ipxe', ':again', `imgfetch http://10.0.2.2:${String(port)}/body ||`, 'imgfree', 'goto again'].join('\n');
    http = await serve(script, Buffer.alloc(2_000_000));
    guest = await startNetworkGuest(`user,id=n0,bootfile=http://10.0.2.2:${String(http.port)}/boot`);
    monitor = await openMonitor([{ kind: 'unix', path: guest.qmpPaths[0]! }]);
  });
  afterAll(async () => {
    monitor.close();
    await guest.stop();
    http.server.close();
  });

  const bodies = (): number => http.asked.filter((url) => url === '/body').length;
  const filters = async (): Promise<readonly string[]> => (await readNetworkSetup(monitor)).filters;

  it('does not notice that unidbg stands still; what went by meanwhile is kept up to a limit, and beyond it counted exactly', async () => {
    let seen = 0;
    const witness = await openCapture(
      monitor,
      { pid: guest.process.pid! },
      { onPacket: () => (seen += 1), onLost: never, onRemark: never },
    );
    const holder = await startHolder(guest.qmpPaths[1]!, guest.process.pid!, String(1024 * 1024));
    await monitor.cont();
    await until('the guest is at it', () => bodies() >= 2, 90_000);
    const before = bodies();
    holder.process.kill('SIGSTOP');
    await until('it goes on', () => bodies() >= before + 4);
    holder.process.kill('SIGCONT');
    await until('the loss is told', () => holder.last().lost > 0);
    const { packets } = holder.last();
    await until('it captures again', () => holder.last().packets > packets);
    await monitor.stop();
    await sleep(300);
    const ended = new Promise((resolve) => holder.process.once('exit', resolve));
    holder.process.kill('SIGTERM');
    await ended;
    await witness.close();
    const counted = holder.last();
    expect(counted.packets + counted.lost).toBe(seen);
    expect(await filters()).toEqual([]);
    expect(foldersOf(holder.process.pid!)).toEqual([]);
    await monitor.cont();
  });

  it('is left alone soon after unidbg was killed', async () => {
    const pcap = join(folder, 'killed.pcapng');
    const holder = await startHolder(guest.qmpPaths[1]!, guest.process.pid!, String(1024 * 1024), pcap);
    await until('packets come', () => holder.last().packets > 200);
    expect(await filters()).toHaveLength(1);
    holder.process.kill('SIGKILL');
    await until('the filter is gone', async () => (await filters()).length === 0, 15_000);
    await until('its folder is gone', () => foldersOf(holder.process.pid!).length === 0, 15_000);
    const before = bodies();
    await until('the guest goes on', () => bodies() > before);
    // tshark fails where a file is cut in the middle of a packet.
    expect(fieldsOf(pcap, ['frame.len']).length).toBeGreaterThan(100);
  });

  it('is tidied up after by the next attach when unidbg and its janitor were both killed', async () => {
    const holder = await startHolder(guest.qmpPaths[1]!, guest.process.pid!);
    await until('packets come', () => holder.last().packets > 0);
    process.kill(holder.last().janitor, 'SIGKILL');
    holder.process.kill('SIGKILL');
    await sleep(300);
    const before = bodies();
    await until('the guest goes on', () => bodies() > before);
    expect(await filters()).toHaveLength(1);
    expect(foldersOf(holder.process.pid!)).toHaveLength(1);
    const next = await openCapture(
      monitor,
      { pid: guest.process.pid! },
      { onPacket: () => undefined, onLost: never, onRemark: never },
    );
    expect(foldersOf(holder.process.pid!)).toEqual([]);
    expect(await filters()).toHaveLength(1);
    await next.close();
    expect(await filters()).toEqual([]);
  });
});
