// The VM as QEMU itself sees it: RAM it was given, since when it runs, whether it is being migrated (QMP query-migrate,
// qapi/migration.json).

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { askQmp, createSampleMaker } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findMember, findText } from './qmp/exact-json.ts';

/** Metrics of the machine. */
export const MACHINE_METRICS = {
  'unikernel.memory.allocated': { kind: 'gauge', unit: 'By', doc: 'RAM the VM was given.' },
  'unikernel.vm.resets': { kind: 'counter', unit: '{reset}', doc: 'Resets of the VM since unidbg looks at it.' },
  'unikernel.vm.migration': {
    kind: 'gauge',
    unit: '{migration}',
    doc: 'One, with the state of a migration of this VM to another host; there is no series while there is none.',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(MACHINE_METRICS);

/** RAM by QEMU's own account. */
export async function sampleAllocated(monitor: Monitor): Promise<Sample> {
  const bytes = await monitor.findMemoryBytes();
  if (bytes === null) return make.absent('unikernel.memory.allocated', 'this QEMU does not say (query-memory-size-summary)');
  return make.value('unikernel.memory.allocated', bytes);
}

/** `resets`: how many were heard of. */
export function sampleResets(monitor: Monitor, resets: number): Sample {
  if (!monitor.hasEvents) return make.absent('unikernel.vm.resets', 'a human monitor tells no events; start QEMU with -qmp');
  return make.value('unikernel.vm.resets', resets);
}

/** The state of a migration, in QEMU's words. */
export async function sampleMigration(monitor: Monitor): Promise<Sample> {
  const answer = await askQmp(monitor, 'query-migrate');
  if ('refused' in answer) return make.absent('unikernel.vm.migration', answer.refused);
  const state = findText(findMember(answer.value, 'status'));
  if (state === null || state === 'none') return make.absent('unikernel.vm.migration', 'this VM has never been migrated');
  return make.value('unikernel.vm.migration', 1, { state });
}
