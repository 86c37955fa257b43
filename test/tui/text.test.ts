import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fit,
  highlight,
  justify,
  lineText,
  lineWidth,
  padStart,
  span,
  textWidth,
  toCells,
  truncate,
  truncateStart,
  wrap,
} from '../../tui/text.ts';

const anyText = fc.string({ unit: 'binary', maxLength: 60 });
const anyWidth = fc.integer({ min: 0, max: 40 });

describe('the gate to the terminal', () => {
  it('lets no control character, escape or bidi mark through, whatever the guest printed', () => {
    fc.assert(
      fc.property(anyText, anyWidth, (text, width) => {
        const cells = toCells([span(text)], width);
        expect(cells).toHaveLength(width);
        for (const { char } of cells) expect(char).not.toMatch(/[\p{Cc}\u2028-\u202e\u2066-\u2069\p{Cs}]/u);
      }),
    );
  });

  it('shows control characters as a dot each', () => {
    expect(
      toCells([span('a\x1b[2Jb\x9bc\x7f')], 12)
        .map(({ char }) => char)
        .join(''),
    ).toBe('a·[2Jb·c·   ');
  });

  it('gives a wide character two cells, the second empty, and never half of one', () => {
    expect(toCells([span('漢字')], 4).map(({ char }) => char)).toEqual(['漢', '', '字', '']);
    expect(toCells([span('漢字')], 3).map(({ char }) => char)).toEqual(['漢', '', ' ']);
  });

  it('drops marks of no width and takes joined emoji apart, so that no terminal can disagree on the width', () => {
    expect(toCells([span('e\u0301x')], 2).map(({ char }) => char)).toEqual(['e', 'x']);
    expect(toCells([span('👨\u200d👩')], 4).map(({ char }) => char)).toEqual(['👨', '', '👩', '']);
  });
});

describe('fitting text into cells', () => {
  it('cuts and pads to exactly the width asked for', () => {
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 4 }), anyWidth, (texts, width) => {
        expect(
          lineWidth(
            fit(
              texts.map((text) => span(text)),
              width,
            ),
          ),
        ).toBe(width);
      }),
    );
  });

  it('marks what was cut', () => {
    expect(truncate('handle_request', 8)).toBe('handle_…');
    expect(truncateStart('unikernel.heap.used', 8)).toBe('…ap.used');
    expect(lineText(fit([span('abc'), span('def')], 5))).toBe('abcd…');
    expect(lineText(fit([span('abc'), span('def')], 3))).toBe('ab…');
    expect(lineText(fit([span('abc')], 3))).toBe('abc');
  });

  it('gives the right end its place first', () => {
    expect(lineText(justify([span('a long left side')], [span(' right')], 12))).toBe('a lon… right');
    expect(lineText(justify([span('left')], [span('right')], 12))).toBe('left   right');
  });

  it('wraps without losing a character', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 50 }), fc.integer({ min: 2, max: 12 }), (text, width) => {
        const pieces = wrap(text, width);
        expect(pieces.join('')).toBe(text);
        for (const piece of pieces) expect(textWidth(piece)).toBeLessThanOrEqual(width);
      }),
    );
  });

  it('bounds how many rows one line may take', () => {
    expect(wrap('x'.repeat(1000), 10, 4)).toEqual(['xxxxxxxxxx', 'xxxxxxxxxx', 'xxxxxxxxxx', 'xxxxxxxxx…']);
  });

  it('pads numbers on the left', () => {
    expect(padStart('12', 4)).toBe('  12');
  });

  it('marks matches and bounds their number', () => {
    const find = (from: number): { start: number; end: number } | null => {
      const start = 'a-b-a'.indexOf('a', from);
      return start < 0 ? null : { start, end: start + 1 };
    };
    expect(highlight('a-b-a', 'plain', find)).toEqual([span('a', 'match'), span('-b-'), span('a', 'match')]);
    expect(highlight('x', 'plain', () => null)).toEqual([span('x')]);
  });
});
