// What the host knows of a VM, by a QEMU that says what the test tells it to. The real one is asked in test/live.

import { afterEach, describe, expect, it } from 'vitest';
import { type Sample, seriesKey } from '../../src/model/metric.ts';
import { createHostSampler, HOST_METRICS, type HostSampler } from '../../src/qemu/host-metrics.ts';
import { type Monitor, openMonitor } from '../../src/qemu/monitor.ts';
import { encodeExactJson, type Json } from '../../src/qemu/qmp/exact-json.ts';
import { type FakeQmp, type FakeRequest, startFakeQmp } from '../support/fake-qmp.ts';

const UNKNOWN = 18446744073709551615n;
const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

type Answers = Readonly<Record<string, unknown>>;

/** A QEMU whose commands have these answers; a function is asked with the command's arguments. All others it does not know. */
async function open(answers: Answers): Promise<{ fake: FakeQmp; monitor: Monitor; sampler: HostSampler; clock: { ms: number } }> {
  const fake = await startFakeQmp(({ execute, arguments: args, id }: FakeRequest) => {
    if (!Object.hasOwn(answers, execute)) {
      return `{"error": {"class": "CommandNotFound", "desc": "The command ${execute} has not been found"}, "id": ${id}}\r\n`;
    }
    const answer = answers[execute];
    const value: unknown = typeof answer === 'function' ? (answer as (args: unknown) => unknown)(args) : answer;
    return `{"return": ${encodeExactJson(value as Json)}, "id": ${id}}\r\n`;
  });
  closing.push(fake.close);
  const monitor = await openMonitor([fake.endpoint]);
  closing.push(() => {
    monitor.close();
  });
  const clock = { ms: 0 };
  return { fake, monitor, clock, sampler: createHostSampler(monitor, null, () => clock.ms) };
}

function table(samples: readonly Sample[], prefix: string): Record<string, number | string> {
  return Object.fromEntries(
    samples
      .filter(({ name }) => name.startsWith(prefix))
      .map((sample) => [seriesKey(sample), sample.value ?? sample.absent ?? '']),
  );
}

describe("the host's view of a VM", () => {
  it('says of each declared metric what it is or why there is none, also of a QEMU that knows no command', async () => {
    const { sampler } = await open({});
    const samples = await sampler.sample();
    expect([...new Set(samples.map(({ name }) => name))].toSorted()).toEqual(Object.keys(HOST_METRICS).toSorted());
    for (const { name, value, absent, unit, kind } of samples) {
      expect({ unit, kind }).toEqual({ unit: HOST_METRICS[name]!.unit, kind: HOST_METRICS[name]!.kind });
      expect((value === null) === (absent ?? '').length > 10, name).toBe(true);
    }
  });

  it('asks the monitor once a second however often it is sampled, and leaves out what was not asked', async () => {
    const { fake, sampler, clock } = await open({ 'query-blockstats': [{ device: 'd0', stats: { rd_bytes: 1 } }] });
    const sizes: number[] = [];
    for (; clock.ms < 1000; clock.ms += 10)
      sizes.push(table(await sampler.sample(), 'system.disk')['system.disk.io{device=d0,direction=read}'] === 1 ? 1 : 0);
    expect(sizes.filter((size) => size === 1)).toHaveLength(2);
    expect(fake.requests.filter(({ execute }) => execute === 'query-blockstats')).toHaveLength(2);
    expect(fake.requests.filter(({ execute }) => execute === 'query-migrate')).toHaveLength(1);
    // No disk, no KVM, no balloon: what a VM has not got is asked for seldom.
    expect(fake.requests.filter(({ execute }) => execute === 'query-balloon')).toHaveLength(1);
  });

  it('counts bytes, requests, time and errors of each disk', async () => {
    const stats = { rd_bytes: 512, rd_operations: 1, rd_total_time_ns: 2_500_000, failed_rd_operations: 0 };
    const written = { wr_bytes: UNKNOWN - 15n, wr_operations: 7, failed_wr_operations: 2, flush_operations: 3 };
    const { sampler } = await open({
      'query-blockstats': [
        { device: '', qdev: '/machine/peripheral/disk1/virtio-backend', 'node-name': 'n1', stats: { ...stats, ...written } },
      ],
    });
    expect(table(await sampler.sample(), 'system.disk')).toMatchObject({
      'system.disk.io{device=disk1,direction=read}': 512,
      'system.disk.operation_time{device=disk1,direction=read}': 0.0025,
      'system.disk.operations{device=disk1,direction=flush}': 3,
      'system.disk.errors{device=disk1,direction=write}': 2,
    });
  });

  it('counts exits by vCPU where KVM does, and says why there are none under TCG', async () => {
    const stats = (exits: number) => [
      { name: 'exits', value: exits },
      { name: 'halt_exits', value: 5 },
      { name: 'exits-of-no-use', value: 1 },
    ];
    const kvm = await open({
      'query-stats': [
        { provider: 'kvm', 'qom-path': '/machine/unattached/device[0]', stats: stats(100) },
        { provider: 'kvm', 'qom-path': '/machine/unattached/device[1]', stats: stats(200) },
      ],
    });
    expect(table(await kvm.sampler.sample(), 'unikernel.cpu.')).toMatchObject({
      'unikernel.cpu.exits{vcpu=0}': 100,
      'unikernel.cpu.exits{vcpu=1}': 200,
      'unikernel.cpu.halts{vcpu=0}': 5,
    });
    const tcg = await open({ 'query-stats': [] });
    expect(table(await tcg.sampler.sample(), 'unikernel.cpu.exits')['unikernel.cpu.exits']).toMatch(/-accel kvm/);
  });

  it('says in which state a migration is', async () => {
    const { sampler } = await open({ 'query-migrate': { status: 'active' } });
    expect(table(await sampler.sample(), 'unikernel.vm.migration')).toEqual({ 'unikernel.vm.migration{state=active}': 1 });
  });
});

describe('the balloon', () => {
  const guestStats = {
    stats: { 'stat-free-memory': 1000, 'stat-total-memory': 5000, 'stat-major-faults': UNKNOWN },
    'last-update': Math.round(Date.now() / 1000) - 3,
  };
  const answers = (interval: number, stats: unknown = guestStats): Answers => {
    let polling = interval;
    return {
      'query-balloon': { actual: 4096 },
      'qom-list': ({ path }: { path: string }) =>
        path === '/machine/peripheral' ? [{ name: 'b0', type: 'child<virtio-balloon-pci>' }] : [],
      'qom-get': ({ property }: { property: string }) => (property === 'guest-stats' ? stats : polling),
      'qom-set': ({ value }: { value: number }) => {
        polling = value;
        return {};
      },
    };
  };
  const settings = (fake: FakeQmp): unknown[] =>
    fake.requests.filter(({ execute }) => execute === 'qom-set').map((request) => request.arguments?.['value']);

  it('is polled while we look, and left as it was found', async () => {
    const { fake, sampler } = await open(answers(0));
    const samples = table(await sampler.sample(), 'unikernel.');
    expect(samples).toMatchObject({
      'unikernel.memory.balloon': 4096,
      'unikernel.balloon.memory{state=free}': 1000,
      'unikernel.balloon.memory{state=total}': 5000,
    });
    expect(samples['unikernel.balloon.age']).toBeGreaterThanOrEqual(2);
    // What the driver does not know it leaves at 2^64 - 1.
    expect(samples).not.toHaveProperty('unikernel.balloon.faults{type=major}');
    expect(settings(fake)).toEqual([2]);
    await sampler.close();
    expect(settings(fake)).toEqual([2, 0]);
  });

  it('that somebody polls already is left alone', async () => {
    const { fake, sampler } = await open(answers(10));
    await sampler.sample();
    await sampler.close();
    expect(settings(fake)).toEqual([]);
  });

  it('of a guest that does not answer is absent in words', async () => {
    const { sampler } = await open(answers(0, { stats: {}, 'last-update': 0 }));
    expect(table(await sampler.sample(), 'unikernel.balloon.memory')['unikernel.balloon.memory']).toMatch(/balloon driver/);
  });

  it('that the VM does not have names the flag that brings it', async () => {
    const { sampler } = await open({});
    expect(table(await sampler.sample(), 'unikernel.memory.balloon')['unikernel.memory.balloon']).toMatch(
      /-device virtio-balloon/,
    );
  });
});

describe('virtio queues', () => {
  const PATH = '/machine/peripheral/net0/virtio-backend';
  const net = (status: object, index: () => number): Answers => ({
    'x-query-virtio': [{ name: 'virtio-net', path: PATH }],
    'x-query-virtio-status': { 'num-vqs': 3, 'guest-features': { transports: [] }, ...status },
    'qom-get': 'n0',
    'x-query-virtio-queue-status': ({ queue }: { queue: number }) =>
      queue === 0 ? { 'used-idx': index(), inuse: 4, 'vring-used': 4096 } : { 'used-idx': 0, inuse: 0, 'vring-used': 0 },
  });
  const RECEIVED = 'system.network.packets{device=n0,direction=receive}';

  it('count packets past 2^16, and begin anew with a reset of the VM', async () => {
    let index = 65530;
    const { fake, sampler, clock } = await open(net({}, () => index));
    const take = async (next: number): Promise<unknown> => {
      index = next;
      clock.ms += 1000;
      return table(await sampler.sample(), 'system.network')[RECEIVED];
    };
    expect(await take(65530)).toBe(65530);
    expect(await take(4)).toBe(65540);
    expect(await take(70)).toBe(65606);
    fake.write(
      '{"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}, "timestamp": {"seconds": 1, "microseconds": 0}}\r\n',
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await take(10)).toBe(65616);
  });

  it('show what is in flight, and which queue the guest has not set up', async () => {
    const { sampler } = await open(net({}, () => 9));
    const samples = await sampler.sample();
    expect(table(samples, 'unikernel.virtqueue')).toEqual({
      'unikernel.virtqueue.buffers{device=n0,queue=0}': 9,
      'unikernel.virtqueue.pending{device=n0,queue=0}': 4,
    });
    expect(table(samples, 'system.network')['system.network.packets{device=n0,direction=transmit}']).toMatch(
      /not set this queue up/,
    );
  });

  // A vhost-user back end stops the ring when it is asked for its index.
  it('of vhost are never asked for', async () => {
    const { fake, sampler } = await open(net({ 'vhost-dev': { nvqs: 2 } }, () => 9));
    expect(table(await sampler.sample(), 'system.network')['system.network.packets{device=n0}']).toMatch(/vhost/);
    expect(fake.requests.filter(({ execute }) => execute === 'x-query-virtio-queue-status')).toEqual([]);
  });

  it('that are packed rings are not counted wrong', async () => {
    const transports = ['VIRTIO_F_RING_PACKED: Device supports packed virtqueue layout'];
    const { sampler } = await open(net({ 'guest-features': { transports } }, () => 9));
    expect(table(await sampler.sample(), 'system.network')['system.network.packets{device=n0}']).toMatch(/packed/);
  });
});

describe('a process of this machine', () => {
  it('has its CPU time, the wait for a CPU, its memory and its age, without a word of the monitor', async () => {
    const { monitor } = await open({ 'human-monitor-command': `* CPU #0: thread_id=${process.pid}\r\n` });
    const sampler = createHostSampler(monitor, process.pid);
    const samples = table(await sampler.sample(), '');
    for (const key of ['system.cpu.time{vcpu=0}', 'unikernel.qemu.cpu.time{thread=main}', 'process.uptime']) {
      expect(samples[key], key).toBeGreaterThan(0);
    }
    expect(samples['unikernel.cpu.steal{vcpu=0}']).toBeGreaterThanOrEqual(0);
    expect(samples['unikernel.memory.proportional']).toBeLessThanOrEqual((samples['unikernel.memory.resident'] as number) * 1.2);
  });
});
