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
    ['[   12.345678][    T1] panic: x'],
    ['[   12.345678][ C1] panic: x'],
    ['[Sat Nov 21 03:41:31 2026] panic: x'],
    ['kern  :err   : [   12.345678] panic: x'],
    ['<34>1 2026-11-21T03:41:31.003Z host.example app 1234 ID47 [x@1 iut="3" s="a\\"b]"] panic: x'],
    ['<165>1 2026-11-21T03:41:31Z host app - - - panic: x'],
    ['<13>Nov 21 03:41:31 host app: panic: x'],
    ['Nov 21 03:41:31.123456 host qemu-system-x86_64[4711]: panic: x'],
    ['Nov 21 03:41:31 panic: x'],
    ['2026-11-21T03:41:31.123456+01:00 host qemu[4711]: panic: x'],
    ['2026-11-21T03:41:31+0100 host kernel: [    1.000000] panic: x'],
    ['[12345.678901] host qemu[4711]: panic: x'],
    ['2026-11-21 03:41:31.123+0000: panic: x'],
    ['2026-11-21T03:41:31.123456Z 00O panic: x'],
    ['2026-11-21T03:41:31Z 01E+panic: x'],
    ['2026-11-21T03:41:31Z app[148ed193f95]  ams [info] panic: x'.replace('  ', ' ')],
    ['[2026-11-21T03:41:31.123Z] panic: x'],
    ['03:41:31  panic: x'],
    ['\\u{feff}2026-11-21T03:41:31.1234567Z panic: x'],
    ['2026-11-21T03:41:31.1234567Z ##[error]panic: x'],
    ['build   Run tests       2026-11-21T03:41:31.1234567Z panic: x'],
    ['[pod/web-7d4b9c6d8f-abcde/app] 2026-11-21T03:41:31.123456789Z panic: x'],
    ['web.1.q7xk2abc@node-1    | panic: x'],
    ['0|app  | panic: x'],
    ['==> default: panic: x'],
    ['1700000000.123456 panic: x'],
    ['@4000000065a1b2c30d4e5f60 panic: x'],
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
      'panic: x at 2026-11-21T03:41:31.1234567Z y',
      'fatal error: all goroutines are asleep - deadlock!',
      '0000000000000000:   ffffffff81012345',
      '##[endgroup]',
      'error[12]: x',
    ]) {
      expect(stripPrefixes(line)).toBe(line);
    }
  });

  it('leave the first words of a fault behind a date alone', () => {
    for (const text of ['fatal error: stack overflow', 'Fatal error: exception Not_found', 'Assertion failed: x'])
      for (const date of ['Nov 21 03:41:31 ', '2026-11-21T03:41:31Z ']) expect(stripPrefixes(date + text)).toBe(text);
  });

  it('are at most six', () => {
    expect(stripPrefixes('[1.0] '.repeat(8))).toBe('[1.0] '.repeat(2));
  });
});
