import { describe, expect, it } from 'vitest';
import { encodeClipboard } from '../../tui/clipboard.ts';

describe('copying', () => {
  it('is one OSC 52 with the text as base64', () => {
    expect(encodeClipboard('hé', { tmux: false })).toBe(`\x1b]52;c;${Buffer.from('hé').toString('base64')}\x07`);
  });

  it('goes through tmux, with doubled escapes, and plainly as well', () => {
    expect(encodeClipboard('a', { tmux: true })).toBe('\x1b]52;c;YQ==\x07\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\');
  });

  it('takes control characters out, so that a paste runs nothing, and bounds the length', () => {
    const decoded = (text: string): string =>
      Buffer.from(encodeClipboard(text, { tmux: false }).slice(7, -1), 'base64').toString();
    expect(decoded('a\x1b[2Jb\r\n\tc\x9b')).toBe('a[2Jb\n\tc');
    expect(decoded('x'.repeat(200_000))).toHaveLength(74_000);
  });
});
