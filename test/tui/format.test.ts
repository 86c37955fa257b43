import { describe, expect, it } from 'vitest';
import { formatAge, formatClock, formatCount, formatJson, formatSample } from '../../tui/format.ts';
import { increments, sparkline } from '../../tui/sparkline.ts';

describe('numbers', () => {
  it.each([
    [1536, 'By', '1.50 KiB'],
    [498, 'us', '498.0µs'],
    [12.41, 's', '12.4s'],
    [1, '{cycle}', '1 cycle'],
    [1204, '{packet}', '1 204 packets'],
    [2, '{entry}', '2 entries'],
    [0.25, '1', '0.250'],
    [12.345, '%', '12.3 %'],
    [null, 'By', '–'],
    [0, 'By', '0 B'],
  ])('%s in %s reads %s', (value, unit, text) => {
    expect(formatSample({ value, unit })).toBe(text);
  });

  it('groups digits and gives up exactness where there is none', () => {
    expect(formatCount(1_234_567)).toBe('1 234 567');
    expect(formatCount(-1234)).toBe('-1 234');
    expect(formatCount(3e18)).toBe('3.0e+18');
    expect(formatCount(NaN)).toBe('NaN');
  });

  it('tells ages in three cells and clocks to the second', () => {
    expect([0, 59_999, 60_000, 7_200_000, 200_000_000].map(formatAge)).toEqual(['0s', '59s', '1m', '2h', '2d']);
    expect(formatAge(-500)).toBe('0s');
    expect(formatClock(3_723_000)).toBe('01:02:03');
  });

  it('writes addresses as hex and bytes as text in JSON', () => {
    expect(JSON.parse(formatJson({ at: 0x10n, bytes: Uint8Array.of(1, 255), map: new Map([['a', 1n]]) }))).toEqual({
      at: '0x10',
      bytes: '01ff',
      map: { a: '0x1' },
    });
  });
});

describe('sparklines', () => {
  it('span from the least to the greatest value', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
  });

  it('draw a level series low, an absent value as a gap, and nothing for nothing', () => {
    expect(sparkline([5, 5, 5], 3)).toBe('▁▁▁');
    expect(sparkline([0, null, 9], 3)).toBe('▁ █');
    expect(sparkline([null, NaN], 4)).toBe('    ');
    expect(sparkline([1, 2], 0)).toBe('');
  });

  it('show the newest values, padded on the left', () => {
    expect(sparkline([9, 0, 7], 2)).toBe('▁█');
    expect(sparkline([0, 7], 4)).toBe('  ▁█');
  });

  it('show rises of a counter; a counter that began anew is a gap', () => {
    expect(increments([1, 3, 3, 0, 2, null, 4])).toEqual([2, 0, null, 2, null, null]);
  });
});
