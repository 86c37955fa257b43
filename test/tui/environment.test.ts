import { describe, expect, it } from 'vitest';
import { findScreenObstacle, readEnvironment, toAscii } from '../../tui/environment.ts';
import { attributesOf } from '../../tui/style.ts';

describe('the environment', () => {
  it.each(['screen-256color', 'tmux-256color', 'xterm', 'xterm-kitty', 'alacritty', ''])(
    'TERM=%s is drawn as xterm-256color',
    (TERM) => {
      expect(readEnvironment({ TERM })).toMatchObject({ terminal: 'xterm-256color', palette: 'sixteen' });
    },
  );

  it('keeps the Linux console what it is, with 8 colours', () => {
    expect(readEnvironment({ TERM: 'linux' })).toMatchObject({ terminal: 'linux', palette: 'eight' });
  });

  it('honours NO_COLOR unless it is empty', () => {
    expect(readEnvironment({ TERM: 'xterm', NO_COLOR: '1' }).palette).toBe('none');
    expect(readEnvironment({ TERM: 'xterm', NO_COLOR: '' }).palette).toBe('sixteen');
  });

  it('draws Unicode unless the locale names another character set', () => {
    expect(readEnvironment({}).unicode).toBe(true);
    expect(readEnvironment({ LANG: 'de_DE.UTF-8' }).unicode).toBe(true);
    expect(readEnvironment({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }).unicode).toBe(false);
    expect(['─', '●', '█', 'a', '漢'].map(toAscii).join('')).toBe('-*#a?');
  });

  it('says why there can be no screen', () => {
    const tty = { isTTY: true };
    expect(findScreenObstacle({ TERM: 'xterm' }, tty, tty)).toBeNull();
    expect(findScreenObstacle({ TERM: 'dumb' }, tty, tty)).toContain('dumb');
    expect(findScreenObstacle({ TERM: 'xterm' }, tty, {})).toContain('standard output');
    expect(findScreenObstacle({ TERM: 'xterm' }, {}, tty)).toContain('standard input');
  });
});

describe('styles', () => {
  it('use no colour at all under NO_COLOR, and still tell alarm, selection and match from plain text', () => {
    for (const style of ['badge-bad', 'selected', 'match', 'bad', 'crash-text', 'key'] as const) {
      const { foreground, background, ...marks } = attributesOf(style, 'none');
      expect([foreground, background]).toEqual([null, null]);
      expect(Object.values(marks)).toContain(true);
    }
  });

  it('draw no bright black on terminals of 8 colours, where it would be black on black', () => {
    expect(attributesOf('dim', 'eight').foreground).toBeNull();
    expect(attributesOf('dim', 'sixteen').foreground).toBe(8);
  });
});
