// `unidbg export` on three real VMs, with the real Prometheus (Debian's package) that finds them by its HTTP service discovery, and
// an OTLP receiver beside it.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OtlpReceiver, startOtlpReceiver } from '../export/otlp-receiver.ts';
import { type PrometheusServer, startPrometheus } from '../export/prometheus-server.ts';
import { type CliRun, runUnidbg, startUnidbg } from '../support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const DASHBOARD = resolve(import.meta.dirname, '../../docs/grafana-dashboard.json');
const NAMES = ['export-a', 'export-b', 'export-c'];

const guests: DemoGuest[] = [];
let receiver: OtlpReceiver;
let run: CliRun;
let address: string;
let prometheus: PrometheusServer;

beforeAll(async () => {
  const start = (name: string): Promise<DemoGuest> =>
    startDemoGuest({
      append: name === 'export-c' ? 'crash=null after=10000' : 'quiet',
      qemuArgs: ['-name', name, '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'],
    });
  guests.push(...(await Promise.all(NAMES.slice(1).map(start))));
  receiver = await startOtlpReceiver();
  run = startUnidbg([
    'export',
    ...NAMES,
    '--listen',
    '127.0.0.1:0',
    '--otlp',
    receiver.url,
    '--otlp-every',
    '1s',
    '--look-every',
    '2s',
  ]);
  address = /^http:\/\/(.+)\/metrics$/m.exec(await until(() => (run.stdout() === '' ? null : run.stdout())))![1]!;
  prometheus = await startPrometheus(`
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: unidbg
    http_sd_configs: [{ url: "http://${address}/sd", refresh_interval: 1s }]
  - job_name: unidbg-self
    metrics_path: /self
    static_configs: [{ targets: ["${address}"] }]
`);
  // One that comes later is found like the others.
  guests.push(await start(NAMES[0]!));
});

afterAll(async () => {
  run.process.kill('SIGTERM');
  await Promise.all([prometheus.stop(), receiver.close(), run.ended, ...guests.map((guest) => guest.stop())]);
});

/** Asks until the answer is not null. */
async function until<T>(ask: () => T | null | Promise<T | null>, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer !== null) return answer;
    await sleep(200);
  }
  throw new Error(`not within ${timeoutMs} ms`);
}

const vmsOf = (results: readonly { readonly metric: Readonly<Record<string, string>> }[]): string[] =>
  [...new Set(results.map(({ metric }) => metric['vm'] ?? ''))].toSorted();

/** The value of a metric's first series in a text of /metrics. */
function valueIn(text: string, series: string): number {
  const line = text.split('\n').find((one) => one.startsWith(series));
  return Number(line?.slice(line.lastIndexOf(' ') + 1));
}

/** The newest value of a metric of a VM that was pushed. */
function pushed(vm: string, name: string): number | undefined {
  const found = receiver.requests.flatMap(({ body }) =>
    ((body as OtlpMetrics).resourceMetrics ?? [])
      .filter(({ resource }) => resource.attributes.some(({ key, value }) => key === 'service.name' && value.stringValue === vm))
      .flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
      .filter((metric) => metric.name === name)
      .map((metric) => (metric.sum ?? metric.gauge)?.dataPoints[0]?.asDouble),
  );
  return found.at(-1);
}

interface OtlpMetrics {
  readonly resourceMetrics?: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeMetrics: readonly { readonly metrics: readonly OtlpMetric[] }[];
  }[];
}

interface OtlpMetric {
  readonly name: string;
  readonly sum?: { readonly dataPoints: readonly { readonly asDouble: number }[] };
  readonly gauge?: { readonly dataPoints: readonly { readonly asDouble: number }[] };
}

describe('unidbg export', { timeout: 60_000 }, () => {
  it('gives Prometheus all VMs of the host without a gap, also one that came later', async () => {
    await until(async () => ((await prometheus.query('unidbg_vm_up == 1')).length === 3 ? true : null));
    expect(vmsOf(await prometheus.query('up{job="unidbg"} == 1'))).toEqual(NAMES);
    await sleep(6000);
    // Once a second, five times in five seconds: Prometheus itself may come a moment late.
    const counts = await prometheus.query('count_over_time(unikernel_gc_cycles_total[5s])');
    expect(vmsOf(counts)).toEqual(NAMES);
    expect(Math.min(...counts.map(({ value }) => value))).toBeGreaterThanOrEqual(4);
    expect((await prometheus.query('max(unidbg_sample_age_seconds)'))[0]?.value).toBeLessThan(5);
    // The third one crashes meanwhile, and its clock stands still.
    expect(vmsOf(await prometheus.query('changes(unikernel_ticks_total[8s]) > 0'))).toEqual(
      expect.arrayContaining(['export-a', 'export-b']),
    );
  });

  it('serves what promtool has nothing to say about', async () => {
    const text = await (await fetch(`http://${address}/metrics`)).text();
    expect(text.match(/^unikernel_memory_used_bytes\{/gm)).toHaveLength(3);
    const lint = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    expect([lint.status, lint.stdout, lint.stderr]).toEqual([0, '', '']);
  });

  it('pushes the same values over OTLP', async () => {
    const before = await (await fetch(`http://${address}/metrics?vm=export-b`)).text();
    const requests = receiver.requests.length;
    await until(() => (receiver.requests.length > requests + 4 ? true : null));
    const after = await (await fetch(`http://${address}/metrics?vm=export-b`)).text();
    expect(pushed('export-b', 'unikernel.memory.allocated')).toBe(valueIn(after, 'unikernel_memory_allocated_bytes'));
    for (const [name, series] of [
      ['unikernel.gc.cycles', 'unikernel_gc_cycles_total'],
      ['unikernel.ticks', 'unikernel_ticks_total'],
      ['system.cpu.time', 'system_cpu_time_seconds_total'],
    ] as const) {
      expect(pushed('export-b', name), name).toBeGreaterThanOrEqual(valueIn(before, series));
      expect(pushed('export-b', name), name).toBeLessThanOrEqual(valueIn(after, series));
    }
  });

  it('tells a crash to both: as a counter, and as a log record with its stack', async () => {
    const record = await until(() => {
      const logs = receiver.requests.filter(({ path }) => path === '/v1/logs').map(({ body }) => JSON.stringify(body));
      return logs.find((log) => log.includes('export-c')) ?? null;
    });
    expect(record).toContain('"key":"exception.type","value":{"stringValue":"fault"}');
    expect(record).toMatch(/exception\.stacktrace.*crash_null.*app_handle_request/);
    await until(async () => {
      const crashed = await prometheus.query('unidbg_crashes_total{kind="fault"} == 1');
      return vmsOf(crashed).includes('export-c') ? true : null;
    });
  });

  it('has a dashboard whose every query Prometheus takes', async () => {
    const dashboard = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as {
      readonly panels: readonly { readonly title: string; readonly targets: readonly { readonly expr: string }[] }[];
    };
    const empty: string[] = [];
    for (const { title, targets } of dashboard.panels) {
      for (const { expr } of targets) {
        const expression = expr.replaceAll('$vm', '.*').replaceAll('$__rate_interval', '10s').replaceAll('$__range', '1m');
        if ((await prometheus.query(expression)).length === 0) empty.push(title);
      }
    }
    // What these guests have not got: a fault of theirs, a disk, Go, memory that grows.
    const without = ['Findings', 'What checks find', 'Disks: bytes', 'Disks: time of a request', 'Threads by state'];
    expect(empty.filter((title) => ![...without, 'Time until memory is used up', 'Crashes by kind'].includes(title))).toEqual([]);
  });

  it('says in words that its address is taken', async () => {
    const taken = await runUnidbg(['export', '--listen', address]);
    expect([taken.status, taken.stderr]).toEqual([3, expect.stringMatching(/cannot listen on .*another program does/)]);
  });

  it('keeps a VM that is gone for a while, and knows it again when it is started anew: its crashes go on counting', async () => {
    await guests[1]!.stop();
    await until(async () => ((await prometheus.query('unidbg_vm_up{vm="export-c"} == 0')).length === 1 ? true : null));
    expect(vmsOf(await prometheus.query('unidbg_vm_up == 1'))).toEqual(['export-a', 'export-b']);
    guests.push(await startDemoGuest({ append: 'quiet', qemuArgs: ['-name', 'export-c'] }));
    await until(async () => ((await prometheus.query('unidbg_vm_up{vm="export-c"} == 1')).length === 1 ? true : null));
    expect(vmsOf(await prometheus.query('unidbg_crashes_total{kind="fault"} == 1'))).toEqual(['export-c']);
  });
});
