import { describe, expect, it } from 'vitest';
import { firstCharacters } from '../../src/console/first-characters.ts';

function first(pattern: RegExp): string | null {
  const characters = firstCharacters(pattern.source);
  return characters === null ? null : [...characters].toSorted().join('');
}

describe('the first characters of a match', () => {
  it.each([
    [/^panic: /, 'p'],
    [/^\*\*\* signal/, '*'],
    [/^(?:ab|c(d)|[x-z]\d)/, 'acxyz'],
    [/^(a|b)|^c/, 'abc'],
    [/^\d{1,2}x/, '0123456789'],
    [/^ ?\[/, ' ['],
    [/^(?:ab)?c/, 'ac'],
    [/^a{0,3}b/, 'ab'],
    [/^Fatal(?! x) y/, 'F'],
    [/^(?!x)y/, 'y'],
    [/^[\]a]b|^\//, '/]a'],
    [/^(?:(?:a\))?b)c/, 'ab'],
  ])('of %s are told', (pattern, characters) => {
    expect(first(pattern)).toBe(characters);
  });

  it.each([[/^.x/], [/^[^a]b/], [/^a?/], [/^\Sx/], [/^(?:a|)b/], [/^a|/]])('of %s cannot be told', (pattern) => {
    expect(first(pattern)).toBeNull();
  });
});
