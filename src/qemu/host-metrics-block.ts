// What QEMU's block layer counts of each disk of the VM (QMP query-blockstats, qapi/block-core.json).

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { askQmp, createSampleMaker, listOf } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findMember, findText, type Json } from './qmp/exact-json.ts';

/** Metrics of disks; `direction` is `read`, `write` or `flush`. */
export const BLOCK_METRICS = {
  'system.disk.io': { kind: 'counter', unit: 'By', doc: 'Bytes the guest has read from and written to a disk of the VM.' },
  'system.disk.operations': {
    kind: 'counter',
    unit: '{operation}',
    doc: "Requests of the guest that QEMU's disk has carried out.",
  },
  'system.disk.operation_time': { kind: 'counter', unit: 's', doc: 'Time that requests to a disk took, all together.' },
  'system.disk.errors': { kind: 'counter', unit: '{error}', doc: 'Requests to a disk that failed.' },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(BLOCK_METRICS);

const MAX_DISKS = 64;
const DIRECTIONS = [
  ['read', 'rd'],
  ['write', 'wr'],
  ['flush', 'flush'],
] as const;

/** One sample of all disks. */
export async function sampleDisks(monitor: Monitor): Promise<Sample[]> {
  const answer = await askQmp(monitor, 'query-blockstats');
  if ('refused' in answer) return make.allAbsent(answer.refused);
  const disks = listOf(answer.value, MAX_DISKS);
  if (disks.length === 0) return make.allAbsent('the VM has no disk');
  return disks.flatMap((disk, index) => sampleDisk(disk, nameOf(disk, index)));
}

function sampleDisk(disk: Json, device: string): Sample[] {
  const stats = findMember(disk, 'stats');
  return DIRECTIONS.flatMap(([direction, word]) => {
    const counter = (name: keyof typeof BLOCK_METRICS, member: string, divisor = 1): Sample[] => {
      const value = findMember(stats, member);
      const isCount = typeof value === 'number' || typeof value === 'bigint';
      return isCount ? [make.value(name, Number(value) / divisor, { device, direction })] : [];
    };
    return [
      ...counter('system.disk.io', `${word}_bytes`),
      ...counter('system.disk.operations', `${word}_operations`),
      ...counter('system.disk.operation_time', `${word}_total_time_ns`, 1e9),
      ...counter('system.disk.errors', `failed_${word}_operations`),
    ];
  });
}

/** The drive's id; a disk made by -blockdev has none: its device's path in QEMU, or its node. */
function nameOf(disk: Json, index: number): string {
  const owner = findText(findMember(disk, 'qdev'))
    ?.replace(/\/virtio-backend$/, '')
    .replace(/^\/machine\/(peripheral|peripheral-anon|unattached)\//, '');
  return [findText(findMember(disk, 'device')), owner, findText(findMember(disk, 'node-name'))].find(Boolean) ?? String(index);
}
