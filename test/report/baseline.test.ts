import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorCode } from '../../src/model/error.ts';
import type { CrashGroup } from '../../src/model/report.ts';
import {
  type Baseline,
  compareWithBaseline,
  formatBaseline,
  type KnownBug,
  parseBaseline,
  updateBaseline,
} from '../../src/report/baseline.ts';

function group(signature: string, alternatives: readonly string[] = []): CrashGroup {
  const seen = { source: 'run 1', at: 0 };
  return {
    ...{ signature, alternatives, kind: 'fault', title: `bug ${signature}`, count: 1 },
    first: seen,
    last: seen,
    sources: ['run 1'],
  };
}

const bug = (signature: string, alternatives: readonly string[] = []): KnownBug => ({
  ...{ signature, alternatives, kind: 'fault', title: `bug ${signature}`, firstSeen: null },
});

/** `new a, known b, fixed c`. */
function told(groups: readonly CrashGroup[], bugs: readonly KnownBug[]): string {
  const comparison = compareWithBaseline(groups, { path: 'b.json', bugs });
  const { new: added, known, fixed } = comparison;
  return [
    ...added.map((one) => `new ${one.signature}`),
    ...known.map((one) => `known ${one.signature}`),
    ...fixed.map((one) => `fixed ${one.signature}`),
  ].join(', ');
}

describe('against a baseline', () => {
  it('a bug is new, known, or did not come up', () => {
    expect(told([group('a'), group('b')], [bug('b'), bug('c')])).toBe('new a, known b, fixed c');
  });

  it('it is known too where the baseline, or this run, knows less of it', () => {
    expect(told([group('a', ['a0'])], [bug('a0')])).toBe('known a');
    expect(told([group('a0')], [bug('a', ['a0'])])).toBe('known a0');
  });

  it('what could be either of two known bugs is new, and neither of them is fixed', () => {
    expect(told([group('weak')], [bug('a', ['weak']), bug('b', ['weak'])])).toBe('new weak');
  });

  it('nothing is all of it', () => {
    expect(told([], [])).toBe('');
  });
});

describe('a baseline file', () => {
  const baseline: Baseline = {
    path: 'b.json',
    bugs: [bug('b', ['b1', 'b0']), { ...bug('a'), firstSeen: '2026-11-21T12:00:00.000Z' }],
  };

  it('is read as it was written, a bug a line, sorted', () => {
    const text = formatBaseline(baseline);
    expect(text).toBe(`{"unidbgBaseline":1,"bugs":[
{"signature":"a","alternatives":[],"kind":"fault","title":"bug a","firstSeen":"2026-11-21T12:00:00.000Z"},
{"signature":"b","alternatives":["b0","b1"],"kind":"fault","title":"bug b","firstSeen":null}
]}
`);
    expect(formatBaseline(parseBaseline(text, 'b.json'))).toBe(text);
    expect(parseBaseline(formatBaseline({ path: 'b.json', bugs: [] }), 'b.json').bugs).toEqual([]);
  });

  it('takes in what is new, and forgets nothing', () => {
    const comparison = compareWithBaseline([group('c'), group('a')], baseline);
    expect(
      updateBaseline(baseline, comparison).bugs.map(({ signature, firstSeen }) => `${signature} ${firstSeen ?? '-'}`),
    ).toEqual(['b -', 'a 2026-11-21T12:00:00.000Z', 'c 1970-01-01T00:00:00.000Z']);
  });

  it('of a later unidbg, or none at all, is refused with the reason', () => {
    const refused: readonly (readonly [string, RegExp])[] = [
      ['', /b\.json is not a baseline.*not JSON/],
      ['[]', /b\.json is not a baseline/],
      ['{"unidbgBaseline":2,"bugs":[]}', /version 2.*newer unidbg/],
      ['{"unidbgBaseline":1}', /bugs/],
      [
        '{"unidbgBaseline":1,"bugs":[{"signature":"../x","alternatives":[],"kind":"fault","title":"","firstSeen":null}]}',
        /bugs\.0\.signature: a signature is hex/,
      ],
    ];
    for (const [text, reason] of refused) expect(() => parseBaseline(text, 'b.json')).toThrow(reason);
  });

  it('is refused with a typed error, whatever it holds', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.object().map((value) => JSON.stringify({ unidbgBaseline: 1, bugs: value })),
        ),
        (text) => {
          try {
            parseBaseline(text, 'b.json');
          } catch (error) {
            expect(errorCode(error)).toBe('REPORT_MALFORMED');
          }
        },
      ),
    );
  });
});
