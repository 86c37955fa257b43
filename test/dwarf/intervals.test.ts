import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LruCache } from '../../src/dwarf/cache.ts';
import { IntervalIndex } from '../../src/dwarf/intervals.ts';

const intervals = fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.integer({ min: -5, max: 40 })), { maxLength: 60 });

describe('an interval index', () => {
  it('finds the same intervals as looking at each of them, the smallest first in source order', () => {
    fc.assert(
      fc.property(intervals, fc.integer({ min: -60, max: 100 }), (pairs, at) => {
        const index = new IntervalIndex(pairs.flatMap(([start, size], value) => [start, start + size, value]));
        const holding = pairs.flatMap(([start, size], value) =>
          start <= at && at < start + size ? [{ start, size, value }] : [],
        );
        const found = index.findAll(at).map((position) => index.valueAt(position));
        expect(found.sort((a, b) => a - b)).toEqual(holding.map(({ value }) => value));
        const smallest = index.findSmallest(at);
        const least = Math.min(...holding.map(({ size }) => size));
        expect(smallest < 0 ? Infinity : index.endAt(smallest) - index.startAt(smallest)).toBe(least);
      }),
    );
  });

  it('takes bounded time where hostile intervals all overlap', () => {
    const triples = Array.from({ length: 300_000 }, (_, index) => [index, 1e9, index]).flat();
    const index = new IntervalIndex(triples);
    expect(index.findAll(299_999).length).toBeLessThan(10_000);
  });
});

describe('a least-recently-used cache', () => {
  const make = (made: string[], key: string) => () => {
    made.push(key);
    return { key };
  };

  it('makes what it does not hold, once', () => {
    const cache = new LruCache<string, { key: string }>(4);
    const made: string[] = [];
    for (const key of ['a', 'b', 'a', 'a', 'b']) expect(cache.get(key, make(made, key)).key).toBe(key);
    expect(made).toEqual(['a', 'b']);
  });

  it('forgets what was not used lately, and keeps what was', () => {
    const cache = new LruCache<string, { key: string }>(4);
    const made: string[] = [];
    for (const key of ['hot', 'a', 'hot', 'b', 'hot', 'c', 'hot', 'd', 'hot', 'e', 'hot', 'a']) cache.get(key, make(made, key));
    expect(made).toEqual(['hot', 'a', 'b', 'c', 'd', 'e', 'a']);
  });

  it('never holds more than its limit in cost, but for one entry that exceeds it alone', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(30))), (uses) => {
        const alive = new Map<number, number>();
        const cache = new LruCache<number, { cost: number }>(50, ({ cost }) => cost);
        for (const [key, cost] of uses) cache.get(key, () => ({ cost }));
        for (let key = 0; key <= 20; key += 1) {
          const fresh = { cost: 0 };
          const found = cache.get(key, () => fresh);
          if (found !== fresh) alive.set(key, found.cost);
        }
        expect([...alive.values()].reduce((sum, cost) => sum + cost, 0)).toBeLessThanOrEqual(50 + 30);
      }),
    );
  });

  it('does not remember what could not be made', () => {
    const cache = new LruCache<string, object>(4);
    const fail = (): object => {
      throw new Error('no');
    };
    expect(() => cache.get('a', fail)).toThrow('no');
    expect(cache.get('a', () => ({ fine: true }))).toEqual({ fine: true });
  });
});
