import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WordIndex } from '../../src/console/word-index.ts';

const index = new WordIndex<string>([
  ['panic', /^panic: (.+)$/],
  ['abort', /^(?:Aborted|abort called)$/],
  ['signal', /^SIG[A-Z]{2,8}: \w+$/],
  ['place', /^\/.*:(\d{1,9})$/],
]);
const WORDS = ['panic: ', 'Aborted', 'abort called', 'SIG'];

function found(text: string): string[] {
  return [...index.find(text)].toSorted();
}

describe('a word', () => {
  it('is found wherever it stands on the line', () => {
    for (const before of ['', 'x', 'xy', '[1.0] ', 'x'.repeat(99)]) {
      expect(found(`${before}panic: x`)).toEqual(['panic']);
      expect(found(`${before}abort called`)).toEqual(['abort']);
      expect(found(`${before}SIG`)).toEqual(['signal']);
    }
  });

  it('is found though a tab stands for its space', () => {
    expect(found('xpanic:\tx')).toEqual(['panic']);
    expect(found('abort\tcalled')).toEqual(['abort']);
  });

  it('is not found where only a part of it stands', () => {
    expect(found('panic:x Abort abort calle SI')).toEqual([]);
  });

  it('is found among random text exactly where a search for it finds it', () => {
    const part = fc.oneof(
      fc.constantFrom(...WORDS),
      fc.constantFrom('p', 'pan', 'abort', 'S', 'IG', ' ', '\xff'),
      fc.string({ unit: 'binary-ascii', maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const text = `${parts.join('').replaceAll(/[\n\t]/g, ' ')}.`;
        const expected = [
          ...(text.includes('panic: ') ? ['panic'] : []),
          ...(text.includes('Aborted') || text.includes('abort called') ? ['abort'] : []),
          ...(text.includes('SIG') ? ['signal'] : []),
        ];
        expect(found(text)).toEqual(expected.toSorted());
      }),
    );
  });
});

describe('an end', () => {
  const endsTelling = (text: string): boolean => index.endsTelling(`before\n${text}\nbehind`, 7, 7 + text.length);

  it('tells what a line without words may be meant for', () => {
    expect(found('at /a.js:12')).toEqual(['place']);
    expect(endsTelling('at /a.js:12')).toBe(true);
  });

  it('tells nothing when it is another one, or none', () => {
    for (const text of ['time 12:34:56 x', 'size 12', '12', '', ':1é']) {
      expect(found(text)).toEqual([]);
      expect(endsTelling(text)).toBe(false);
    }
  });
});

describe('a search', () => {
  const search = (text: string, from = 0): number => index.search(Buffer.from(text, 'latin1'), from, text.length);

  it('gives a place on the first line that may be meant', () => {
    for (let before = 0; before < 9; before += 1) {
      const text = `${'healthy line 12\n'.repeat(before)}oh panic: x\nAborted\n`;
      const line = text.indexOf('oh');
      expect(search(text)).toBeGreaterThanOrEqual(line);
      expect(search(text)).toBeLessThan(text.indexOf('\nAborted'));
    }
  });

  it('gives the end when no line may be meant', () => {
    expect(search('healthy\n12\n')).toBe(11);
    expect(search('panic: \nhealthy\n', 8)).toBe(16);
  });
});

it('a pattern of which nothing is known is asked about every line', () => {
  const open = new WordIndex<string>([['any', /^\d+ \w+$/]]);
  expect(open.unknown).toEqual(['any']);
  expect(open.find('x')).toEqual(['any']);
  expect(open.search(Buffer.from('x\ny\n'), 2, 4)).toBe(2);
});
