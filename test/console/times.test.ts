import { describe, expect, it } from 'vitest';
import { findTime } from '../../src/console/times.ts';

describe('the time of a line', () => {
  it.each([
    ['2026-11-21T12:00:00.5Z panic: x', '2026-11-21T12:00:00.500Z'],
    ['2026-11-21T12:00:00.1234567Z panic: x', '2026-11-21T12:00:00.123Z'],
    ['[2026-11-21 12:00:00,250] x', '2026-11-21T12:00:00.250Z'],
    ['pod/app-1 2026-11-21T14:00:00+02:00 x', '2026-11-21T12:00:00.000Z'],
    ['2026-11-21T14:00:00.000 +0200: x', '2026-11-21T12:00:00.000Z'],
  ])('%s', (line, expected) => {
    expect(new Date(findTime(line) ?? Number.NaN).toISOString()).toBe(expected);
  });

  it.each(['panic: x', '[    1.234567] x', '12:00:00 x', '2026-13-45T99:00:00Z x', `${'x'.repeat(80)} 2026-11-21T12:00:00Z`])(
    'is not known of "%s"',
    (line) => {
      expect(findTime(line)).toBeNull();
    },
  );
});
