// The small pure parts: numbers, sparklines, patterns, the clipboard, the environment, the painter's clock.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeClipboard } from '../../tui/clipboard.ts';
import { findScreenObstacle, readEnvironment, toAscii } from '../../tui/environment.ts';
import { parsePattern } from '../../tui/filter.ts';
import { formatAge, formatClock, formatCount, formatJson, formatSample } from '../../tui/format.ts';
import { createPainter } from '../../tui/painter.ts';
import { increments, sparkline } from '../../tui/sparkline.ts';
import { attributesOf } from '../../tui/style.ts';
import { decodeKey } from '../../tui/terminal.ts';

describe('numbers', () => {
  it.each([
    [1536, 'By', '1.50 KiB'],
    [498, 'us', '498.0µs'],
    [12.41, 's', '12.4s'],
    [1, '{cycle}', '1 cycle'],
    [1204, '{packet}', '1 204 packets'],
    [2, '{entry}', '2 entries'],
    [0.25, '1', '0.250'],
    [12.345, '%', '12.3 %'],
    [null, 'By', '–'],
    [0, 'By', '0 B'],
  ])('%s in %s reads %s', (value, unit, text) => {
    expect(formatSample({ value, unit })).toBe(text);
  });

  it('groups digits and gives up exactness where there is none', () => {
    expect(formatCount(1_234_567)).toBe('1 234 567');
    expect(formatCount(-1234)).toBe('-1 234');
    expect(formatCount(3e18)).toBe('3.0e+18');
    expect(formatCount(NaN)).toBe('NaN');
  });

  it('tells ages in three cells and clocks to the second', () => {
    expect([0, 59_999, 60_000, 7_200_000, 200_000_000].map(formatAge)).toEqual(['0s', '59s', '1m', '2h', '2d']);
    expect(formatAge(-500)).toBe('0s');
    expect(formatClock(3_723_000)).toBe('01:02:03');
  });

  it('writes addresses as hex and bytes as text in JSON', () => {
    expect(JSON.parse(formatJson({ at: 0x10n, bytes: Uint8Array.of(1, 255), map: new Map([['a', 1n]]) }))).toEqual({
      at: '0x10',
      bytes: '01ff',
      map: { a: '0x1' },
    });
  });
});

describe('sparklines', () => {
  it('span from the least to the greatest value', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
  });

  it('draw a level series low, an absent value as a gap, and nothing for nothing', () => {
    expect(sparkline([5, 5, 5], 3)).toBe('▁▁▁');
    expect(sparkline([0, null, 9], 3)).toBe('▁ █');
    expect(sparkline([null, NaN], 4)).toBe('    ');
    expect(sparkline([1, 2], 0)).toBe('');
  });

  it('show the newest values, padded on the left', () => {
    expect(sparkline([9, 0, 7], 2)).toBe('▁█');
    expect(sparkline([0, 7], 4)).toBe('  ▁█');
  });

  it('show rises of a counter; a counter that began anew is a gap', () => {
    expect(increments([1, 3, 3, 0, 2, null, 4])).toEqual([2, 0, null, 2, null, null]);
  });
});

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

describe('keys', () => {
  it('have one name each, whatever blessed calls them', () => {
    expect(decodeKey('\r', { name: 'return' })).toEqual([]);
    expect(decodeKey('\r', { name: 'enter' })).toEqual([{ name: 'enter', text: null }]);
    expect(decodeKey('\n', { name: 'linefeed' })).toEqual([{ name: 'enter', text: null }]);
    expect(decodeKey(undefined, { name: 'pagedown' })).toEqual([{ name: 'page-down', text: null }]);
    expect(decodeKey('\x15', { name: 'u', ctrl: true })).toEqual([{ name: 'ctrl-u', text: null }]);
    expect(decodeKey(undefined, { name: 'tab', shift: true })).toEqual([{ name: 'shift-tab', text: null }]);
    expect(decodeKey('G', { name: 'g', shift: true })).toEqual([{ name: 'G', text: 'G' }]);
    expect(decodeKey(' ', { name: 'space' })).toEqual([{ name: 'space', text: ' ' }]);
    expect(decodeKey('é', {})).toEqual([{ name: 'é', text: 'é' }]);
  });

  it('that come with Esc in one read are two keys', () => {
    expect(decodeKey('\x1bq', { name: 'q', meta: true })).toEqual([
      { name: 'escape', text: null },
      { name: 'q', text: 'q' },
    ]);
  });
});

describe('the painter', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('paints at most 12 times a second for the guest, however much it says', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    for (let elapsed = 0; elapsed < 1000; elapsed += 1) {
      painter.eventually();
      vi.advanceTimersByTime(1);
    }
    expect(paints).toBeLessThanOrEqual(12);
    expect(paints).toBeGreaterThan(8);
  });

  it('answers a key within 25 ms, also just after a paint', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    painter.eventually();
    vi.advanceTimersByTime(1);
    painter.eventually();
    painter.soon();
    vi.advanceTimersByTime(25);
    expect(paints).toBe(2);
  });

  it('never paints without a reason, nor after it was stopped', () => {
    let paints = 0;
    const painter = createPainter(() => (paints += 1));
    vi.advanceTimersByTime(5000);
    painter.soon();
    painter.stop();
    painter.soon();
    vi.advanceTimersByTime(5000);
    expect(paints).toBe(0);
  });
});
