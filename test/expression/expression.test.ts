// The expression language: what is understood, what is refused and how, and when an expectation is met or failed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExpectation, type Verdict, watchExpectation } from '../../src/expression/index.ts';
import { errorCode, errorMessage } from '../../src/model/error.ts';
import { type Given, snapshotOf } from '../support/snapshots.ts';

/** The verdict after each second's readings. */
function verdicts(text: string, rows: readonly (readonly Given[])[], lines: readonly string[] = []): Verdict[] {
  const watch = watchExpectation(parseExpectation(text), 0);
  return rows.map((_, index) => watch(snapshotOf(rows.slice(0, index + 1), lines), index * 1000));
}

const last = (text: string, rows: readonly (readonly Given[])[], lines: readonly string[] = []): Verdict =>
  verdicts(text, rows, lines).at(-1)!;

const refusal = (text: string): string => {
  try {
    parseExpectation(text);
  } catch (error) {
    expect(errorCode(error)).toBe('USAGE');
    return errorMessage(error);
  }
  throw new Error(`accepted: ${text}`);
};

describe('a comparison', () => {
  it.each([
    ['heap < 64MiB', [['heap', 1024, 'By']], 'met', 'heap is 1.00 KiB'],
    ['heap < 64MiB', [['heap', 2 ** 27, 'By']], 'failed', 'heap is 128 MiB'],
    ['heap < 1000', [['heap', 999, 'By']], 'met', 'heap is 999 B'],
    ['pause < 10ms', [['pause', 9_000_000, 'ns']], 'met', 'pause is 9.0ms'],
    ['pause <= 10ms', [['pause', 0.02, 's']], 'failed', 'pause is 20.0ms'],
    [
      'used / limit < 80%',
      [
        ['used', 70, 'By'],
        ['limit', 100, 'By'],
      ],
      'met',
      'used / limit is 0.7000',
    ],
    [
      'used < limit - 40B',
      [
        ['used', 70, 'By'],
        ['limit', 100, 'By'],
      ],
      'failed',
      'used is 70 B, limit - 40B is 60 B',
    ],
    ['n == 2 * (1 + 2)', [['n', 6]], 'met', 'n is 6'],
    ['n != 6', [['n', 6]], 'failed', 'n is 6'],
    [
      'threads{state=running} >= 1',
      [
        ['threads{state=running}', 2],
        ['threads{state=waiting}', 9],
      ],
      'met',
      'threads{state=running} is 2',
    ],
    [
      'threads == 11',
      [
        ['threads{state=running}', 2],
        ['threads{state=waiting}', 9],
      ],
      'met',
      'threads is 11',
    ],
    [
      'max(pause) > 5',
      [
        ['pause{quantile=0.5}', 2],
        ['pause{quantile=1}', 9],
      ],
      'met',
      'max(pause) is 9',
    ],
    [
      'min(pause) > 5',
      [
        ['pause{quantile=0.5}', 2],
        ['pause{quantile=1}', 9],
      ],
      'failed',
      'min(pause) is 2',
    ],
  ] as const)('%s', (text, row, state, reason) => {
    expect(last(text, [row])).toMatchObject({ state });
    expect(last(text, [row]).reason).toContain(reason);
  });

  it('with a rate waits for a second reading', () => {
    const rows: readonly (readonly Given[])[] = [[['bytes', 100, 'By']], [['bytes', 1124, 'By']]];
    expect(verdicts('rate(bytes) >= 1KiB', rows).map(({ state }) => state)).toEqual(['pending', 'met']);
  });

  it('of CPU time by its rate is one of shares', () => {
    expect(last('rate(cpu) <= 50%', [[['cpu', 1, 's']], [['cpu', 1.4, 's']]]).state).toBe('met');
  });

  it('of a time with a size, or with a bare number, is refused', () => {
    expect(() => last('pause < 5MiB', [[['pause', 1, 'ns']]])).toThrow(/cannot be compared/);
    expect(() => last('pause < 5', [[['pause', 1, 'ns']]])).toThrow(/write its unit/);
  });

  it('by zero, or with what is absent, says why it cannot be judged', () => {
    expect(
      last('a / b > 1', [
        [
          ['a', 1],
          ['b', 0],
        ],
      ]),
    ).toEqual({ state: 'pending', reason: 'it would be divided by zero' });
    expect(last('a > 1', [[['a', null]]])).toEqual({ state: 'pending', reason: 'it is not kept' });
  });

  it('with a metric that nobody measures fails in time and names the nearest', () => {
    const watch = watchExpectation(parseExpectation('go.memory.gc.cycle > 1'), 0);
    const snapshot = snapshotOf([
      [
        ['go.memory.gc.cycles', 1],
        ['other', 1],
      ],
    ]);
    expect(watch(snapshot, 0).state).toBe('pending');
    expect(watch(snapshot, 20_000)).toEqual({
      state: 'failed',
      reason: 'no metric go.memory.gc.cycle is measured here; there is go.memory.gc.cycles',
    });
  });
});

describe('a change', () => {
  const cycles = (...values: readonly number[]): readonly (readonly Given[])[] => values.map((value) => [['cycles', value]]);

  it('is seen against the first reading', () => {
    expect(verdicts('cycles increases', cycles(5, 5, 6)).map(({ state }) => state)).toEqual(['pending', 'pending', 'met']);
    expect(last('cycles increases by 3 within 30s', cycles(5, 6, 7)).state).toBe('pending');
    expect(last('cycles increases by 3 within 30s', cycles(5, 6, 8))).toEqual({
      state: 'met',
      reason: 'cycles went from 5 to 8',
    });
    expect(last('cycles decreases', cycles(5, 4)).state).toBe('met');
  });

  it('that never comes fails when its time is over, with what was seen', () => {
    expect(last('cycles increases within 3s', cycles(5, 5, 5, 5))).toEqual({
      state: 'failed',
      reason: 'cycles stays at 5, 3.0s after the start',
    });
  });

  it('that was pending at the end of the run fails', () => {
    const watch = watchExpectation(parseExpectation('cycles increases within 30s'), 0);
    expect(watch(snapshotOf(cycles(5)), 2000, true).state).toBe('failed');
  });
});

describe('a time', () => {
  const used = (...values: readonly number[]): readonly (readonly Given[])[] => values.map((value) => [['used', value, 'By']]);

  it('within: one moment is enough', () => {
    expect(verdicts('used > 5B within 10s', used(1, 9, 1)).map(({ state }) => state)).toEqual(['pending', 'met', 'met']);
  });

  it('for: every moment counts, and the first bad one ends it', () => {
    expect(verdicts('used < 5B for 2s', used(1, 2, 3)).map(({ state }) => state)).toEqual(['pending', 'pending', 'met']);
    expect(last('used < 5B for 3s', used(1, 9, 1))).toEqual({ state: 'failed', reason: 'used is 9 B, 1.0s after the start' });
  });

  it('always: the end of the run decides', () => {
    const watch = watchExpectation(parseExpectation('used < 5B always'), 0);
    expect(watch(snapshotOf(used(1)), 60_000).state).toBe('pending');
    expect(watch(snapshotOf(used(1)), 90_000, true)).toEqual({ state: 'met', reason: 'used is 1 B, all the 90.0s' });
  });

  it('always, of what was never measured, is not met', () => {
    const watch = watchExpectation(parseExpectation('used < 5B always'), 0);
    expect(watch(snapshotOf([[['used', null]]]), 90_000, true)).toEqual({ state: 'failed', reason: 'it is not kept' });
  });
});

describe('the console', () => {
  it('is searched from its first line', () => {
    expect(last('console ~ /listening on \\d+/ within 20s', [[]], ['boot', 'listening on 8080'])).toEqual({
      state: 'met',
      reason: 'line 2 of the console is "listening on 8080"',
    });
    expect(last('console ~ /LISTENING/i', [[]], ['listening']).state).toBe('met');
  });

  it('must not say what is unwanted', () => {
    expect(last('console !~ /error/ for 1s', [[], []], ['boot']).state).toBe('met');
    expect(last('console !~ /error/ for 9s', [[]], ['an error']).state).toBe('failed');
  });
});

describe('presence', () => {
  it('is asked for, or absence', () => {
    expect(last('heap is present', [[['heap', 1]]]).state).toBe('met');
    expect(last('heap is absent', [[['heap', null]]]).state).toBe('met');
    expect(last('heap is absent', [[['heap', 1]]]).state).toBe('failed');
  });
});

describe('what cannot be understood', () => {
  it.each([
    ['heap <', "a metric's name or a number is expected here\n  heap <\n        ^"],
    ['heap', '"increases", "decreases" or "is present" is expected here\n  heap\n      ^'],
    ['heap < 5Mib', '"Mib" is no unit'],
    ['heap < 5 within', 'a time span is expected here'],
    ['heap < 5 within 5', 'a time span is expected here'],
    ['heap < 5 forever', 'the expectation should end here'],
    ['heap{state} < 5', '"=" is expected here'],
    ['heap ; 5', '";" has no meaning here'],
    ['console ~ listening', 'a regular expression is expected here'],
    ['console ~ /(/', 'no regular expression'],
    ['1 + 2', 'a comparison is expected here'],
    ['rate(5) > 1', 'rate() takes a metric'],
    [`${'('.repeat(30)}heap`, 'more than 20 parentheses'],
    ['x'.repeat(3000), 'at most 2000'],
    ['', "a metric's name or a number is expected here"],
  ])('%s is refused at its place', (text, message) => {
    expect(refusal(text)).toContain(message);
  });

  it('is never anything but a usage error', () => {
    const pieces = fc.constantFrom(
      'heap',
      '<',
      '5MiB',
      'within',
      '10s',
      'console',
      '~',
      '/x/',
      '(',
      ')',
      '{',
      '}',
      'by',
      '+',
      'rate(',
      '"',
      '\\',
      '\u{1f600}',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(pieces).map((parts) => parts.join(' ')),
        ),
        (text) => {
          try {
            parseExpectation(text);
          } catch (error) {
            if (errorCode(error) !== 'USAGE') throw error;
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});
