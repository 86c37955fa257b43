// Everybody who declares metrics, in the order in which one's declaration counts before another's: docs/metrics.md lists them.

import { PROBES } from '../../../probes/agentless/index.ts';
import { DERIVATIONS } from '../../checks/index.ts';
import { type Declarations, joinDeclarations } from '../../export/fleet.ts';
import { INSPECTOR_METRICS, INSPECTOR_PROBE } from '../../inspector/metrics.ts';
import type { MetricDeclaration } from '../../model/metric.ts';
import { NETWORK_METRICS } from '../../network/network-metrics.ts';
import { HOST_METRICS } from '../../qemu/host-metrics.ts';
import { GC_LOGS } from '../../runtimes/gc-log.ts';

/** A source of metrics. */
export interface MetricSource {
  /** As in the samples' `probe`, where one name is enough for that. */
  readonly name: string;
  readonly doc: string;
  /** Systems that have them. */
  readonly systems: readonly string[];
  readonly metrics: Readonly<Record<string, MetricDeclaration>>;
}

/** All of them. */
export const METRIC_SOURCES: readonly MetricSource[] = [
  {
    name: 'qemu',
    doc: 'The VM from its host: nothing of the guest is read.',
    systems: ['every VM'],
    metrics: HOST_METRICS,
  },
  ...PROBES,
  ...DERIVATIONS.map(({ name, doc, metrics }) => ({
    name,
    doc,
    metrics,
    systems: ['wherever there is what it is computed from'],
  })),
  {
    name: 'wire',
    doc: 'What goes over the network cards, while packets are captured.',
    systems: ['VMs with a netdev'],
    metrics: NETWORK_METRICS,
  },
  {
    name: INSPECTOR_PROBE,
    doc: 'What a V8 guest says over its inspector (`--inspect`).',
    systems: ['v8'],
    metrics: INSPECTOR_METRICS,
  },
  ...GC_LOGS.map(({ runtime, flag, metrics }) => ({
    name: `console (${runtime})`,
    doc: `What the collector's own log on the console says; \`${flag}\` turns it on.`,
    systems: [runtime],
    metrics,
  })),
];

/** What all metrics are declared to be. */
export function exportDeclarations(): Declarations {
  return joinDeclarations(METRIC_SOURCES);
}
