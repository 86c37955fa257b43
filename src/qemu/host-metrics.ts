// What the host knows of a VM without looking into it: vCPU time (proc(5), schedstat), RAM given and RAM resident, packets
// through its virtio-net queues (QMP x-query-virtio-queue-status). Names after OpenTelemetry's.

import { readFileSync } from 'node:fs';
import { errorCode, errorMessage } from '../model/error.ts';
import type { MetricDeclaration, Sample } from '../model/metric.ts';
import type { Monitor } from './monitor.ts';
import { findInteger, findMember, findText, type Json } from './qmp/exact-json.ts';

/** The metrics, declared as a probe declares its own. */
export const HOST_METRICS = {
  'system.cpu.time': {
    kind: 'counter',
    unit: 's',
    doc: 'Host CPU time used by a vCPU thread of QEMU (emulation included under TCG).',
  },
  'unikernel.memory.allocated': { kind: 'gauge', unit: 'By', doc: 'RAM the VM was given.' },
  'unikernel.memory.resident': {
    kind: 'gauge',
    unit: 'By',
    doc: 'Host memory that the QEMU process occupies: guest RAM touched so far and QEMU itself.',
  },
  'system.network.packets': {
    kind: 'counter',
    unit: '{packet}',
    doc: 'Buffers the virtio-net device has returned to the guest (one packet each, more only for merged receive buffers).',
  },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

type HostMetric = keyof typeof HOST_METRICS;

/** Samples one VM; keeps the last queue indices, which wrap at 2^16, so it must be asked more often than 65536 packets pass. */
export interface HostSampler {
  /** One sample of everything; what cannot be had is there with its reason. Rejects only when the monitor is lost. */
  sample(): Promise<readonly Sample[]>;
}

/** Makes a sampler. `pid` null: QEMU's process is not of this machine. */
export function createHostSampler(monitor: Monitor, pid: number | null): HostSampler {
  const packets = new PacketCounter(monitor);
  return {
    sample: async () => {
      const parts = await Promise.all([sampleCpuTime(monitor, pid), sampleAllocated(monitor), packets.sample()]);
      return [...parts.flat(), sampleResident(pid)];
    },
  };
}

function sampleOf(
  name: HostMetric,
  value: number | null,
  absent: string | null,
  attributes: Readonly<Record<string, string>> = {},
): Sample {
  const { kind, unit } = HOST_METRICS[name];
  return { name, attributes, value, unit, kind, absent, probe: 'qemu' };
}

async function sampleCpuTime(monitor: Monitor, pid: number | null): Promise<Sample[]> {
  if (pid === null)
    return [sampleOf('system.cpu.time', null, 'the QEMU process is not known here (another machine, or a container)')];
  const text = await monitor.hmp('info cpus');
  const threads = [...text.matchAll(/CPU #(\d+):.*?thread_id=(\d+)/g)].map(([, vcpu, thread]) => ({
    vcpu: vcpu!,
    thread: thread!,
  }));
  if (threads.length === 0) return [sampleOf('system.cpu.time', null, 'QEMU names no vCPU threads (info cpus)')];
  // Single-threaded TCG runs all vCPUs on one thread: its time is theirs together.
  const shared = new Set(threads.map(({ thread }) => thread)).size < threads.length;
  return (shared ? threads.slice(0, 1).map(({ thread }) => ({ vcpu: 'all', thread })) : threads).map(({ vcpu, thread }) => {
    const seconds = findThreadSeconds(pid, thread);
    return sampleOf('system.cpu.time', seconds, seconds === null ? `thread ${thread} of QEMU is gone` : null, { vcpu });
  });
}

/** Linux counts user-visible ticks at 100 Hz on every architecture Debian has; schedstat is exact but optional. */
const TICKS_PER_SECOND = 100;

function findThreadSeconds(pid: number, thread: string): number | null {
  const folder = `/proc/${pid}/task/${thread}`;
  const exact = /^(\d+) /.exec(findText(readText(`${folder}/schedstat`)) ?? '')?.[1];
  if (exact !== undefined && exact !== '0') return Number(exact) / 1e9;
  const fields = readText(`${folder}/stat`)
    ?.replace(/^.*\)\s*/s, '')
    .split(' ');
  const [user, system] = [Number(fields?.[11]), Number(fields?.[12])];
  return Number.isFinite(user + system) ? (user + system) / TICKS_PER_SECOND : null;
}

async function sampleAllocated(monitor: Monitor): Promise<Sample> {
  const bytes = await monitor.findMemoryBytes();
  return sampleOf(
    'unikernel.memory.allocated',
    bytes,
    bytes === null ? 'this QEMU does not say (query-memory-size-summary)' : null,
  );
}

const PAGE_BYTES = 4096;

function sampleResident(pid: number | null): Sample {
  // statm is open to every user, smaps_rollup only to those who may trace QEMU.
  const pages = pid === null ? undefined : readText(`/proc/${pid}/statm`)?.split(' ')[1];
  if (pages === undefined) return sampleOf('unikernel.memory.resident', null, 'the QEMU process is not known here, or gone');
  return sampleOf('unikernel.memory.resident', Number(pages) * PAGE_BYTES, null);
}

/** A guest can have many cards; nobody has more than this. */
const MAX_CARDS = 32;

class PacketCounter {
  private readonly monitor: Monitor;
  private readonly totals = new Map<string, { last: number; total: number }>();

  constructor(monitor: Monitor) {
    this.monitor = monitor;
  }

  async sample(): Promise<Sample[]> {
    const { qmp } = this.monitor;
    if (qmp === null) return [this.absent('a human monitor does not tell; start QEMU with -qmp')];
    try {
      const devices = await qmp.execute('x-query-virtio');
      const cards = (Array.isArray(devices) ? (devices as readonly Json[]) : []).filter(
        (device) => findText(findMember(device, 'name')) === 'virtio-net',
      );
      if (cards.length === 0) return [this.absent('the VM has no virtio-net card; QEMU counts no packets of others')];
      const samples = await Promise.all(
        cards.slice(0, MAX_CARDS).map((card) => this.sampleCard(findText(findMember(card, 'path')) ?? '')),
      );
      return samples.flat();
    } catch (error) {
      // Before 7.2 QEMU had no x-query-virtio.
      if (errorCode(error) === 'QMP_COMMAND') return [this.absent(errorMessage(error))];
      throw error;
    }
  }

  private async sampleCard(path: string): Promise<Sample[]> {
    const owner = path.replace(/\/virtio-backend$/, '');
    const device = (await this.findNetdev(owner)) ?? owner.slice(owner.lastIndexOf('/') + 1);
    const directions = ['receive', 'transmit'] as const;
    return Promise.all(
      directions.map(async (direction, queue) => {
        const status = await this.monitor.qmp?.execute('x-query-virtio-queue-status', { path, queue });
        const index = findInteger(findMember(status, 'used-idx'));
        if (index === null) return this.absent('the guest has not set this queue up', { device, direction });
        const value = this.count(`${path} ${queue}`, index & 0xffff);
        return sampleOf('system.network.packets', value, null, { device, direction });
      }),
    );
  }

  private async findNetdev(owner: string): Promise<string | null> {
    try {
      const netdev = findText(await this.monitor.qmp?.execute('qom-get', { path: owner, property: 'netdev' }));
      return netdev === '' ? null : netdev;
    } catch (error) {
      if (errorCode(error) === 'QMP_COMMAND') return null;
      throw error;
    }
  }

  /** `used-idx` is 16 bits and runs on; a reset of the device sets it back, which adds nothing wrong only if it is rare. */
  private count(key: string, index: number): number {
    const known = this.totals.get(key);
    const total = known === undefined ? index : known.total + ((index - known.last) & 0xffff);
    this.totals.set(key, { last: index, total });
    return total;
  }

  private absent(why: string, attributes: Readonly<Record<string, string>> = {}): Sample {
    return sampleOf('system.network.packets', null, why, attributes);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
