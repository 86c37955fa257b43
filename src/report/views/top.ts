// `top`: the whole guest at a glance: CPU, memory, collectors, network, findings, the busiest threads. As JSON: every metric there is.

import { formatCount, formatNanoseconds, formatShare, formatSize } from '../../model/quantity.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { findNanoseconds, findRate, findSeries, findValue, rateOf } from '../../vitals/history.ts';
import { gc } from './gc.ts';
import { ps } from './ps.ts';
import type { View } from './view.ts';

const MAX_THREADS = 20;

export const top: View = {
  name: 'top',
  doc: 'show the whole guest at a glance: CPU, memory, garbage collection, network, the busiest threads',
  notes: `
--json prints every metric that this guest has, with the reason where it has no value: the names are those that
\`unidbg assert\` takes. CPU is the host's view of the vCPUs; under TCG emulation is in it.`,
  settleMs: 1600,
  captures: false,
  lines: (seen) => {
    const { snapshot } = seen;
    const collectors = gc.lines(seen);
    const threads = ps.lines(seen);
    const more = threads.length - 1 - MAX_THREADS;
    return [
      headLine(snapshot),
      cpuLine(snapshot),
      memoryLine(snapshot),
      networkLine(snapshot),
      ...snapshot.findings.map(({ severity, message }) => `${severity === 'critical' ? '!!' : '!'} ${message}`),
      ...snapshot.crashes.slice(-1).map(({ kind, title }) => `✖ ${kind}: ${title}`),
      '',
      ...collectors.filter((line) => !line.startsWith('!')),
      '',
      ...threads.slice(0, MAX_THREADS + 1),
      ...(more > 0 ? [`… ${more} more: unidbg ps`] : []),
    ].filter((line, index, all) => line !== '' || all[index - 1] !== '');
  },
  document: ({ snapshot }) => ({
    unikernel: snapshot.identity?.unikernel ?? null,
    state: snapshot.vm.status,
    findings: snapshot.findings,
    crashes: snapshot.crashes.map(({ kind, title, signature }) => ({ kind, title, signature })),
    metrics: [...snapshot.metrics.values()].map(({ latest, ...series }) => ({
      ...latest,
      perSecond: latest.kind === 'counter' ? rateOf([{ latest, ...series }]) : null,
    })),
  }),
};

function headLine({ identity, vm, threads, at }: Snapshot): string {
  const states = new Map<string, number>();
  for (const { state } of threads) states.set(state, (states.get(state) ?? 0) + 1);
  const counted = [...states].map(([state, count]) => `${count} ${state}`).join(', ');
  return [
    identity?.name ?? 'vm',
    identity?.unikernelTitle ?? 'unknown unikernel',
    `${vm.status}${vm.reason === null ? '' : ` (${vm.reason})`}`,
    ...(threads.length === 0 ? [] : [`${threads.length} threads: ${counted}`]),
    new Date(at).toISOString().slice(11, 19),
  ].join(' · ');
}

function cpuLine(snapshot: Snapshot): string {
  const all = findSeries(snapshot, 'system.cpu.time').filter(({ latest }) => latest.attributes['vcpu'] !== undefined);
  const shares = all.map((series) => {
    const rate = rateOf([series]);
    return `vcpu ${series.latest.attributes['vcpu'] ?? ''} ${rate === null ? '–' : formatShare(rate)}`;
  });
  const uptime = findNanoseconds(snapshot, 'unikernel.uptime');
  return `cpu     ${[...shares, ...(uptime === null ? [] : [`up ${formatNanoseconds(uptime)}`])].join(' · ') || 'not known'}`;
}

function memoryLine(snapshot: Snapshot): string {
  const size = (label: string, name: string): readonly string[] => {
    const value = findValue(snapshot, name);
    return value === null ? [] : [`${label} ${formatSize(value)}`];
  };
  const forecast = findValue(snapshot, 'unikernel.memory.exhaustion.time');
  return `memory  ${[
    ...size('used', 'unikernel.memory.used'),
    ...size('of', 'unikernel.memory.limit'),
    ...size('given', 'unikernel.memory.allocated'),
    ...size('resident', 'unikernel.memory.resident'),
    ...(forecast === null ? [] : [`used up in ${Math.round(forecast)} s`]),
  ].join(' · ')}`;
}

function networkLine(snapshot: Snapshot): string {
  // The same packets may be counted by the guest's driver, by QEMU and on the wire: they are not added up.
  const direction = (name: string, wanted: string): number | null => {
    const all = findSeries(snapshot, name).filter(({ latest }) => latest.attributes['direction'] === wanted);
    const rates = [...Map.groupBy(all, ({ latest }) => latest.probe).values()].flatMap((series) => rateOf(series) ?? []);
    return rates.length === 0 ? null : Math.max(...rates);
  };
  const parts = (['receive', 'transmit'] as const).flatMap((wanted) => {
    const bytes = direction('system.network.io', wanted);
    const packets = direction('system.network.packets', wanted);
    const rates = [
      ...(bytes === null ? [] : [`${formatSize(bytes)}/s`]),
      ...(packets === null ? [] : [`${formatCount(Math.round(packets))} packets/s`]),
    ];
    return rates.length === 0 ? [] : [`${wanted === 'receive' ? 'in' : 'out'} ${rates.join(' ')}`];
  });
  const connections = findRate(snapshot, 'unikernel.network.tcp.retransmits');
  return `network ${[...parts, ...(connections === null || connections === 0 ? [] : [`${formatCount(connections)} segments/s sent again`])].join(' · ') || 'not known'}`;
}
