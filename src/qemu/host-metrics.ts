// What the host knows of a VM without looking into it, one file a source. What /proc tells is read at each sample; what only the
// monitor tells is asked at most once a second, and what hardly changes every ten: a sample holds only what was read for it,
// so that a series keeps the time at which it was read. Names after OpenTelemetry's.

import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { BALLOON_METRICS, BalloonMetrics } from './host-metrics-balloon.ts';
import { BLOCK_METRICS, sampleDisks } from './host-metrics-block.ts';
import { KVM_METRICS, sampleExits } from './host-metrics-kvm.ts';
import { MACHINE_METRICS, sampleAllocated, sampleMigration, sampleResets } from './host-metrics-machine.ts';
import { PROCESS_METRICS, ProcessMetrics } from './host-metrics-process.ts';
import { VIRTIO_METRICS, VirtioMetrics } from './host-metrics-virtio.ts';
import type { Monitor } from './monitor.ts';

/** The metrics, declared as a probe declares its own. */
export const HOST_METRICS: Readonly<Record<string, MetricDeclaration>> = {
  ...PROCESS_METRICS,
  ...MACHINE_METRICS,
  ...KVM_METRICS,
  ...BLOCK_METRICS,
  ...VIRTIO_METRICS,
  ...BALLOON_METRICS,
};

/** Samples one VM. */
export interface HostSampler {
  /**
   * What is due: the first time all metrics, then those of /proc always, the monitor's once a second at most. What cannot be had is
   * there with its reason. Rejects only when the monitor is lost.
   */
  sample(): Promise<readonly Sample[]>;
  /** Leaves the VM as it was found. */
  close(): Promise<void>;
}

/** Somewhat less than the period, so that a sampler's own period of a second does not miss every other turn. */
const MONITOR_EVERY_MS = 950;
const SLOW_EVERY_MS = 9900;
/** Linux walks a process' page tables for PSS. */
const PROPORTIONAL_EVERY_MS = 29_000;

/** Makes a sampler. `pid` null: QEMU's process is not of this machine. `now`: a clock in ms, for tests. */
export function createHostSampler(
  monitor: Monitor,
  pid: number | null,
  now: () => number = () => performance.now(),
): HostSampler {
  const [process, virtio, balloon] = [new ProcessMetrics(monitor, pid), new VirtioMetrics(monitor), new BalloonMetrics(monitor)];
  const isMonitorDue = createCadence(MONITOR_EVERY_MS, now);
  const isSlowDue = createCadence(SLOW_EVERY_MS, now);
  const isProportionalDue = createCadence(PROPORTIONAL_EVERY_MS, now);
  let resets = 0;
  const unsubscribe = monitor.subscribe(({ name }) => {
    if (name !== 'RESET') return;
    resets += 1;
    virtio.forget();
  });

  const sources = [
    () => sampleDisks(monitor),
    () => sampleExits(monitor),
    () => virtio.samplePackets(),
    () => balloon.sample(),
  ].map((read) => ({ read, hasNothing: false }));
  // What this VM has not got is asked for seldom: no disk, no KVM, no balloon.
  const askOften = (isSlow: boolean): Promise<Sample[][]> =>
    Promise.all(
      sources
        .filter(({ hasNothing }) => isSlow || !hasNothing)
        .map(async (source) => {
          const samples = await source.read();
          source.hasNothing = samples.every(({ value }) => value === null);
          return samples;
        }),
    );
  const askSeldom = async (): Promise<Sample[]> => {
    await Promise.all([process.learnThreads(), virtio.learnDevices(), balloon.keepPolling()]);
    const asked = await Promise.all([sampleAllocated(monitor), sampleMigration(monitor), virtio.sampleQueues()]);
    return [...asked.flat(), ...(isProportionalDue() ? [process.sampleProportional()] : [])];
  };
  return {
    sample: async () => {
      const isSlow = isSlowDue();
      const slow = isSlow ? await askSeldom() : [];
      const often = isMonitorDue() || isSlow ? await askOften(isSlow) : [];
      return [...process.sample(), sampleResets(monitor, resets), ...often.flat(), ...slow];
    },
    close: async () => {
      unsubscribe();
      await balloon.close();
    },
  };
}

/** Tells whether `everyMs` have passed since it last said yes. */
function createCadence(everyMs: number, now: () => number): () => boolean {
  let last = -Infinity;
  return () => {
    if (now() - last < everyMs) return false;
    last = now();
    return true;
  };
}
