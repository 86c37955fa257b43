// The guest's words never act upon a terminal.

import { describe, expect, it } from 'vitest';
import { safeLines, safeText } from '../../src/inspector/text.ts';

describe('words of the guest', () => {
  it('are shown as they are when they are harmless', () => {
    expect(safeText('Größe übergeben 木 😀', 100)).toBe('Größe übergeben 木 😀');
  });

  it('lose what a terminal acts upon, reorders or hides', () => {
    expect(safeText('a\u001b]0;x\u0007b\u009b2J\u202ec\u200b\u2028\ud800', 100)).toBe(
      'a\\x1b]0;x\\x07b\\x9b2J\\u{202e}c\\u{200b}\\u{2028}\\u{d800}',
    );
  });

  it('are as long as they may be', () => {
    expect(safeText('x'.repeat(1e6), 10)).toBe('xxxxxxxxx…');
    expect(safeText('\u0000'.repeat(1e6), 10)).toBe('\\x00\\x00\\…');
    expect(safeText('12345678😀', 9)).toBe('12345678…');
  });

  it('keep their lines where there may be some', () => {
    expect(safeLines('a\r\nb\u0007\nc\nd', 100, 3)).toBe('a\nb\\x07\nc');
  });
});
