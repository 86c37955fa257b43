// What a capture costs the guest, and what happens when unidbg stands still or dies. The guest is iPXE (Debian's ipxe-qemu), which
// fetches by HTTP over QEMU's user network, for ever. `node bench/network.ts` takes about four minutes.

import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Capture, openCapture } from '../src/network/capture.ts';
import { readNetworkSetup } from '../src/network/network-cards.ts';
import { type Monitor, openMonitor } from '../src/qemu/monitor.ts';
import { type NetworkGuest, startNetworkGuest } from '../test/network/support/wire-lab.ts';
import { median, medianBounds, quantile } from './statistics.ts';
import { formatCount, formatMs, formatSection, type Section } from './table.ts';

const HOLDER = join(import.meta.dirname, '../test/network/support/capture-holder.ts');
const PAIRS = Number(process.env['PAIRS'] ?? 12);
const BODY_BYTES = 8_000_000;
const STOP_MS = 20_000;
/** The janitor is a Node that starts: that is the price of attaching, not of capturing. */
const SETTLE_MS = 1500;
const MIB = 1024 * 1024;

interface Counts {
  readonly packets: number;
  readonly bytes: number;
  readonly lost: number;
  readonly janitor: number;
}

/** A guest that fetches bodies; whoever is told of each may delay the next. */
interface Fetching {
  readonly guest: NetworkGuest;
  readonly monitor: Monitor;
  /** Waits for the guest's next request, calls `before`, lets it have the body; ms until it asks again. */
  readonly fetch: (before?: () => Promise<void>) => Promise<number>;
  readonly stop: () => Promise<void>;
}

async function startFetching(): Promise<Fetching> {
  const body = Buffer.alloc(BODY_BYTES, 'x');
  const waiting: (() => void)[] = [];
  let arrived: () => void = () => undefined;
  let asked = 0;
  const server = createHttpServer((request, response) => {
    const { port } = server.address() as AddressInfo;
    if (request.url === '/boot') {
      response.end(['#!ipxe', ':again', `imgfetch http://10.0.2.2:${String(port)}/body ||`, 'imgfree', 'goto again'].join('\n'));
      return;
    }
    asked += 1;
    waiting.push(() => response.end(body));
    arrived();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const guest = await startNetworkGuest(`user,id=n0,bootfile=http://10.0.2.2:${String(port)}/boot`);
  const monitor = await openMonitor([{ kind: 'unix', path: guest.qmpPaths[0]! }]);
  await monitor.cont();
  const nextRequest = async (count: number): Promise<void> => {
    while (asked < count) await new Promise<void>((resolve) => (arrived = resolve));
  };
  return {
    ...{ guest, monitor },
    fetch: async (before = () => Promise.resolve()) => {
      await nextRequest(asked === 0 ? 1 : asked);
      const count = asked;
      await before();
      const started = performance.now();
      waiting.shift()?.();
      await nextRequest(count + 1);
      return performance.now() - started;
    },
    stop: async () => {
      monitor.close();
      await guest.stop();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The same body with and without a capture, in turns; the capture is a process of its own, as the HTTP server is. */
async function measureCost({ guest, fetch }: Fetching): Promise<readonly string[][]> {
  const times = { without: [] as number[], captured: [] as number[] };
  let [packets, lost] = [0, 0];
  await fetch();
  for (let pair = 0; pair < PAIRS; pair += 1) {
    times.without.push(await fetch(() => sleep(SETTLE_MS)));
    const holder = await startHolder(guest);
    times.captured.push(await fetch(() => sleep(SETTLE_MS)));
    await end(holder.process, 'SIGTERM');
    packets += holder.last().packets;
    lost += holder.last().lost;
  }
  const ratios = times.captured.map((ms, index) => 100 * (ms / times.without[index]! - 1));
  const [low, high] = medianBounds(ratios);
  const rate = (ms: number): string => `${(BODY_BYTES / MIB / (ms / 1000)).toFixed(1)} MiB/s`;
  const row = (title: string, all: readonly number[]): string[] => [
    ...[title, formatMs(median(all)), rate(median(all)), formatMs(Math.min(...all))],
  ];
  return [
    row('without a capture', times.without),
    row('captured', times.captured),
    [
      'difference, paired',
      `${median(ratios).toFixed(1)} %`,
      `${low.toFixed(1)} … ${high.toFixed(1)} %`,
      'bounds of the median, 95 %',
    ],
    ['packets, lost', formatCount(packets), String(lost), ''],
  ];
}

interface Holder {
  readonly process: ChildProcess;
  readonly last: () => Counts;
}

async function startHolder(guest: NetworkGuest, ...more: readonly string[]): Promise<Holder> {
  const child = spawn(process.execPath, [HOLDER, guest.qmpPaths[1]!, String(guest.process.pid), ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last: Counts = { packets: 0, bytes: 0, lost: 0, janitor: 0 };
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = JSON.parse(line) as Counts;
  });
  while (last.janitor === 0) await sleep(20);
  return { process: child, last: () => last };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}

async function fetchFor({ fetch }: Fetching, ms: number): Promise<number[]> {
  const times: number[] = [];
  for (const deadline = performance.now() + ms; performance.now() < deadline; ) times.push(await fetch());
  return times;
}

/** SIGSTOP for 20 s; every packet is captured, or counted as lost: a second capture by this process is the witness. */
async function measureStop(fetching: Fetching, keepBytes: number): Promise<readonly string[]> {
  const { guest, monitor, fetch } = fetching;
  let seen = 0;
  const sink = { onPacket: () => (seen += 1), onLost: console.error, onRemark: console.error };
  let witness: Capture | null = null;
  let holder: Holder | null = null;
  // While the guest waits for its body nothing is under way: both captures see the same.
  await fetch(async () => {
    await sleep(200);
    witness = await openCapture(monitor, { pid: guest.process.pid! }, sink);
    holder = await startHolder(guest, String(keepBytes));
  });
  const running = holder as unknown as Holder;
  const before = await fetchFor(fetching, 5000);
  running.process.kill('SIGSTOP');
  const during = await fetchFor(fetching, STOP_MS);
  running.process.kill('SIGCONT');
  await monitor.stop();
  for (let packets = -1; packets !== running.last().packets; ) {
    packets = running.last().packets;
    await sleep(500);
  }
  await end(running.process, 'SIGTERM');
  await (witness as Capture | null)?.close();
  await monitor.cont();
  const { packets, lost } = running.last();
  return [
    `stopped for 20 s, ${(keepBytes / MIB).toFixed(0)} MiB kept`,
    `${formatMs(median(before))} → ${formatMs(median(during))} a body, at most ${formatMs(quantile(during, 1))}`,
    `${formatCount(packets)} + ${formatCount(lost)} lost`,
    packets + lost === seen ? `= ${formatCount(seen)} seen by a witness` : `≠ ${formatCount(seen)} seen by a witness`,
  ];
}

async function measureKill(fetching: Fetching): Promise<readonly string[]> {
  const holder = await startHolder(fetching.guest);
  const before = await fetchFor(fetching, 3000);
  await end(holder.process, 'SIGKILL');
  const started = performance.now();
  const gone = async (): Promise<boolean> => (await readNetworkSetup(fetching.monitor)).filters.length === 0;
  const times: number[] = [];
  while (!(await gone())) times.push(await fetchFor(fetching, 1).then(([one]) => one!));
  const after = await fetchFor(fetching, 3000);
  return [
    'killed by SIGKILL',
    `${formatMs(median(before))} → ${formatMs(median([...times, ...after]))} a body`,
    `filter gone after ${formatMs(performance.now() - started - after.reduce((sum, one) => sum + one, 0))}`,
    'by its janitor',
  ];
}

/** 104 MB in one go, at the default limit. */
async function measureTransfer(fetching: Fetching): Promise<readonly string[]> {
  const holder = await startHolder(fetching.guest);
  const bodies = 13;
  const times: number[] = [];
  for (let count = 0; count < bodies; count += 1) times.push(await fetching.fetch());
  await sleep(500);
  await end(holder.process, 'SIGTERM');
  const { packets, bytes, lost } = holder.last();
  return [
    `${((bodies * BODY_BYTES) / 1e6).toFixed(0)} MB transferred`,
    `${formatMs(median(times))} a body`,
    `${formatCount(packets)} packets, ${formatCount(bytes)} bytes`,
    `${String(lost)} lost`,
  ];
}

/** The other way, for comparison: filter-mirror into a socket whose reader does not read. */
async function measureMirror({ monitor, guest }: Fetching): Promise<readonly string[]> {
  const path = join(tmpdir(), `unidbg-mirror-${String(process.pid)}.sock`);
  const server = createServer((socket) => socket.pause());
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const address = { type: 'unix', data: { path } };
  await monitor.qmp!.execute('chardev-add', {
    id: 'bench-mirror',
    backend: { type: 'socket', data: { addr: address, server: false } },
  });
  await monitor.hmp('object_add filter-mirror,id=bench-mirror-filter,netdev=n0,outdev=bench-mirror');
  await sleep(5000);
  const second = await openMonitor([{ kind: 'unix', path: guest.qmpPaths[2]! }], { connectTimeoutMs: 3000 }).catch(() => null);
  second?.close();
  rmSync(path, { force: true });
  server.close();
  const answer = second === null ? 'QEMU answers no monitor for 3 s: guest and QEMU stand still' : 'QEMU still answers';
  return ['filter-mirror to a socket that nobody reads', 'after 5 s', answer, 'what unidbg does not do'];
}

const fetching = await startFetching();
// The mirror stops the guest for good: it comes last, with nobody asking for more.
const cost = await measureCost(fetching);
const lives = [
  await measureTransfer(fetching),
  await measureStop(fetching, 128 * MIB),
  await measureStop(fetching, 16 * MIB),
  await measureKill(fetching),
];
void fetching.fetch();
const mirror = await measureMirror(fetching);
await fetching.stop();

const sections: readonly Section[] = [
  {
    title: 'What a capture costs the guest',
    about: `A guest fetches ${String(BODY_BYTES / 1e6)} MB by HTTP, by turns with and without a capture: ${String(PAIRS)} pairs.`,
    columns: ['', 'time', 'rate', 'fastest'],
    rows: cost,
    remarks: [],
  },
  {
    title: 'What happens to the guest when something happens to unidbg',
    about: 'The same guest, fetching all the time; the capture is held by a process of its own.',
    columns: ['', 'guest', 'capture', ''],
    rows: [...lives, mirror],
    remarks: [],
  },
];
for (const section of sections) process.stdout.write(`${formatSection(section)}\n\n`);
process.exit();
