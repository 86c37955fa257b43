import { describe, expect, it } from 'vitest';
import type { Sample } from '../../src/model/metric.ts';
import { seriesKey } from '../../src/model/metric.ts';
import type { Series, Snapshot } from '../../src/model/snapshot.ts';
import { EMPTY_SNAPSHOT } from '../../src/session/reduce.ts';
import {
  addUp,
  findAbsence,
  findNanoseconds,
  findRate,
  findValue,
  increaseOf,
  levels,
  rises,
  stepsFor,
  trendOf,
} from '../../src/vitals/history.ts';

function series(values: readonly (number | null)[], given: Partial<Sample> = {}, everyMs = 1000): Series {
  const latest: Sample = {
    name: 'm',
    attributes: {},
    value: values.at(-1) ?? null,
    unit: '1',
    kind: 'counter',
    absent: null,
    probe: 'p',
    ...given,
  };
  const times = values.map((_, index) => 1_000_000 + index * everyMs);
  return { latest, at: times.at(-1) ?? 0, times, values };
}

const holding = (...all: readonly Series[]): Snapshot => ({
  ...EMPTY_SNAPSHOT,
  metrics: new Map(all.map((one) => [seriesKey(one.latest), one])),
});

describe('the increase of a counter', () => {
  it('is told over the window, with the time it took', () => {
    expect(increaseOf(series([0, 10, 30, 60]), 2000)).toEqual({ by: 50, ms: 2000 });
    expect(increaseOf(series([0, 10, 30, 60]), 60_000)).toEqual({ by: 60, ms: 3000 });
  });

  it('counts from where a counter began anew, and never across a gap', () => {
    expect(increaseOf(series([100, 110, 3, 5]), 60_000)).toEqual({ by: 12, ms: 3000 });
    expect(increaseOf(series([1, null, 5, 7]), 60_000)).toEqual({ by: 2, ms: 1000 });
    expect(increaseOf(series([7]), 60_000)).toBeNull();
  });

  it('of several series is their sum', () => {
    const two = holding(series([0, 10], { attributes: { cpu: '0' } }), series([5, 10], { attributes: { cpu: '1' } }));
    expect(findRate(two, 'm')).toBe(15);
    expect(findValue(two, 'm')).toBe(20);
    expect(findRate(two, 'other')).toBeNull();
  });
});

describe('a value', () => {
  it('of time is in nanoseconds whatever its unit', () => {
    expect(findNanoseconds(holding(series([2], { unit: 'ms' })), 'm')).toBe(2_000_000);
  });

  it('that cannot be had says why, one that nobody measures says nothing', () => {
    expect(findAbsence(holding(series([null], { absent: 'no such symbol' })), 'm')).toBe('no such symbol');
    expect(findAbsence(holding(series([1])), 'm')).toBeNull();
    expect(findAbsence(holding(), 'm')).toBeNull();
  });
});

describe('a trend', () => {
  const rising = Array.from({ length: 30 }, (_, index) => 100 + index * 4);

  it('is the slope a second', () => {
    expect(trendOf(series(rising), 60_000)).toBeCloseTo(4);
    expect(trendOf(series(rising.map((value, index) => value + (index % 2))), 60_000)).toBeCloseTo(4, 1);
  });

  it('is not told of too little', () => {
    expect(trendOf(series(rising.slice(0, 9)), 60_000)).toBeNull();
    expect(trendOf(series(rising, {}, 10), 60_000)).toBeNull();
  });
});

describe('steps of time', () => {
  it('are as fine as the width allows, and hold still while time goes on', () => {
    const values = Array.from({ length: 100 }, (_, index) => index);
    expect(stepsFor(series(values), 200).stepMs).toBe(1000);
    const steps = stepsFor(series(values), 30);
    expect(steps.stepMs).toBe(4000);
    const later = stepsFor(series([...values, 100, 101, 102, 103]), 30);
    expect(levels(series([...values, 100, 101, 102, 103]), later).slice(0, -1)).toEqual(levels(series(values), steps).slice(1));
  });

  it('hold the greatest value of a gauge and the rise of a counter; what is not known is null', () => {
    const steps = { stepMs: 2000, last: 501, count: 3 };
    expect(levels(series([5, 9, 4, 4]), steps)).toEqual([null, 9, 4]);
    expect(rises(series([5, 9, 12, 13]), steps)).toEqual([null, 4, 4]);
    expect(rises(series([5, 9, 2, 3]), steps)).toEqual([null, 4, 1]);
    expect(levels(undefined, steps)).toEqual([null, null, null]);
  });

  it('hold a level over samples that come late, but not over a value that was absent', () => {
    const late = { ...series([5, 9, 4]), times: [1_000_000, 1_003_000, 1_009_000] };
    const steps = { stepMs: 1000, last: 1009, count: 10 };
    expect(levels(late, steps)).toEqual([5, 5, 5, 9, null, null, null, null, null, 4]);
    expect(levels(series([5, null, 4]), { stepMs: 1000, last: 1002, count: 3 })).toEqual([5, null, 4]);
  });

  it('add up cell by cell', () => {
    expect(
      addUp([
        [1, null, null],
        [2, 3, null],
      ]),
    ).toEqual([3, 3, null]);
    expect(addUp([])).toEqual([]);
  });
});
