// Crashes of many runs, put together where they are the same bug: by signature, and by what the signature of one would be if less were
// known of it (`Crash.alternatives`).

import type { Crash } from '../model/crash.ts';
import type { CrashGroup, Sighting } from '../model/report.ts';

/** A crash, where and when. */
export interface SeenCrash {
  readonly crash: Pick<Crash, 'kind' | 'title' | 'signature' | 'alternatives'>;
  readonly seen: Sighting;
}

interface Bucket {
  readonly signature: string;
  /** Signatures under which less knowing texts of it go. */
  readonly alternatives: Set<string>;
  readonly crashes: SeenCrash[];
}

/** One group for each bug, the most frequent first. */
export function groupCrashes(crashes: readonly SeenCrash[]): readonly CrashGroup[] {
  const buckets = new Map<string, Bucket>();
  for (const seen of crashes) {
    const { signature, alternatives } = seen.crash;
    const bucket = buckets.get(signature) ?? { signature, alternatives: new Set(), crashes: [] };
    buckets.set(signature, bucket);
    bucket.crashes.push(seen);
    for (const alternative of alternatives) bucket.alternatives.add(alternative);
  }
  const all = [...buckets.values()];
  const homes = new Map(all.map((bucket) => [bucket, homeOf(bucket, all)]));
  const members = Map.groupBy(all, (bucket) => homes.get(bucket) ?? bucket);
  return [...members].map(([home, own]) => toGroup(home, own)).sort(byCountThenTime);
}

/**
 * The bucket that a less knowing one belongs to: the only one that could look like it. When several could (a null dereference and a
 * division in the same function, and a text that only says "fault"), nobody can tell, and it stays by itself.
 */
function homeOf(bucket: Bucket, all: readonly Bucket[]): Bucket {
  const wider = all.filter((other) => other !== bucket && other.alternatives.has(bucket.signature));
  // Of those that know more, the ones that nobody else knows more than.
  const best = wider.filter((other) => !wider.some((third) => third !== other && third.alternatives.has(other.signature)));
  return best.length === 1 ? best[0]! : bucket;
}

function toGroup(home: Bucket, own: readonly Bucket[]): CrashGroup {
  const crashes = own.flatMap(({ crashes }) => crashes).toSorted((a, b) => timeOf(a) - timeOf(b));
  const { kind, title } = home.crashes[0]!.crash;
  const alternatives = new Set(own.flatMap((bucket) => [bucket.signature, ...bucket.alternatives]));
  alternatives.delete(home.signature);
  return {
    signature: home.signature,
    alternatives: [...alternatives],
    kind,
    title,
    count: crashes.length,
    first: crashes[0]!.seen,
    last: crashes.at(-1)!.seen,
    sources: [...new Set(crashes.map(({ seen }) => seen.source))],
  };
}

/** What has no time comes last, in the order it was given. */
function timeOf({ seen }: SeenCrash): number {
  return seen.at ?? Number.MAX_SAFE_INTEGER;
}

function byCountThenTime(a: CrashGroup, b: CrashGroup): number {
  return b.count - a.count || (a.first.at ?? Infinity) - (b.first.at ?? Infinity) || (a.title < b.title ? -1 : 1);
}
