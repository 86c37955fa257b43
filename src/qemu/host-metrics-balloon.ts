// The balloon: how much RAM it leaves to the guest, and what the guest's own balloon driver says of its memory (QEMU
// docs/interop/virtio-balloon-stats.rst; virtio 1.2 section 5.5.6.3). The driver is asked only while polling is on: where it is
// off it is switched on, and off again by `close`.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { askQmp, createSampleMaker, listOf } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findInteger, findMember, findText } from './qmp/exact-json.ts';

/** Metrics of the balloon. What the guest says here is its word, and no measurement of ours. */
export const BALLOON_METRICS = {
  'unikernel.memory.balloon': { kind: 'gauge', unit: 'By', doc: 'RAM that the balloon leaves to the guest.' },
  'unikernel.balloon.memory': {
    kind: 'gauge',
    unit: 'By',
    doc: "The guest's memory as its own balloon driver reports it: total, free, available without swapping, in disk caches.",
  },
  'unikernel.balloon.faults': {
    kind: 'counter',
    unit: '{fault}',
    doc: "Page faults as the guest's balloon driver reports them.",
  },
  'unikernel.balloon.age': { kind: 'gauge', unit: 's', doc: 'Since when the guest has not reported its memory to the balloon.' },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(BALLOON_METRICS);
const REPORTED = Object.keys(BALLOON_METRICS).filter(
  (name) => name !== 'unikernel.memory.balloon',
) as (keyof typeof BALLOON_METRICS)[];

/** Seconds between two questions to the guest. */
const POLLING_S = 2;
const MAX_DEVICES = 1000;
const STATS = [
  ['unikernel.balloon.memory', 'stat-total-memory', { state: 'total' }],
  ['unikernel.balloon.memory', 'stat-free-memory', { state: 'free' }],
  ['unikernel.balloon.memory', 'stat-available-memory', { state: 'available' }],
  ['unikernel.balloon.memory', 'stat-disk-caches', { state: 'cached' }],
  ['unikernel.balloon.faults', 'stat-major-faults', { type: 'major' }],
  ['unikernel.balloon.faults', 'stat-minor-faults', { type: 'minor' }],
] as const;

/** Reads the balloon of one VM; owns the polling it switched on. */
export class BalloonMetrics {
  private readonly monitor: Monitor;
  /** Path of the balloon in QEMU's object tree. */
  private path: string | null = null;
  private switchedOn = false;

  constructor(monitor: Monitor) {
    this.monitor = monitor;
  }

  /** Sees to it that the driver is asked: somebody else may have switched that off since. */
  async keepPolling(): Promise<void> {
    if (this.path === null || (await this.get('guest-stats-polling-interval')) !== 0) return;
    const answer = await this.setPolling(POLLING_S);
    this.switchedOn ||= 'value' in answer;
  }

  async sample(): Promise<Sample[]> {
    const answer = await askQmp(this.monitor, 'query-balloon');
    if ('refused' in answer) {
      const why = `the VM has no balloon: start QEMU with -device virtio-balloon-pci (${answer.refused})`;
      return make.allAbsent(this.monitor.qmp === null ? answer.refused : why);
    }
    if (this.path === null) {
      this.path = await this.findPath();
      await this.keepPolling();
    }
    const left = findInteger(findMember(answer.value, 'actual'));
    const balloon =
      left === null ? make.absent('unikernel.memory.balloon', 'QEMU does not say') : make.value('unikernel.memory.balloon', left);
    return [balloon, ...(await this.sampleReported())];
  }

  /** Switches polling off again, if it was us. */
  async close(): Promise<void> {
    if (!this.switchedOn || this.monitor.qmp?.connected !== true) return;
    this.switchedOn = false;
    await this.setPolling(0);
  }

  private async sampleReported(): Promise<Sample[]> {
    const absent = (why: string): Sample[] => REPORTED.map((name) => make.absent(name, why));
    if (this.path === null) return absent('the balloon is not of virtio: it keeps no statistics');
    const stats = await this.get('guest-stats');
    const at = findInteger(findMember(stats, 'last-update'));
    if (at === null || at === 0)
      return absent("the guest's balloon driver reports nothing: it has none, or none with statistics");
    return [
      ...STATS.flatMap(([name, member, attributes]) => {
        // What a driver does not know it leaves at 2^64 - 1.
        const value = findInteger(findMember(findMember(stats, 'stats'), member));
        return value === null ? [] : [make.value(name, value, attributes)];
      }),
      make.value('unikernel.balloon.age', Math.max(0, Math.round(Date.now() / 1000) - at)),
    ];
  }

  private async findPath(): Promise<string | null> {
    for (const folder of ['/machine/peripheral', '/machine/peripheral-anon']) {
      const answer = await askQmp(this.monitor, 'qom-list', { path: folder });
      const children = 'value' in answer ? listOf(answer.value, MAX_DEVICES) : [];
      const balloon = children.find((child) => findText(findMember(child, 'type'))?.startsWith('child<virtio-balloon') === true);
      const name = findText(findMember(balloon, 'name'));
      if (name !== null) return `${folder}/${name}`;
    }
    return null;
  }

  private async get(property: string): Promise<Parameters<typeof findMember>[0]> {
    const answer = await askQmp(this.monitor, 'qom-get', { path: this.path, property });
    return 'value' in answer ? answer.value : undefined;
  }

  private setPolling(seconds: number): ReturnType<typeof askQmp> {
    const property = 'guest-stats-polling-interval';
    return askQmp(this.monitor, 'qom-set', { path: this.path, property, value: seconds });
  }
}
