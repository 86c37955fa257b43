import { describe, expect, it } from 'vitest';
import { stripPrefixes } from '../../src/console/prefixes.ts';

describe('prefixes of carriers', () => {
  it.each([
    ['[    0.133179] panic: x'],
    ['[1.004] panic: x'],
    ['<vm> panic: x'],
    ['<6>[    1.000000] panic: x'],
    ['2026-11-21T03:41:31.1234567Z panic: x'],
    ['2026-11-21T03:41:31.123456789+01:00 panic: x'],
    ['2026-11-21 03:41:31,123 panic: x'],
    ['[2026-11-21 03:41:31] panic: x'],
    ['03:41:31.123 panic: x'],
    ['Nov  1 03:41:31 host qemu[123]: panic: x'],
    ['web_1-a  | panic: x'],
    ['web-1  | 2026-11-21T03:41:31Z [    0.1] panic: x'],
  ])('are taken off: %s', (line) => {
    expect(stripPrefixes(line)).toBe('panic: x');
  });

  it('leave text that only looks alike', () => {
    for (const line of [
      'panic: [1] x',
      '[registers]',
      '[backtrace]',
      '12 | 13',
      '<unknown> x',
      'Novel text: a',
      '  at foo | bar',
    ]) {
      expect(stripPrefixes(line)).toBe(line);
    }
  });

  it('are at most four', () => {
    expect(stripPrefixes('[1.0] '.repeat(6))).toBe('[1.0] '.repeat(2));
  });
});
