// What an export is made from: the VMs of this host, each a snapshot, and what the metrics in it were declared to be.

import type { Crash } from '../model/crash.ts';
import type { MetricDeclaration } from '../model/metric.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** A VM that is exported. */
export interface ExportedVm {
  /** Unique among those of this host; a VM that is started again has the name of the one before. */
  readonly name: string;
  readonly pid: number;
  /** `unreachable`: it runs, and nothing can be asked of it; `gone`: kept for a while, so that its last words are not missed. */
  readonly state: 'up' | 'unreachable' | 'gone';
  /** Why it is unreachable. */
  readonly reason: string | null;
  /** When it was attached to, ms since the Unix epoch. */
  readonly since: number;
  /** How often its metrics were taken so far, and how many values that gave. */
  readonly roundsTaken: number;
  readonly samplesTaken: number;
  /** Crashes by kind, those of earlier VMs of the same name included: it goes on counting over restarts. */
  readonly crashCounts: ReadonlyMap<string, number>;
  /** The newest of these crashes. */
  readonly crashes: () => readonly Crash[];
  readonly snapshot: () => Snapshot;
}

/** The VMs of this host, now. */
export interface Fleet {
  readonly vms: () => readonly ExportedVm[];
}

/** What metrics are declared to be, and who declares them. */
export interface DeclaredMetric extends MetricDeclaration {
  readonly name: string;
  /** The probe, or `qemu` for what the host knows. */
  readonly source: string;
}

/** Declarations by metric name: of those that do not agree the first counts. */
export type Declarations = ReadonlyMap<string, DeclaredMetric>;

/** Brings the declarations of many sources together. */
export function joinDeclarations(
  sources: readonly { readonly name: string; readonly metrics: Readonly<Record<string, MetricDeclaration>> }[],
): Declarations {
  const joined = new Map<string, DeclaredMetric>();
  for (const { name: source, metrics } of sources) {
    for (const [name, declaration] of Object.entries(metrics)) {
      if (!joined.has(name)) joined.set(name, { ...declaration, name, source });
    }
  }
  return joined;
}
