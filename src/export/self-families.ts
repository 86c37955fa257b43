// What unidbg says of the VMs as such and of itself: which are up, which crashed, what checks found, what is absent and why, and
// what exporting costs.

import type { Collected, Family, Labels } from './families.ts';
import type { ExportedVm } from './fleet.ts';

/** What the exporter counts of its own work. */
export interface SelfCounts {
  readonly version: string;
  scrapes: number;
  scrapeSeconds: number;
  readonly pushes: { metrics: number; logs: number; failed: number };
}

type Series = Family['series'][number];

const MAX_TEXT = 200;
const STATES = ['up', 'unreachable', 'gone'] as const;

/** Families of the VMs. `vmLabel` as in collectFamilies. */
export function vmFamilies(vms: readonly ExportedVm[], collected: Collected, vmLabel: boolean, now: number): Family[] {
  const each = (body: (vm: ExportedVm) => readonly Series[]): Series[] =>
    vms.flatMap((vm) =>
      body(vm).map(({ labels, value }) => ({ labels: { ...(vmLabel ? { vm: vm.name } : {}), ...labels }, value })),
    );
  return [
    gauge(
      'unidbg_vm_up',
      'Whether the VM is there and answers.',
      each((vm) => [one({}, vm.state === 'up' ? 1 : 0)]),
    ),
    gauge(
      'unidbg_vm_info',
      'What the VM is; always one.',
      each((vm) => [one(describe(vm), 1)]),
    ),
    gauge(
      'unidbg_vm_status',
      'What the VM does: one, for the status it has.',
      each((vm) => [one({ status: vm.snapshot().vm.status }, 1)]),
    ),
    counter(
      'unidbg_crashes_total',
      'Crashes of the guest that were seen since unidbg runs, by kind; restarts of the VM do not set it back.',
      each((vm) => [...countKinds(vm)].map(([kind, count]) => one({ kind }, count))),
    ),
    gauge(
      'unidbg_finding',
      'One, while a built-in check finds something wrong with the guest.',
      each((vm) => vm.snapshot().findings.map(({ check, severity }) => one({ check, severity }, 1))),
    ),
    counter(
      'unidbg_sample_rounds_total',
      'Times that the VM was measured.',
      each((vm) => [one({}, vm.roundsTaken)]),
    ),
    counter(
      'unidbg_samples_total',
      'Values of metrics that were taken of the VM.',
      each((vm) => [one({}, vm.samplesTaken)]),
    ),
    counter(
      'unidbg_lost_records_total',
      'Records that got lost between the guest and unidbg.',
      each((vm) => [one({}, vm.snapshot().lost)]),
    ),
    gauge(
      'unidbg_sample_age_seconds',
      'Time since the VM was last measured.',
      each((vm) => ageOf(vm, now)),
    ),
    gauge(
      'unidbg_refused_series',
      'Series of the VM that are not exported: beyond the limit, in conflict with a declared metric, of a reserved or unusable name.',
      each((vm) => [...(collected.refused.get(vm.name) ?? [])].map(([reason, count]) => one({ reason }, count))),
    ),
    gauge(
      'unidbg_absent_info',
      'Metrics that this VM could have and has not, and what would bring them; always one.',
      each((vm) =>
        (collected.absent.get(vm.name) ?? []).map(({ name, source, reason }) =>
          one({ metric: name, source, reason: reason.slice(0, MAX_TEXT) }, 1),
        ),
      ),
    ),
  ];
}

/** Families of unidbg itself. */
export function selfFamilies(vms: readonly ExportedVm[], self: SelfCounts): Family[] {
  const cpu = process.cpuUsage();
  return [
    gauge('unidbg_build_info', 'The version of unidbg; always one.', [one({ version: self.version }, 1)]),
    gauge(
      'unidbg_vms',
      'VMs of this host by what is known of them.',
      STATES.map((state) => one({ state }, vms.filter((vm) => vm.state === state).length)),
    ),
    counter('unidbg_scrapes_total', 'Times that metrics were asked for.', [one({}, self.scrapes)]),
    counter('unidbg_scrape_seconds_total', 'Time that answering took, all together.', [one({}, self.scrapeSeconds)]),
    counter('unidbg_pushes_total', 'OTLP requests, by what they carried or that they failed.', [
      one({ signal: 'metrics' }, self.pushes.metrics),
      one({ signal: 'logs' }, self.pushes.logs),
      one({ signal: 'failed' }, self.pushes.failed),
    ]),
    counter('unidbg_cpu_seconds_total', 'CPU time that unidbg used.', [one({}, (cpu.user + cpu.system) / 1e6)]),
    gauge('unidbg_resident_memory_bytes', 'Memory that unidbg occupies.', [one({}, process.memoryUsage.rss())]),
  ];
}

function describe(vm: ExportedVm): Labels {
  const { identity } = vm.snapshot();
  return {
    pid: String(vm.pid),
    machine: identity?.machine ?? '',
    accelerator: identity?.accelerator ?? '',
    unikernel: identity?.unikernel ?? '',
    reason: (vm.reason ?? '').slice(0, MAX_TEXT),
  };
}

function countKinds(vm: ExportedVm): Map<string, number> {
  // A kind that has not come yet is zero, so that the first one is an increase.
  const counts = new Map<string, number>(
    ['fault', 'panic', 'assert', 'abort', 'exception', 'out-of-memory', 'hang'].map((kind) => [kind, 0]),
  );
  for (const [kind, count] of vm.crashCounts) counts.set(kind, count);
  return counts;
}

function ageOf(vm: ExportedVm, now: number): Series[] {
  let newest = 0;
  for (const { at } of vm.snapshot().metrics.values()) newest = Math.max(newest, at);
  return newest === 0 ? [] : [one({}, Math.max(0, now - newest) / 1000)];
}

function one(labels: Labels, value: number): Series {
  return { labels, value };
}

function gauge(name: string, help: string, series: readonly Series[]): Family {
  return { name, help, type: 'gauge', series };
}

function counter(name: string, help: string, series: readonly Series[]): Family {
  return { name, help, type: 'counter', series };
}
