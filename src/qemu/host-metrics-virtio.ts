// Buffers that virtio devices and the guest exchanged, by their queues' indices (QMP x-query-virtio…, QEMU 7.2 and newer;
// virtio 1.2 sections 2.7.6 and 2.7.8). For a network card a buffer is a packet.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { type Answer, askQmp, createSampleMaker, listOf } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findInteger, findMember, findText, type Json } from './qmp/exact-json.ts';

/** Metrics of virtio queues. */
export const VIRTIO_METRICS = {
  'system.network.packets': {
    kind: 'counter',
    unit: '{packet}',
    doc: 'Buffers the virtio-net device has returned to the guest (one packet each, more only for merged receive buffers).',
  },
  'unikernel.virtqueue.buffers': {
    kind: 'counter',
    unit: '{buffer}',
    doc: 'Buffers that a virtio device has returned to the guest, by queue.',
  },
  'unikernel.virtqueue.pending': {
    kind: 'gauge',
    unit: '{buffer}',
    doc: 'Buffers that a virtio device has taken from the guest and not returned, by queue: requests in flight.',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(VIRTIO_METRICS);

/** A guest can have many devices with many queues; nobody has more than this. */
const MAX_DEVICES = 32;
const MAX_QUEUES = 16;

interface Device {
  readonly kind: string;
  readonly path: string;
  readonly name: string;
  readonly queues: number;
  /** Why its queues are not read. */
  readonly closed: string | null;
}

/**
 * Counts buffers of one VM. Indices are 16 bits wide and run on: a network card's are read each second, so that up to 65535
 * packets a second and queue are counted right. They are set back with the device, which a RESET of the VM tells (`forget`).
 */
export class VirtioMetrics {
  private readonly monitor: Monitor;
  private devices: readonly Device[] = [];
  private refused: string | null = null;
  private readonly totals = new Map<string, { last: number; total: number }>();

  constructor(monitor: Monitor) {
    this.monitor = monitor;
  }

  /** Asks which devices there are. */
  async learnDevices(): Promise<void> {
    const answer = await askQmp(this.monitor, 'x-query-virtio');
    this.refused = 'refused' in answer ? answer.refused : null;
    const found = 'value' in answer ? listOf(answer.value, MAX_DEVICES) : [];
    this.devices = await Promise.all(found.map((device) => this.learn(device)));
  }

  /** The network cards. */
  async samplePackets(): Promise<Sample[]> {
    const absent = (why: string): Sample[] => [make.absent('system.network.packets', why)];
    if (this.refused !== null) return absent(this.refused);
    const cards = this.devices.filter(({ kind }) => kind === 'virtio-net');
    if (cards.length === 0) return absent('the VM has no virtio-net card; QEMU counts no packets of others');
    return (await Promise.all(cards.map((card) => this.sampleCard(card)))).flat();
  }

  /** The queues of all other devices; of cards they are among the packets' samples. */
  async sampleQueues(): Promise<Sample[]> {
    if (this.devices.length === 0) {
      const why = this.refused ?? 'the VM has no virtio device';
      return [make.absent('unikernel.virtqueue.buffers', why), make.absent('unikernel.virtqueue.pending', why)];
    }
    const others = this.devices.filter(({ kind, closed }) => kind !== 'virtio-net' && closed === null);
    const samples = await Promise.all(
      others.flatMap((device) => Array.from({ length: device.queues }, (_, queue) => this.sampleQueue(device, queue))),
    );
    return samples.flatMap((sample) => sample?.samples ?? []);
  }

  /** The VM was reset: queues begin at zero. */
  forget(): void {
    for (const count of this.totals.values()) count.last = 0;
  }

  private async learn(device: Json): Promise<Device> {
    const path = findText(findMember(device, 'path')) ?? '';
    const owner = path.replace(/\/virtio-backend$/, '');
    const [status, netdev] = await Promise.all([
      askQmp(this.monitor, 'x-query-virtio-status', { path }),
      askQmp(this.monitor, 'qom-get', { path: owner, property: 'netdev' }),
    ]);
    const named = 'value' in netdev ? findText(netdev.value) : null;
    return {
      kind: findText(findMember(device, 'name')) ?? '',
      path,
      name: named === null || named === '' ? owner.slice(owner.lastIndexOf('/') + 1) : named,
      queues: 'value' in status ? Math.min(findInteger(findMember(status.value, 'num-vqs')) ?? 0, MAX_QUEUES) : 0,
      closed: whyClosed(status),
    };
  }

  // Queues 2n receive and 2n + 1 transmit; an odd last one is the control queue (virtio 1.2 section 5.1.2).
  private async sampleCard(device: Device): Promise<Sample[]> {
    if (device.closed !== null) return [make.absent('system.network.packets', device.closed, { device: device.name })];
    const pairs = Math.max(1, Math.floor(device.queues / 2));
    const directions = ['receive', 'transmit'] as const;
    const read = await Promise.all(
      directions.map(async (direction, odd) => {
        const attributes = { device: device.name, direction };
        const queues = await Promise.all(Array.from({ length: pairs }, (_, pair) => this.sampleQueue(device, 2 * pair + odd)));
        const known = queues.filter((queue) => queue !== null);
        if (known.length === 0) {
          return [make.absent('system.network.packets', 'the guest has not set this queue up', attributes)];
        }
        const packets = known.reduce((sum, { total }) => sum + total, 0);
        return [make.value('system.network.packets', packets, attributes), ...known.flatMap(({ samples }) => samples)];
      }),
    );
    return read.flat();
  }

  private async sampleQueue(device: Device, queue: number): Promise<{ total: number; samples: Sample[] } | null> {
    const answer = await askQmp(this.monitor, 'x-query-virtio-queue-status', { path: device.path, queue });
    if ('refused' in answer) return null;
    const index = findInteger(findMember(answer.value, 'used-idx'));
    const size = findInteger(findMember(answer.value, 'vring-used'));
    // Without a ring in the guest's memory the driver has not set it up.
    if (index === null || size === 0) return null;
    const total = this.count(`${device.path} ${queue}`, index & 0xffff);
    const attributes = { device: device.name, queue: String(queue) };
    const pending = findInteger(findMember(answer.value, 'inuse'));
    return {
      total,
      samples: [
        make.value('unikernel.virtqueue.buffers', total, attributes),
        ...(pending === null ? [] : [make.value('unikernel.virtqueue.pending', pending, attributes)]),
      ],
    };
  }

  private count(key: string, index: number): number {
    const known = this.totals.get(key);
    const total = known === undefined ? index : known.total + ((index - known.last) & 0xffff);
    this.totals.set(key, { last: index, total });
    return total;
  }
}

// Asking for a queue of a vhost device makes QEMU ask its back end, and a vhost-user back end stops the ring to answer
// (VHOST_USER_GET_VRING_BASE, QEMU docs/interop/vhost-user.rst): looking would stop the guest's network. A packed ring's index
// (virtio 1.2 section 2.8) counts round the ring and not buffers.
function whyClosed(status: Answer): string | null {
  if ('refused' in status) return status.refused;
  if (findMember(status.value, 'vhost-dev') !== undefined) return 'vhost serves this device past QEMU, which cannot count for it';
  const transports = findMember(findMember(status.value, 'guest-features'), 'transports');
  const isPacked = listOf(transports, 64).some((text) => findText(text)?.startsWith('VIRTIO_F_RING_PACKED') === true);
  return isPacked ? 'its queues are packed rings, whose indices count no buffers' : null;
}
