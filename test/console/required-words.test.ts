import { describe, expect, it } from 'vitest';
import { requiredEnding, requiredWords } from '../../src/console/required-words.ts';

describe('the words that a match must contain', () => {
  it.each([
    [/^panic: (.+)$/, ['panic: ']],
    [/^\*\*\* signal \d/, ['*** signal ']],
    [/^(Aborted|out of (?:memory|space))$/, ['Aborted', 'out of ']],
    [/^cpu: (\d{1,3}), context type: \d$/, [', context type: ']],
    [/^\[registers\]$/, ['[registers]']],
    [/^Fatal(?! exception) error/, ['Fatal error']],
    [/^FATAL: {2}Unhandled Trap/, ['Unhandled Trap']],
    [/^(?:very long optional words)?end$/, ['end']],
    [/^ab+cd(?:xyz)*$/, ['ab']],
    [/^\w+(?<name>needle)[a-z]$/, ['needle']],
    [/^[(|]a\/b\.c/, ['a/b.c']],
  ])('of %s are told', (pattern, words) => {
    expect(requiredWords(pattern.source)).toEqual(words);
  });

  it.each([[/^\d+$/], [/^(?:panic: )?/], [/^(?:panic|\d+)$/], [/^a*$/], [/^(?=panic)/]])('of %s are none', (pattern) => {
    expect(requiredWords(pattern.source) ?? []).toEqual([]);
  });

  it('never have two spaces in a row: a tab may stand there', () => {
    expect(requiredWords('^a  bcd  ef$')).toEqual([' bcd ']);
  });
});

describe('what a match must end in', () => {
  it('is told where a set of characters is last', () => {
    expect(requiredEnding('^\\/.*:(\\d{1,9})$')).toEqual({ before: ':', characters: new Set('0123456789') });
    expect(requiredEnding('^.*=[a-c]+$')).toEqual({ before: '=', characters: new Set('abc') });
  });

  it.each([[/^a:\d/], [/^a:\d*$/], [/^a:(\d|x)$/], [/^a:?\d$/], [/^a:.$/], [/^a:[^b]$/], [/^a:\d$|b/]])(
    'is not told of %s',
    (pattern) => {
      expect(requiredEnding(pattern.source)).toBeNull();
    },
  );
});
