// Which of a guest's series leave the house: those with a value, fresh, as they were declared, and no more than a limit. A hostile
// guest names what it likes: it must neither make series without end nor pass for somebody else.

import type { Sample } from '../model/metric.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Declarations } from './fleet.ts';

/** How much of one VM is exported. */
export interface Limits {
  /** Series of one VM. */
  readonly series: number;
  /** A series that was not measured for so long is not exported, ms. */
  readonly staleMs: number;
}

/** Unless told otherwise. What the host tells most seldom (PSS) is measured twice in that time. */
export const DEFAULT_LIMITS: Limits = { series: 1000, staleMs: 60_000 };

/** Why a series is not exported. */
export type Refusal = 'too-many' | 'conflict' | 'reserved' | 'malformed';

/** A sample with a value. */
export interface BoundedSample extends Sample {
  readonly value: number;
  /** When it was measured, ms since the Unix epoch. */
  readonly at: number;
}

/** What is exported of one VM, what is not, and what there is none of. */
export interface BoundedSeries {
  readonly samples: readonly BoundedSample[];
  readonly refused: ReadonlyMap<Refusal, number>;
  readonly absent: readonly { readonly name: string; readonly source: string; readonly reason: string }[];
}

const MAX_ABSENT = 200;
const MAX_NAME = 200;
const MAX_ATTRIBUTES = 16;

/** Chooses among a VM's series. `now` in ms since the Unix epoch. */
export function boundSeries(snapshot: Snapshot, declarations: Declarations, limits: Limits, now: number): BoundedSeries {
  const samples: BoundedSample[] = [];
  const refused = new Map<Refusal, number>();
  const absent: BoundedSeries['absent'][number][] = [];
  for (const { latest, at } of snapshot.metrics.values()) {
    if (now - at > limits.staleMs) continue;
    if (latest.value === null) {
      if (absent.length < MAX_ABSENT) absent.push({ name: latest.name, source: latest.probe, reason: latest.absent ?? '' });
      continue;
    }
    const refusal = samples.length >= limits.series ? 'too-many' : findRefusal(latest, declarations);
    if (refusal === null) samples.push({ ...latest, value: latest.value, at });
    else refused.set(refusal, (refused.get(refusal) ?? 0) + 1);
  }
  return { samples, refused, absent };
}

function findRefusal(sample: Sample, declarations: Declarations): Refusal | null {
  const { name, attributes, value, kind, unit } = sample;
  const declared = declarations.get(name);
  // A name that is declared means one thing, whoever says it.
  if (declared !== undefined && (declared.kind !== kind || declared.unit !== unit)) return 'conflict';
  if (name.length > MAX_NAME || Object.keys(attributes).length > MAX_ATTRIBUTES) return 'malformed';
  if (value === null || !Number.isFinite(value) || (kind === 'counter' && value < 0)) return 'malformed';
  return null;
}
