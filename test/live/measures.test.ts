// What ssh used to tell, on a real QEMU with the demo guest: ps, free, gc, net, top, assert; checks and the forecast against what comes.

import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventOf, GuestEvent } from '../../src/model/event.ts';
import type { Sample } from '../../src/model/metric.ts';
import { eventsOf, runUnidbg } from '../support/cli.ts';
import { type DemoGuest, type DemoGuestOptions, startDemoGuest } from '../support/demo-guest.ts';

const guests: DemoGuest[] = [];
async function start(options: DemoGuestOptions): Promise<string> {
  const guest = await startDemoGuest(options);
  guests.push(guest);
  return String(guest.process.pid);
}
afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.stop()));
});

const NETWORK = ['-netdev', 'user,id=net0', '-device', 'virtio-net-pci,netdev=net0'];

async function document(verb: string, ...more: readonly string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr, status } = await runUnidbg([verb, ...more, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

function ofType<T extends GuestEvent['type']>(events: readonly GuestEvent[], type: T): EventOf<T>[] {
  return events.filter((event): event is EventOf<T> => event.type === type);
}

describe('a healthy guest', () => {
  let vm = '';
  beforeAll(async () => {
    vm = await start({ append: 'rate=0', qemuArgs: NETWORK });
  });

  it('has its threads told by ps: state, CPU time, and where in the program each waits', async () => {
    const { kind, threads } = (await document('ps', vm)) as {
      kind: string;
      threads: { name: string; cpuTimeNs: number; cpu: number | null; where: { function: string } | null }[];
    };
    expect(kind).toBe('threads');
    expect(threads.map(({ name }) => name).sort()).toEqual(
      ['housekeeping', 'idle', 'logger', 'net', 'runtime', 'worker-1', 'worker-2'].sort(),
    );
    expect(threads.find(({ name }) => name === 'worker-2')?.where?.function).toMatch(/^(worker_main|app_)/);
    expect(threads.every(({ cpuTimeNs }) => cpuTimeNs > 0)).toBe(true);
    const shares = threads.flatMap(({ cpu }) => cpu ?? []);
    expect(shares.length).toBe(threads.length);
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeGreaterThan(0.5);
  });

  it('has its memory told by free in three senses, and a heap of its own', async () => {
    const { guest, host } = (await document('free', vm)) as {
      guest: { of: string; limit: number; used: number; free: number }[];
      host: { allocated: number; resident: number };
    };
    expect(host.allocated).toBe(128 * 1024 ** 2);
    expect(host.resident).toBeGreaterThan(10 * 1024 ** 2);
    const [own, heap] = guest;
    expect(own).toMatchObject({ of: 'guest', free: own!.limit - own!.used });
    expect(own!.used).toBeGreaterThan(100_000);
    expect(heap).toMatchObject({ of: 'demo heap' });
  });

  it('has its collector told by gc, which runs', async () => {
    const { collectors, findings } = (await document('gc', vm)) as {
      collectors: { runtime: string; cycles: number; cyclesPerMinute: number; pauseLast: number }[];
      findings: unknown[];
    };
    expect(collectors).toHaveLength(1);
    expect(collectors[0]!.cycles).toBeGreaterThan(0);
    expect(collectors[0]!.cyclesPerMinute).toBeGreaterThan(10);
    expect(collectors[0]!.pauseLast).toBeGreaterThan(0);
    expect(findings).toEqual([]);
  });

  it('has its pings seen by net, as a flow of its own', async () => {
    const { capture } = (await document('net', vm, '--for', '4s')) as {
      capture: { how: string; flows: { protocol: string; sent: { packets: number }; received: { packets: number } }[] };
    };
    const pings = capture.flows.find(({ protocol }) => protocol === 'icmp');
    expect(pings?.sent.packets).toBeGreaterThan(1);
    expect(pings?.received.packets).toBeGreaterThan(1);
  });

  it('has every metric in top --json, and a page of lines without', async () => {
    const { metrics, unikernel } = (await document('top', vm)) as { metrics: Sample[]; unikernel: string };
    expect(unikernel).toBe('demo');
    expect(new Set(metrics.map(({ name }) => name)).size).toBeGreaterThan(25);
    expect(metrics.filter(({ value, absent }) => value === null && absent === null)).toEqual([]);
    const { stdout } = await runUnidbg(['top', vm]);
    expect(stdout).toMatch(/^\S+ · unidbg demo guest · running · 7 threads/);
    expect(stdout).toMatch(/\nmemory {2}used \S+ \S+ · of \S+ MiB · given 128 MiB · resident/);
  });

  it('is watched until the time is over, a document a line', async () => {
    const { stdout, status } = await runUnidbg(['free', vm, '--json', '--watch', '--every', '500ms', '--for', '3s']);
    expect(status).toBe(0);
    const documents = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { at: number });
    expect(documents.length).toBeGreaterThan(3);
    expect(documents.at(-1)!.at).toBeGreaterThan(documents[0]!.at);
  });

  it('does what is expected of it, or assert says what it does instead', async () => {
    const held = await runUnidbg([
      ...['assert', vm, 'unikernel.gc.cycles increases within 10s', 'unikernel.memory.used / unikernel.memory.limit < 50%'],
      'console ~ /unikernel up/ within 5s',
    ]);
    expect(held.stdout.split('\n').filter((line) => line.startsWith('ok'))).toHaveLength(3);
    expect(held.status).toBe(0);
    const broken = await runUnidbg(['assert', vm, '--json', 'unikernel.memory.limit < 1MiB', 'unikernel.gc.cycles > 0']);
    expect(broken.status).toBe(1);
    expect(JSON.parse(broken.stdout)).toMatchObject({
      held: false,
      expectations: [{ state: 'failed', reason: 'unikernel.memory.limit is 122 MiB' }, { state: 'met' }],
    });
    const senseless = await runUnidbg(['assert', vm, 'unikernel.memory.limit <']);
    expect(senseless.status).toBe(2);
  });
});

describe('a guest whose collector is off', () => {
  it.concurrent('is told to be one', async () => {
    const vm = await start({ append: 'gc=off' });
    const { findings } = (await document('gc', vm, '--for', '8s')) as { findings: { check: string; message: string }[] };
    expect(findings[0]?.check).toBe('gc-never-runs');
    expect(findings[0]?.message).toMatch(/^demo's garbage collector has not run for .* while its heap grew from/);
  });
});

describe('a guest that leaks until it dies', () => {
  it.concurrent.each([4, 8])(
    'of %i MB a second has its end foretold half-way to it, wrong by a fifth at most',
    async (megabytes) => {
      const vm = await start({ append: `leak=${megabytes * 1_000_000}` });
      const began = Date.now();
      const result = await runUnidbg(['attach', vm, '--json', '--until-crash', '--for', '60s', '--look-every', '2s']);
      const events = eventsOf(result);
      expect(result.status).toBe(5);
      const end = ofType(events, 'crash')[0]!.at;
      const halfWay = began + (end - began) / 2;
      const forecasts = ofType(events, 'metrics').flatMap(({ at, samples }) =>
        samples
          .filter(({ name, value }) => name === 'unikernel.memory.exhaustion.time' && value !== null)
          .map(({ value }) => ({ at, left: value! * 1000 })),
      );
      const nearest = forecasts.reduce((best, one) => (Math.abs(one.at - halfWay) < Math.abs(best.at - halfWay) ? one : best));
      expect(Math.abs(nearest.at - halfWay)).toBeLessThan(3000);
      expect(Math.abs(nearest.left - (end - nearest.at)) / (end - nearest.at)).toBeLessThan(0.2);
      expect(ofType(events, 'finding').map(({ finding }) => finding.check)).toContain('memory-exhaustion');
    },
  );
});

describe('packets', () => {
  it.concurrent('are kept as pcapng by net --pcap', async () => {
    const vm = await start({ qemuArgs: NETWORK });
    const file = join(mkdtempSync(join(tmpdir(), 'unidbg-measures-')), 'guest.pcapng');
    const { status, stderr } = await runUnidbg(['net', vm, '--pcap', file, '--for', '3s']);
    expect(status, stderr).toBe(0);
    const seen = execFileSync('tshark', ['-r', file, '-T', 'fields', '-e', 'icmp.type'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(seen).toMatch(/^8$/m);
  });
});
