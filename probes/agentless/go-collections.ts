// Collections and pauses of a Go program: members of runtime.memstats (runtime/mstats.go), or the same found in a program without types.
// There the run of members `last_gc_unix, pause_total_ns, pause_ns[256], pause_end[256], numgc, numforcedgc, gc_cpu_fraction`, one
// after another in every release from 1.4 to 1.27, is known by what it must say of itself: the newest end of a pause is the time of
// the last collection, and pauses add up to their total. Before the first collection it is all zeros, and is not found.

import type { ProbeGuest } from '../../src/model/probe.ts';
import { pagesOf, viewOf } from './go-evidence.ts';
import { arrayWords, number } from './go-values.ts';
import type { TypedValue } from './typed.ts';

/** What the runtime counts of its collections; null: not kept under a known name. */
export interface Collections {
  readonly count: number | null;
  readonly forced: number | null;
  readonly pauseTotal: number | null;
  /** Pauses of the newest 256 collections, both stops of one together; a ring, ns. */
  readonly ring: readonly bigint[];
  /** Part of the program's CPU time. */
  readonly cpu: number | null;
}

const RING = 256;
const [TOTAL, PAUSES, ENDS, COUNT] = [8, 16, 16 + RING * 8, 16 + RING * 16];
const BYTES = COUNT + 16;
/** Places that are looked at closely. */
const MAX_CANDIDATES = 4096;

/** By types. */
export function readCollections(guest: ProbeGuest, memstats: TypedValue): Collections {
  return {
    count: number(memstats.member('numgc')),
    forced: number(memstats.member('numforcedgc')),
    pauseTotal: number(memstats.member('pause_total_ns')),
    ring: arrayWords(guest, memstats.member('pause_ns')),
    cpu: number(memstats.member('gc_cpu_fraction')),
  };
}

const known = new WeakMap<object, bigint>();

/** By evidence; null when there is none, as before the first collection. */
export function findCollections(guest: ProbeGuest): Collections | null {
  const before = known.get(guest.symbols);
  const again = before === undefined ? null : collectionsAt(guest, before);
  if (again !== null) return again;
  let candidates = 0;
  for (const [start, view] of pagesOf(guest, 'runtime.noptrbss', 'runtime.enoptrbss')) {
    for (let at = 0; at + 16 <= view.byteLength && candidates < MAX_CANDIDATES; at += 8) {
      // The time of the last collection, and all pauses together: neither is 0 after one.
      if (isZero(view, at) || isZero(view, at + TOTAL)) continue;
      candidates += 1;
      const found = collectionsAt(guest, start + BigInt(at));
      if (found === null) continue;
      known.set(guest.symbols, start + BigInt(at));
      return found;
    }
  }
  return null;
}

function collectionsAt(guest: ProbeGuest, address: bigint): Collections | null {
  const view = viewOf(guest, address, BYTES);
  const [count, forced] = [view?.getUint32(COUNT, true) ?? 0, view?.getUint32(COUNT + 4, true) ?? 0];
  if (view === null || count === 0 || forced > count) return null;
  const cpu = view.getFloat64(COUNT + 8, true);
  if (!(cpu >= 0 && cpu <= 1)) return null;
  const newest = ENDS + 8 * ((count + RING - 1) % RING);
  if (view.getBigUint64(newest, true) !== view.getBigUint64(0, true)) return null;
  const ring = Array.from({ length: RING }, (_, index) => view.getBigUint64(PAUSES + 8 * index, true));
  const sum = ring.reduce((all, pause) => all + pause, 0n);
  const pauseTotal = view.getBigUint64(TOTAL, true);
  if (count <= RING ? sum !== pauseTotal || ring.slice(count).some((pause) => pause !== 0n) : sum > pauseTotal) return null;
  return { count, forced, pauseTotal: Number(pauseTotal), ring, cpu };
}

function isZero(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === 0 && view.getUint32(at + 4, true) === 0;
}
