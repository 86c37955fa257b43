// Counters of few bits begin anew at 0: lwIP's and the indices of virtqueues have 16. Added up here, sample by sample, so that
// whoever takes a difference takes the right one. What wraps twice between two samples is lost: sample often enough.

import { type Sample, seriesKey } from '../model/metric.ts';

/** More series than this are not kept apart: the guest decides how many there are. */
const MAX_SERIES = 4096;

/** Adds up counters of one guest. */
export class CounterWraps {
  private readonly known = new Map<string, { readonly raw: number; readonly before: number }>();

  /** The counter's value since the first sample of it, which counts as it is. `wrapsAt`: the value it never has. */
  add(sample: Pick<Sample, 'name' | 'attributes' | 'probe'>, raw: number, wrapsAt: number): number {
    const key = `${sample.probe} ${seriesKey(sample)}`;
    const last = this.known.get(key);
    const before = last === undefined ? 0 : last.before + (raw < last.raw ? wrapsAt : 0);
    if (last !== undefined || this.known.size < MAX_SERIES) this.known.set(key, { raw, before });
    return before + raw;
  }

  /** The guest was reset: its counters begin anew without having wrapped. */
  reset(): void {
    this.known.clear();
  }
}
