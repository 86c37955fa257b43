// How often each vCPU left the guest, where KVM counts it (QMP query-stats, QEMU 7.1 and newer; qapi/stats.json).

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { askQmp, createSampleMaker, listOf } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findMember, findText, type Json } from './qmp/exact-json.ts';

/** Metrics of KVM. */
export const KVM_METRICS = {
  'unikernel.cpu.exits': {
    kind: 'counter',
    unit: '{exit}',
    doc: 'Times a vCPU left the guest for KVM: interrupts, device accesses, halts.',
  },
  'unikernel.cpu.halts': {
    kind: 'counter',
    unit: '{exit}',
    doc: 'Times a vCPU left the guest because it had nothing to do (HLT).',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(KVM_METRICS);

const NAMES = { exits: 'unikernel.cpu.exits', halt_exits: 'unikernel.cpu.halts' } as const;
const MAX_VCPUS = 1024;
const MAX_STATS = 256;

const QUESTION = { target: 'vcpu', providers: [{ provider: 'kvm', names: Object.keys(NAMES) }] };

/** One sample of all vCPUs. */
export async function sampleExits(monitor: Monitor): Promise<Sample[]> {
  const answer = await askQmp(monitor, 'query-stats', QUESTION);
  if ('refused' in answer) return make.allAbsent(`${answer.refused}; QEMU 7.1 and newer have query-stats`);
  const samples = listOf(answer.value, MAX_VCPUS).flatMap(sampleVcpu);
  if (samples.length > 0) return samples;
  return make.allAbsent('KVM counts exits, and this VM does not run under KVM (start QEMU with -accel kvm)');
}

// A vCPU is told by its place in QEMU's object tree; they come in the order of their numbers.
function sampleVcpu(result: Json, vcpu: number): Sample[] {
  return listOf(findMember(result, 'stats'), MAX_STATS).flatMap((stat) => {
    const name = findText(findMember(stat, 'name'));
    const value = findMember(stat, 'value');
    if (name === null || !Object.hasOwn(NAMES, name) || (typeof value !== 'number' && typeof value !== 'bigint')) return [];
    return [make.value(NAMES[name as keyof typeof NAMES], Number(value), { vcpu: String(vcpu) })];
  });
}
