import { describe, expect, it } from 'vitest';
import { parsePattern } from '../../tui/filter.ts';

describe('patterns', () => {
  const matches = (typed: string, text: string): boolean | undefined => parsePattern(typed)?.matches(text);

  it('are words as they stand: brackets and dots mean themselves', () => {
    expect(matches('[libkvmplat]', 'Info: [libkvmplat] <x>')).toBe(true);
    expect(matches('[libkvmplat]', 'Info: libkvm')).toBe(false);
  });

  it('mind case only when a capital was typed', () => {
    expect(matches('crit', 'CRIT: x')).toBe(true);
    expect(matches('Crit', 'CRIT: x')).toBe(false);
  });

  it('are regular expressions behind ~ and inverse behind !', () => {
    expect(matches('~r[0-9]+', 'r12')).toBe(true);
    expect(matches('!gc', 'a gc line')).toBe(false);
    expect(matches('!~^a', 'b')).toBe(true);
  });

  it('are words while a regular expression is not finished', () => {
    expect(matches('~(', 'a ~( b')).toBe(true);
  });

  it('of nothing are none', () => {
    expect(['', '!', '~', '!~'].map((typed) => parsePattern(typed))).toEqual([null, null, null, null]);
  });
});
