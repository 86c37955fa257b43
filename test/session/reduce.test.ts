import { describe, expect, it } from 'vitest';
import type { GuestEvent } from '../../src/model/event.ts';
import type { Sample } from '../../src/model/metric.ts';
import { CONSOLE_LINES, EMPTY_SNAPSHOT, HISTORY_POINTS, reduce, reduceAll } from '../../src/session/reduce.ts';

const line = (number: number, text = `line ${number}`, partial = false): GuestEvent => ({
  at: number,
  type: 'console',
  line: { number, source: 'serial0', text, partial, notes: [] },
});

const sample = (name: string, value: number | null): Sample => ({
  name,
  attributes: {},
  value,
  unit: 'By',
  kind: 'gauge',
  absent: value === null ? 'off' : null,
  probe: 'test',
});

describe('the fold', () => {
  it('gives the same snapshot whether events come singly or together', () => {
    const events: GuestEvent[] = [
      line(1),
      line(2, 'par', true),
      line(2, 'partial no more'),
      { at: 3, type: 'vm', status: 'running', reason: null },
      line(3),
      { at: 4, type: 'metrics', samples: [sample('a', 1)] },
      line(4),
    ];
    const singly = events.reduce(reduce, EMPTY_SNAPSHOT);
    expect(reduceAll(EMPTY_SNAPSHOT, events)).toEqual(singly);
    expect(singly.console.map((entry) => entry.text)).toEqual(['line 1', 'partial no more', 'line 3', 'line 4']);
  });

  it('leaves the snapshot it was given untouched', () => {
    const before = reduceAll(EMPTY_SNAPSHOT, [line(1), { at: 1, type: 'metrics', samples: [sample('a', 1)] }]);
    const copy = structuredClone(before);
    reduceAll(before, [line(2), { at: 2, type: 'metrics', samples: [sample('a', 2)] }]);
    expect(before).toEqual(copy);
  });

  it('keeps the newest console lines and counts the dropped', () => {
    const events = Array.from({ length: CONSOLE_LINES + 5 }, (_, index) => line(index + 1));
    const snapshot = reduceAll(EMPTY_SNAPSHOT, events);
    expect(snapshot.console).toHaveLength(CONSOLE_LINES);
    expect(snapshot.consoleDropped).toBe(5);
    expect(snapshot.console[0]?.number).toBe(6);
  });

  it('keeps absent values in the history as null, not as zero', () => {
    const values = [1, null, 3];
    const snapshot = values.reduce<typeof EMPTY_SNAPSHOT>(
      (state, value, index) => reduce(state, { at: index * 1000, type: 'metrics', samples: [sample('a', value)] }),
      EMPTY_SNAPSHOT,
    );
    expect(snapshot.metrics.get('a')?.values).toEqual(values);
  });

  it('bounds history and the number of series', () => {
    let snapshot = EMPTY_SNAPSHOT;
    for (let index = 0; index < HISTORY_POINTS + 10; index += 1)
      snapshot = reduce(snapshot, { at: index * 1000, type: 'metrics', samples: [sample('a', index)] });
    expect(snapshot.metrics.get('a')?.times).toHaveLength(HISTORY_POINTS);
    const flood = Array.from({ length: 5_000 }, (_, index) => sample(`hostile.${index}`, 1));
    const flooded = reduce(snapshot, { at: 1e6, type: 'metrics', samples: flood });
    expect(flooded.metrics.size).toBeLessThanOrEqual(2_000);
    expect(flooded.diagnostics.map((entry) => entry.code)).toContain('too-many-series');
  });

  it('keeps of samples that come faster than four a second the newest of each quarter, and always the latest', () => {
    let snapshot = EMPTY_SNAPSHOT;
    for (let at = 0; at <= 1000; at += 10) snapshot = reduce(snapshot, { at, type: 'metrics', samples: [sample('a', at)] });
    const series = snapshot.metrics.get('a')!;
    expect(series.latest.value).toBe(1000);
    expect(series.times.length).toBeLessThan(8);
    expect(series.times.at(-1)).toBe(1000);
    expect(series.values).toEqual(series.times);
  });

  it('forgets that a metric is absent once it comes in parts', () => {
    const part = { ...sample('a', 1), attributes: { quantile: '1' } };
    const snapshot = reduceAll(EMPTY_SNAPSHOT, [
      { at: 0, type: 'metrics', samples: [sample('a', null)] },
      { at: 1000, type: 'metrics', samples: [part] },
    ]);
    expect([...snapshot.metrics.keys()]).toEqual(['a{quantile=1}']);
  });

  it('keeps what a check found until it is over, and since when', () => {
    const finding = { check: 'gc-never-runs', severity: 'warning', message: 'it does not run', active: true } as const;
    const found = reduceAll(EMPTY_SNAPSHOT, [
      { at: 5, type: 'finding', finding },
      { at: 9, type: 'finding', finding: { ...finding, message: 'still not' } },
    ]);
    expect(found.findings).toEqual([{ ...finding, message: 'still not', since: 5 }]);
    expect(reduce(found, { at: 12, type: 'finding', finding: { ...finding, active: false } }).findings).toEqual([]);
  });

  it('forgets the stop once the VM is no longer held by the debugger', () => {
    const held = reduceAll(EMPTY_SNAPSHOT, [
      { at: 1, type: 'vm', status: 'debug', reason: null },
      { at: 1, type: 'stopped', vcpu: 0, reason: 'step', frames: [] },
    ]);
    expect(held.stop?.reason).toBe('step');
    expect(reduce(held, { at: 2, type: 'vm', status: 'running', reason: null }).stop).toBeNull();
  });
});
