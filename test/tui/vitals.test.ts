// The panels of GC, memory, network and threads: what they claim, beyond how their screens look (screens.test.ts).

import { describe, expect, it } from 'vitest';
import { seriesKey } from '../../src/model/metric.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { areaLines, bar, marks } from '../../tui/chart.ts';
import { drawScreen } from '../../tui/compose.ts';
import { fact, factLines } from '../../tui/facts.ts';
import { FIRST_KEY, nextSort, sorted } from '../../tui/sorting.ts';
import { lineText, lineWidth, toCells } from '../../tui/text.ts';
import { update } from '../../tui/update.ts';
import { gcLines } from '../../tui/views/gc.ts';
import { fullnessStyle, memoryLines } from '../../tui/views/memory.ts';
import { shortName } from '../../tui/views/metrics.ts';
import { FLOWS, makeBusy, NETWORK } from './busy-guest.ts';
import { openState, press, screenText } from './draw.ts';
import { makeSnapshot, NOW, THREADS } from './guest.ts';

const busy = makeBusy();
const open = openState();

/** The busy guest with one metric's value replaced. */
function withValue(name: string, value: number | null, absent: string | null = null): Snapshot {
  const metrics = new Map(busy.metrics);
  for (const [key, series] of busy.metrics) {
    if (series.latest.name === name) metrics.set(key, { ...series, latest: { ...series.latest, value, absent } });
  }
  return makeBusy({ metrics });
}

const textOf = (lines: ReturnType<typeof gcLines>): string => lines.map(lineText).join('\n');

describe('charts', () => {
  const labels = { top: '8', bottom: '0', width: 2 };

  it('fill from zero to the top in eighths of a row, leave gaps where nothing is known, and never draw a little as nothing', () => {
    const lines = areaLines({ values: [0, 1, 4, 8, null, 0.01], top: 8, height: 2, labels, styleOf: () => 'spark' });
    expect(lines.map(lineText)).toEqual([' 8│   █  ', ' 0│ ▂██ ▁']);
  });

  it('draw a line where the area does not reach it', () => {
    expect(lineText(areaLines({ values: [8, 1], top: 8, height: 2, labels, styleOf: () => 'spark', line: 8 })[0]!)).toBe(' 8│█╌');
  });

  it('mark where something happened', () => {
    expect(marks([0, 1, null, 3], '▴')).toBe(' ▴ ▴');
  });

  it('bars are as wide as asked for, whatever their values', () => {
    for (const [value, limit, full] of [
      [0, 0, 0],
      [5, 3, 10],
      [50, 80, 10],
      [1e-9, 0, 1e9],
      [7, 10, 10],
    ] as const) {
      expect(lineWidth(bar(value, limit, full, 13, 'good'))).toBe(13);
    }
    expect(lineText(bar(5, 8, 10, 10, 'good'))).toBe('█████░░░  ');
  });
});

describe('facts', () => {
  it('are never broken in two while one fits', () => {
    const facts = [fact('free', '8 MiB'), fact('peak', '56 MiB'), fact('trend', 'level')];
    expect(factLines(null, facts, 30).map(lineText)).toEqual([' free 8 MiB · peak 56 MiB', ' trend level']);
    for (let width = 4; width < 50; width += 1) {
      for (const line of factLines(null, facts, width)) expect(lineWidth(line)).toBeLessThanOrEqual(width);
    }
  });
});

describe('sorting', () => {
  const keys = [
    { name: 'size', value: ({ size }: { size: number | null }) => size, descending: true },
    { name: 'name', value: ({ name }: { name: string }) => name, descending: false },
  ];
  const items = [
    { name: 'b', size: 1 },
    { name: 'a', size: null },
    { name: 'c', size: 3 },
  ];
  const names = (sort: { by: number; reversed: boolean }): string =>
    sorted(items, keys, sort)
      .map(({ name }) => name)
      .join('');

  it('goes by the key asked for, either way; what is not known is always last', () => {
    expect(names(FIRST_KEY)).toBe('cba');
    expect(names({ by: 0, reversed: true })).toBe('bca');
    expect(names(nextSort(FIRST_KEY, 2))).toBe('abc');
    expect(names({ by: 1, reversed: true })).toBe('cba');
  });
});

describe('the GC panel', () => {
  it('marks each collection under the heap it emptied', () => {
    const rows = textOf(gcLines(busy, 160, 20)).split('\n');
    const marked = rows.find((row) => row.includes('cycles│'))!;
    // 150 samples a second apart, a collection every 12 s; 150 cells, one a second.
    expect(marked.match(/▴/g)).toHaveLength(12);
    const top = rows[1]!;
    for (const { index } of marked.matchAll(/▴/g)) expect(top[index]).not.toBe('█');
  });

  it('tells pace, pauses with their quantiles, and what is absent with its reason', () => {
    const text = textOf(gcLines(busy, 100, 20));
    expect(text).toContain('cycles 212  5.0/min · allocates 512 KiB/s');
    expect(text).toContain('p50 210.0µs · p99 800.0µs · max 1.2ms');
    expect(text).toContain('heap.marked: Go 1.18 and older keep it only while they collect');
  });

  it('says of a guest without a collector that there is none, and of one that cannot be read why', () => {
    expect(textOf(gcLines(makeSnapshot({ metrics: new Map() }), 80, 20))).toContain('no garbage collector is known here');
    const stripped = { ...busy.metrics.get('go.memory.gc.cycles')!.latest, value: null, absent: 'the program is stripped' };
    const series = { latest: stripped, at: NOW, times: [NOW], values: [null] };
    const text = textOf(gcLines(makeSnapshot({ metrics: new Map([[seriesKey(stripped), series]]) }), 80, 20));
    expect(text).toBe(' Go – the program is stripped');
  });

  it('scrolls where it is higher than its place', () => {
    const first = screenText(busy, press(open, busy, '8').state);
    const { state } = press(open, busy, '8', 'G');
    expect(state.tops.gc).toBeGreaterThan(0);
    expect(screenText(busy, state)).not.toBe(first);
    expect(screenText(busy, state)).toContain('keep it');
    expect(press(state, busy, 'g').state.tops.gc).toBe(0);
  });
});

describe('the memory panel', () => {
  it('never mixes what was given, what is resident and what is used', () => {
    const text = textOf(memoryLines(busy, 80, 20));
    expect(text).toMatch(/allocated to the VM +█+ 128 MiB/);
    expect(text).toMatch(/resident on the host +█+▎ +94\.9 MiB/);
    expect(text).toMatch(/used by the guest +█+▋░ +55\.9 MiB of 64\.0 MiB 87 %/);
  });

  it('warns from 80 % on and alarms from 95 %', () => {
    expect([0.1, 0.79, 0.8, 0.94, 0.95, 1.2].map(fullnessStyle)).toEqual(['good', 'good', 'warning', 'warning', 'bad', 'bad']);
  });

  it('tells when it will be full, or why nobody can tell', () => {
    expect(textOf(memoryLines(busy, 80, 20))).toContain('full in 57s, at this pace');
    const level = withValue('unikernel.memory.exhaustion.time', null, 'it does not grow');
    expect(textOf(memoryLines(level, 80, 20))).toContain('no forecast: it does not grow');
  });

  it('says why the use is not known', () => {
    const unread = withValue('unikernel.memory.used', null, 'the kernel has no symbols');
    expect(textOf(memoryLines(unread, 80, 20))).toContain('used by the guest     – the kernel has no symbols');
  });

  it('shows failed allocations in red', () => {
    const failed = memoryLines(busy, 80, 20)
      .flat()
      .findIndex(({ text }) => text.startsWith('allocation failures'));
    expect(memoryLines(busy, 80, 20).flat()[failed + 1]).toEqual({ text: '2', style: 'bad' });
  });
});

describe('the network panel', () => {
  it('shows what failed in red, with its words, at any width', () => {
    for (const width of [80, 200]) {
      const { state } = press(openState(width, 50), busy, '9', 'e');
      const text = screenText(busy, state);
      expect(text).toContain('✖ tcp');
      expect(text).toContain('handshake ended by the guest: unknown CA');
      expect(text).toContain('A db.internal → NXDOMAIN');
    }
  });

  it('sorts flows by s, and the other way by S', () => {
    const remotes = (...keys: string[]): string[] =>
      [...screenText(busy, press(openState(200, 50), busy, '9', 'e', ...keys).state).matchAll(/(?:→|←) (\d+\.\S+)/g)].map(
        (match) => match[1]!,
      );
    expect(remotes()).toEqual(['10.0.2.2:40211', '93.184.216.34:443', '10.0.2.3:53', '10.0.2.9:5432']);
    expect(remotes('s', 's').slice(0, 3)).not.toContain('10.0.2.2:40211');
    expect(remotes('s', 's', 's', 's', 'S')[0]).toBe('93.184.216.34:443');
  });

  it('opens a flow with Enter and follows it', () => {
    const { state } = press(open, busy, '9', 'j', 'j', 'j', 'enter');
    expect(state.overlay).toMatchObject({ kind: 'flow', id: '2' });
    const more = {
      ...NETWORK,
      flows: FLOWS.map((flow) => (flow.id === '2' ? { ...flow, sent: { ...flow.sent, packets: 99 } } : flow)),
    };
    expect(screenText(makeBusy({ network: more }), state)).toContain('in 99 packets');
    expect(screenText(makeBusy({ network: { ...NETWORK, flows: [] } }), state)).toContain('this flow is no longer kept');
  });

  it('says how to capture, and sends the wish', () => {
    const quiet = makeSnapshot();
    expect(screenText(quiet, press(open, quiet, '9', 'e').state)).toContain(':capture on');
    expect(press(open, quiet, ':', '"capture on"', 'enter').intents).toEqual([{ type: 'capture', on: true }]);
    expect(press(open, quiet, ':', '"capture off"', 'enter').intents).toEqual([{ type: 'capture', on: false }]);
    expect(press(open, quiet, ':', '"capture"', 'enter').intents).toEqual([]);
  });

  it('keeps only what a filter matches, also in remarks', () => {
    const text = screenText(busy, press(open, busy, '9', 'e', '/', '"nxdomain"', 'enter').state);
    expect(text).toContain('10.0.2.3:53');
    expect(text).not.toContain('5432');
  });
});

describe('the threads panel', () => {
  const later = (ms: number, busyNs: number): Snapshot =>
    makeSnapshot({
      threadsAt: NOW + ms,
      threads: THREADS.map((thread) => ({ ...thread, cpuTimeNs: (thread.cpuTimeNs ?? 0) + (thread.id === '3' ? busyNs : 0) })),
    });

  it('tells the CPU of each between two looks, and puts the busiest first', () => {
    const first = update(press(open, makeSnapshot(), '4', 'e').state, { type: 'guest' }, makeSnapshot({ threadsAt: NOW })).state;
    const second = update(first, { type: 'guest' }, later(2000, 740_000_000)).state;
    const rows = screenText(later(2000, 740_000_000), second).split('\n').slice(3);
    expect(rows[0]).toMatch(/^ +3 network +37 % +waiting +network_poll {2}packet/);
    // A look too soon after the last changes nothing.
    expect(update(second, { type: 'guest' }, later(2100, 0)).state.cpu).toBe(second.cpu);
  });

  it('sorts by name too', () => {
    const rows = screenText(makeSnapshot(), press(open, makeSnapshot(), '4', 'e', 's', 's', 's').state)
      .split('\n')
      .slice(3);
    expect(rows[0]).toContain('gc');
  });
});

describe('findings', () => {
  it('stand in the header, on their panel, and at the bottom once, until they are over', () => {
    const told = update(open, { type: 'guest' }, busy).state;
    const rows = screenText(busy, press(told, busy, '6').state).split('\n');
    expect(rows[0]).toContain('! memory-exhaustion');
    expect(rows[1]).toContain('memory is full in 57 s');
    expect(rows.slice(14).join('\n')).toContain('✖ memory is full in 57 s');
    expect(told.message).toMatchObject({ style: 'bad' });
    expect(update({ ...told, message: null }, { type: 'guest' }, busy).state.message).toBeNull();
    const over = makeBusy({ findings: [] });
    const calm = update(told, { type: 'guest' }, over).state;
    expect(screenText(over, { ...calm, message: null })).not.toContain('memory-exhaustion');
    // Found again, it is told again.
    expect(update({ ...calm, message: null }, { type: 'guest' }, busy).state.message).not.toBeNull();
  });
});

describe('names of metrics', () => {
  it.each([
    ['unikernel.memory.heap.used', 26, 'unikernel.memory.heap.used'],
    ['unikernel.memory.heap.used', 20, 'uni.memory.heap.used'],
    ['unikernel.memory.heap.used', 15, 'u.mem.heap.used'],
    ['system.network.io net0 receive', 26, 's.network.io net0 receive'],
    ['go.memory.gc.cycles', 10, '…gc.cycles'],
  ])('%s in %i cells read %s', (name, width, short) => {
    expect(shortName(name, width)).toBe(short);
  });
});

describe('a guest with two thousand series and a thousand flows', () => {
  const [series] = busy.metrics.values();
  const metrics = new Map(busy.metrics);
  for (let index = metrics.size; index < 2000; index += 1) {
    const latest = { ...series!.latest, name: `unikernel.memory.pool.${index}`, attributes: {} };
    metrics.set(latest.name, { ...series!, latest });
  }
  const flows = Array.from({ length: 1000 }, (_, index) => ({ ...FLOWS[index % 4]!, id: String(index) }));
  const huge = makeBusy({ metrics, network: { ...NETWORK, flows } });

  it.each(['4', '6', '8', '9'])('takes less than 20 ms a frame with panel %s expanded', (digit) => {
    const { state } = press(openState(200, 50), huge, digit, 'e');
    const times = Array.from({ length: 15 }, () => {
      const from = performance.now();
      drawScreen(huge, state).map((line) => toCells(line, 200));
      return performance.now() - from;
    });
    // The best of many: this machine also runs other tests.
    expect(Math.min(...times)).toBeLessThan(20);
  });
});
