// What `unidbg export` costs its host, and whether a scrape ever misses: VMs found by Prometheus' service discovery and scraped once a
// second (--scrape) for some minutes, an OTLP receiver beside it. One command:
//   node bench/overhead-export.ts --vms 10 --minutes 2      demo guests of its own, which keep the machine busy themselves
//   … --paused                                              the same with the guests standing still: what unidbg costs by itself
//   node bench/overhead-export.ts --minutes 5 NAME NAME …   VMs that run already

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parseDuration } from '../src/model/quantity.ts';
import { openQmp } from '../src/qemu/qmp/client.ts';
import { startOtlpReceiver } from '../test/export/otlp-receiver.ts';
import { type PrometheusServer, startPrometheus } from '../test/export/prometheus-server.ts';
import { UNIDBG } from '../test/support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../test/support/demo-guest.ts';
import { firstLine } from './first-line.ts';
import { printAlone, type Section } from './table.ts';

/** Prometheus keeps its first minutes to itself; what is there before is not counted. */
const SETTLE_MS = 15_000;

/** Runs it. */
export async function measureExport(
  vms: number,
  minutes: number,
  scrape: string,
  names: readonly string[],
  paused: boolean,
): Promise<Section> {
  const guests = names.length > 0 ? [] : await startGuests(vms, paused);
  const wanted = names.length > 0 ? names : guests.map((_, index) => `export-${index}`);
  const receiver = await startOtlpReceiver();
  const child = spawn(process.execPath, [UNIDBG, 'export', ...wanted, '--listen', '127.0.0.1:0', '--otlp', receiver.url], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const address = new URL(await firstLine(child)).host;
    const prometheus = await startPrometheus(
      `global: { scrape_interval: ${scrape} }\nscrape_configs: [{ job_name: unidbg, http_sd_configs: [{ url: "http://${address}/sd", refresh_interval: 5s }] }]\n`,
    );
    try {
      await sleep(SETTLE_MS);
      const from = { cpu: cpuSeconds(child.pid!), at: performance.now() };
      await sleep(minutes * 60_000);
      const seconds = (performance.now() - from.at) / 1000;
      const cpu = (cpuSeconds(child.pid!) - from.cpu) / seconds;
      const rows = await judge(prometheus, Math.floor(seconds), parseDuration(scrape) / 1000);
      const text = await (await fetch(`http://${address}/metrics`)).text();
      const lint = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
      const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
      return {
        title: 'What exporting costs the host, and what it misses',
        about: `${wanted.length} VMs${paused ? ' that stand still' : ''}, measured once a second and scraped every ${scrape} for ${minutes} minutes.`,
        columns: ['VM', 'scrapes due', 'scrapes that came', 'longest gap', 'failed', 'series', 'oldest sample shown'],
        rows,
        remarks: [
          `unidbg export used ${(cpu * 100).toFixed(2)} % of a core (user and system, /proc), and ${(rss(child.pid!) / 1024).toFixed(0)} MiB of memory.`,
          `${series} series; promtool check metrics: status ${lint.status}, ${lint.stdout.length + lint.stderr.length} bytes of complaints.`,
          `OTLP: ${receiver.requests.length} requests taken.`,
        ],
      };
    } finally {
      await prometheus.stop();
    }
  } finally {
    child.kill('SIGTERM');
    await once(child, 'close');
    await Promise.all([receiver.close(), ...guests.map((guest) => guest.stop())]);
  }
}

async function judge(prometheus: PrometheusServer, seconds: number, every: number): Promise<string[][]> {
  const ups = await prometheus.samples(`up{job="unidbg"}[${seconds}s]`);
  const failed = await prometheus.query(`count_over_time((up{job="unidbg"} == 0)[${seconds}s:${every}s])`);
  const ages = await prometheus.query(`max_over_time(unidbg_sample_age_seconds[${seconds}s])`);
  const series = await prometheus.query('scrape_samples_scraped{job="unidbg"}');
  const of = (
    results: readonly { readonly metric: Readonly<Record<string, string>>; readonly value: number }[],
    vm: string,
  ): number => results.find(({ metric }) => metric['vm'] === vm)?.value ?? 0;
  return ups.map(({ metric, times }) => {
    const vm = metric['vm'] ?? '';
    const gaps = times.slice(1).map((time, index) => time - times[index]!);
    return [
      vm,
      String(Math.floor(seconds / every)),
      String(times.length),
      `${Math.max(...gaps).toFixed(2)} s`,
      String(of(failed, vm)),
      String(of(series, vm)),
      `${of(ages, vm).toFixed(1)} s`,
    ];
  });
}

async function startGuests(count: number, paused: boolean): Promise<DemoGuest[]> {
  const guests: DemoGuest[] = [];
  for (let index = 0; index < count; index += 1) {
    const qemuArgs = ['-name', `export-${index}`, '-netdev', 'user,id=n0', '-device', 'virtio-net-pci,netdev=n0'];
    const guest = await startDemoGuest({ append: 'quiet', qemuArgs });
    guests.push(guest);
    if (paused) await pause(guest);
  }
  return guests;
}

/** Once it has booted; QEMU still answers all that is asked. */
async function pause(guest: DemoGuest): Promise<void> {
  await sleep(3_000);
  const qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
  await qmp.execute('stop');
  qmp.close();
}

/** User and system time of a process so far (proc_pid_stat(5): fields 14 and 15, in hundredths of a second). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory, KiB. */
function rss(pid: number): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: {
      vms: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '5' },
      scrape: { type: 'string', default: '1s' },
      paused: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  await printAlone(true, () =>
    measureExport(Number(values.vms), Number(values.minutes), values.scrape, positionals, values.paused),
  );
}
