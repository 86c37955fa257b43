// VMs for the tests of the exports: a snapshot made of samples, without a guest.

import type { ExportedVm } from '../../src/export/fleet.ts';
import type { Sample } from '../../src/model/metric.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { EMPTY_SNAPSHOT, reduce } from '../../src/session/reduce.ts';

/** A sample; what is not given is a gauge without unit of a probe called `test`. */
export function sample(name: string, value: number | null, more: Partial<Sample> = {}): Sample {
  return {
    name,
    attributes: {},
    value,
    unit: '',
    kind: 'gauge',
    absent: value === null ? 'for a reason' : null,
    probe: 'test',
    ...more,
  };
}

/** A VM that is up and has these samples, measured now. */
export function vmWith(name: string, samples: readonly Sample[], more: Partial<Snapshot> = {}, at = Date.now()): ExportedVm {
  const snapshot = { ...reduce(EMPTY_SNAPSHOT, { type: 'metrics', at, samples }), ...more };
  return {
    name,
    pid: 42,
    state: 'up',
    reason: null,
    since: at,
    roundsTaken: 1,
    samplesTaken: samples.length,
    crashCounts: new Map(snapshot.crashes.map(({ kind }) => [kind as string, 1])),
    crashes: () => snapshot.crashes,
    snapshot: () => snapshot,
  };
}
