// Readings become metrics; counters go on when the connection was another one, and begin anew with the program.

import { describe, expect, it } from 'vitest';
import { absentMetrics, HeapMetrics, INSPECTOR_METRICS } from '../../src/inspector/metrics.ts';
import { decodeReading, decodeUsage, type HeapReading } from '../../src/inspector/reading.ts';
import { COLLECTORS } from '../../src/model/collectors.ts';
import { type Sample, seriesKey } from '../../src/model/metric.ts';

/** As guest-program.ts returns it. */
function said(gc: object = {}, loop: object | null = { idle: 1000, active: 3000 }): object {
  return {
    statistics: { used_heap_size: 10, total_heap_size: 20, total_physical_size: 15, heap_size_limit: 100, external_memory: 5 },
    spaces: [{ space_name: 'new_space', space_size: 8, space_used_size: 4, space_available_size: 3, physical_space_size: 7 }],
    gc: { totals: {}, recent: [], isWhole: true, ...gc },
    loop,
  };
}

function valuesOf(samples: readonly Sample[]): Readonly<Record<string, number | null>> {
  return Object.fromEntries(samples.map((sample) => [seriesKey(sample), sample.value]));
}

function take(
  metrics: HeapMetrics,
  reading: HeapReading,
  program = 'a',
  attachment = 1,
): Readonly<Record<string, number | null>> {
  return valuesOf(metrics.take(reading, program, attachment));
}

describe('a reading', () => {
  it('is the heap, its spaces and the event loop, as the program itself says', () => {
    const values = take(new HeapMetrics(), decodeReading(said()));
    expect(values).toMatchObject({
      ...{ 'v8js.memory.heap.used': 10, 'v8js.memory.heap.size': 20, 'v8js.memory.heap.limit': 100, 'v8js.gc.cycles': 0 },
      'v8js.memory.heap.space.used_size{v8js.heap.space.name=new_space}': 4,
      'nodejs.eventloop.time{nodejs.eventloop.state=active}': 3,
      'nodejs.eventloop.utilization': 0.75,
      'v8js.gc.pause.last': null,
    });
  });

  it('counts collections by kind, their pauses in ns', () => {
    const gc = {
      totals: { minor: { count: 3, ms: 6 }, major: { count: 1, ms: 4 } },
      recent: [
        { kind: 'minor', ms: 1 },
        { kind: 'major', ms: 4 },
      ],
    };
    expect(take(new HeapMetrics(), decodeReading(said(gc)))).toMatchObject({
      ...{ 'v8js.gc.cycles': 1, 'v8js.gc.minor.cycles': 3, 'v8js.gc.pause.time': 10e6, 'v8js.gc.pause.last': 4e6 },
      ...{ 'v8js.gc.pause{quantile=0.5}': 1e6, 'v8js.gc.pause{quantile=1}': 4e6 },
    });
  });

  it('without evaluation knows only used and held', () => {
    expect(take(new HeapMetrics(), decodeUsage({ usedSize: 3, totalSize: 4 }))).toEqual({
      'v8js.memory.heap.used': 3,
      'v8js.memory.heap.size': 4,
    });
  });

  it('has only declared metrics, and all that the collectors name', () => {
    const gc = { totals: { minor: { count: 1, ms: 1 } }, recent: [{ kind: 'minor', ms: 1 }] };
    const samples = new HeapMetrics().take(decodeReading(said(gc)), 'a', 1);
    const names = new Set([...samples, ...absentMetrics('why')].map(({ name }) => name));
    expect([...names].filter((name) => !(name in INSPECTOR_METRICS))).toEqual([]);
    const collector: object = COLLECTORS.find(({ title }) => title === 'V8')!;
    const named = Object.values(collector).filter((name): name is string => typeof name === 'string' && name !== 'V8');
    expect(named.filter((name) => !(name in INSPECTOR_METRICS))).toEqual([]);
  });
});

describe('counters', () => {
  const minor = (count: number): HeapReading => decodeReading(said({ totals: { minor: { count, ms: count } } }));
  it('go on over a new connection to the same program', () => {
    const metrics = new HeapMetrics();
    take(metrics, minor(5), 'a', 1);
    expect(take(metrics, minor(2), 'a', 2)['v8js.gc.minor.cycles']).toBe(7);
    expect(take(metrics, minor(3), 'a', 2)['v8js.gc.minor.cycles']).toBe(8);
    expect(take(metrics, minor(1), 'a', 3)['v8js.gc.minor.cycles']).toBe(9);
  });

  it('begin anew with another program', () => {
    const metrics = new HeapMetrics();
    take(metrics, minor(5), 'a', 1);
    expect(take(metrics, minor(2), 'b', 2)['v8js.gc.minor.cycles']).toBe(2);
  });
});

describe('a hostile guest', () => {
  const lies: readonly object[] = [
    { ...said(), statistics: { used_heap_size: -1 } },
    { ...said(), statistics: { used_heap_size: '10' } },
    { ...said(), statistics: Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`x${index}`, 1])) },
    { ...said(), spaces: Array.from({ length: 1000 }, () => (said() as { spaces: object[] }).spaces[0]) },
    { ...said(), gc: { totals: { 'a new kind': { count: 1, ms: 1 } }, recent: [], isWhole: true } },
    said({ recent: Array.from({ length: 1000 }, () => ({ kind: 'minor', ms: 1 })) }),
    said({ totals: { minor: { count: Number.NaN, ms: 1 } } }),
    {},
  ];
  it.each(lies)('that says %j is refused', (value) => {
    expect(() => decodeReading(value)).toThrow(expect.objectContaining({ code: 'INSPECTOR_MALFORMED' }) as Error);
  });

  it('chooses no name that harms', () => {
    const [space] = (said() as { spaces: object[] }).spaces;
    const { spaces } = decodeReading({ ...said(), spaces: [{ ...space, space_name: '\u001b[31mspace' }] });
    expect(spaces[0]?.name).toBe('\\x1b[31mspace');
  });
});
