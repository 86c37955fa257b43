// Built-in checks of a running guest, and metrics that are computed from others. Each is one file in src/checks + one line in its list;
// the session asks them after each sample.

import type { Finding } from './finding.ts';
import type { MetricDeclaration } from './metric.ts';
import type { Readings } from './probe.ts';
import type { Snapshot } from './snapshot.ts';

/** A built-in check. */
export interface Check {
  readonly name: string;
  readonly doc: string;
  /** Looks at what is known; null = nothing to say. Pure, and cheap: it is asked after each sample. */
  readonly find: (snapshot: Snapshot) => Pick<Finding, 'severity' | 'message'> | null;
}

/** Metrics computed from others, as if a probe had read them. */
export interface Derivation<M extends string = string> {
  readonly name: string;
  readonly doc: string;
  readonly metrics: Readonly<Record<M, MetricDeclaration>>;
  /** Null where there is nothing to compute from: then the metrics are not there at all. Pure, and cheap. */
  readonly derive: (snapshot: Snapshot) => Readings<M> | null;
}

/** Defines a derivation; ties its names to the declared metrics. */
export function defineDerivation<M extends string>(derivation: Derivation<M>): Derivation<M> {
  return derivation;
}
