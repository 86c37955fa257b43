// The forecast of the end of memory: half-way to it, on histories that end in it, it is within 20 %.

import { describe, expect, it } from 'vitest';
import { exhaustionForecast, memoryExhaustion } from '../../src/checks/exhaustion.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { samplesOf } from '../../src/session/readings.ts';
import { reduce } from '../../src/session/reduce.ts';
import { type Given, snapshotOf } from '../support/snapshots.ts';

const MiB = 1024 ** 2;
const LIMIT = 256 * MiB;

function watched(seconds: number, usedAt: (second: number) => number): Snapshot {
  const rows = Array.from({ length: seconds + 1 }, (_, second): readonly Given[] => [
    ['unikernel.memory.used', usedAt(second), 'By'],
    ['unikernel.memory.limit', LIMIT, 'By'],
  ]);
  return snapshotOf(rows);
}

/** Seconds; a text when nothing is foretold. */
function forecast(snapshot: Snapshot): number | string {
  const reading = exhaustionForecast.derive(snapshot)?.['unikernel.memory.exhaustion.time'];
  if (reading === undefined || typeof reading !== 'object') return String(reading);
  if ('absent' in reading) return reading.absent;
  return Number(reading[0]!.value);
}

/** As a session does it: what is derived is known to the check. */
function findingOf(snapshot: Snapshot): ReturnType<typeof memoryExhaustion.find> {
  const readings = exhaustionForecast.derive(snapshot);
  const samples = readings === null ? [] : samplesOf(exhaustionForecast, readings);
  return memoryExhaustion.find(reduce(snapshot, { at: snapshot.at, type: 'metrics', samples }));
}

/** A generator of its own, so that each run sees the same noise. */
function noise(seed: number): (at: number) => number {
  return (at) => {
    const x = Math.sin(at * 12.9898 + seed * 78.233) * 43758.5453;
    return x - Math.floor(x) - 0.5;
  };
}

/** Histories that end when they reach the limit. */
const HISTORIES: readonly (readonly [string, (second: number) => number])[] = [
  ['a leak', (s) => 20 * MiB + s * 2 * MiB],
  ['a slow leak beside a garbage collector', (s) => 30 * MiB + s * 0.5 * MiB + (s % 9) * 2 * MiB],
  ['a leak in noise', (s) => 20 * MiB + s * 1.2 * MiB + noise(1)(s) * 10 * MiB],
  ['a leak by steps', (s) => 20 * MiB + Math.floor(s / 4) * 4 * MiB],
  ['a burst that goes on until memory ends', (s) => 10 * MiB + s * 20 * MiB],
  ['a leak after a burst', (s) => (s < 3 ? 10 * MiB + s * 20 * MiB : 70 * MiB + (s - 3) * 1.5 * MiB)],
  ['a leak that pauses now and then', (s) => 20 * MiB + (s - Math.floor(s / 10) * 2) * 2 * MiB],
];

describe('half-way to the end of memory the forecast is within 20 %', () => {
  it.each(HISTORIES)('of %s', (_name, usedAt) => {
    let end = 0;
    while (usedAt(end) < LIMIT) end += 1;
    const half = Math.floor(end / 2);
    const left = forecast(watched(half, usedAt));
    expect(left).toBeTypeOf('number');
    expect(Math.abs(Number(left) - (end - half)) / (end - half)).toBeLessThan(0.2);
  });

  it.each([60, 120, 300])('of a leak that began after %d calm seconds, half-way from its beginning', (calm) => {
    const usedAt = (s: number): number => 20 * MiB + Math.max(0, s - calm) * 3 * MiB + noise(2)(s) * MiB;
    const end = calm + (LIMIT - 20 * MiB) / (3 * MiB);
    const half = Math.floor(calm + (end - calm) / 2);
    const left = Number(forecast(watched(half, usedAt)));
    expect(Math.abs(left - (end - half)) / (end - half)).toBeLessThan(0.2);
  });
});

describe('nothing is foretold', () => {
  it.each([
    ['of steady use', () => 100 * MiB, 'memory is not growing'],
    ['of noise', (s: number) => 100 * MiB + noise(3)(s) * 20 * MiB, 'memory is not growing'],
    ["of a garbage collector's teeth", (s: number) => 100 * MiB + (s % 7) * 5 * MiB, 'memory is not growing'],
    ['of a burst that is over', (s: number) => (s < 10 ? 20 * MiB + s * 10 * MiB : 120 * MiB), 'memory is not growing'],
    ['of memory given back', (s: number) => 200 * MiB - s * MiB, 'memory is not growing'],
    ['of very slow growth', (s: number) => 100 * MiB + s * 300, 'memory is not growing'],
  ])('%s', (_name, usedAt, why) => {
    expect(forecast(watched(90, usedAt))).toBe(why);
    expect(findingOf(watched(90, usedAt))).toBeNull();
  });

  it('too early', () => {
    expect(forecast(watched(2, (s) => s * 30 * MiB))).toBe('it has not been watched long enough yet');
  });

  it('of a guest whose use or limit is not known', () => {
    expect(exhaustionForecast.derive(snapshotOf([[['unikernel.memory.used', 1, 'By']]]))).toBeNull();
    expect(
      exhaustionForecast.derive(
        snapshotOf([
          [
            ['unikernel.memory.used', null],
            ['unikernel.memory.limit', 1],
          ],
        ]),
      ),
    ).toBeNull();
  });
});

describe('the finding', () => {
  it('is a warning within ten minutes of the end, critical within one', () => {
    const growing = watched(20, (s) => 20 * MiB + s * MiB);
    expect(findingOf(growing)).toEqual({
      severity: 'warning',
      message: 'memory will be used up in 3m36s if it goes on like this (40.0 MiB of 256 MiB now)',
    });
    expect(findingOf(watched(20, (s) => 20 * MiB + s * 10 * MiB))?.severity).toBe('critical');
  });

  it('tells the heap of a runtime that has a limit of its own', () => {
    const rows = Array.from({ length: 20 }, (_, s): readonly Given[] => [
      ['unikernel.memory.used', 50 * MiB, 'By'],
      ['unikernel.memory.limit', LIMIT, 'By'],
      ['v8js.memory.heap.used', s * 4 * MiB, 'By'],
      ['v8js.memory.heap.limit', 128 * MiB, 'By'],
    ]);
    expect(findingOf(snapshotOf(rows))?.message).toMatch(/^V8's heap will be used up in 13\.0s/);
    expect(exhaustionForecast.derive(snapshotOf(rows))).toEqual({
      'unikernel.memory.exhaustion.time': [{ value: 13, attributes: { heap: 'V8' } }],
    });
  });
});
