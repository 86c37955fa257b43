import { describe, expect, it } from 'vitest';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { drawScreen } from '../../tui/compose.ts';
import type { ScreenState } from '../../tui/state.ts';
import { toCells } from '../../tui/text.ts';
import { consoleWindow } from '../../tui/views/console.ts';
import { openState, press, screenText } from './draw.ts';
import { CRASH, makeCrashed, makeSnapshot, manyLines } from './guest.ts';

const long = makeSnapshot({ console: manyLines(500) });
const open = openState();

/** The console's rows as they stand on an 80×24 screen. */
function seen(snapshot: Snapshot, state: ScreenState): string[] {
  return screenText(snapshot, state).split('\n').slice(3, 14);
}

describe('following', () => {
  it('shows the newest lines until somebody scrolls up, then stays and counts what is new', () => {
    expect(seen(long, open).at(-1)).toContain('line 500 of the log');
    const scrolled = press(open, long, 'k').state;
    expect(seen(long, scrolled).at(-1)).toContain('line 499 of the log');
    const more = makeSnapshot({ console: manyLines(512) });
    expect(seen(more, scrolled)).toEqual(seen(long, scrolled));
    expect(screenText(more, scrolled)).toContain('▼ 12 new');
  });

  it('begins again with G, End, or by scrolling down to the end', () => {
    const scrolled = press(open, long, 'k', 'k').state;
    for (const keys of [['G'], ['end'], ['j', 'j'], ['page-down']]) {
      expect(press(scrolled, long, ...keys).state.console.top).toBeNull();
    }
    expect(press(scrolled, long, 'j').state.console.top).not.toBeNull();
  });

  it('reaches the first line with g and goes page by page', () => {
    const top = press(open, long, 'g').state;
    expect(seen(long, top)[0]).toContain('line 1 of the log');
    expect(seen(long, press(top, long, 'page-down').state)[0]).toContain('line 12 of the log');
    expect(seen(long, press(top, long, 'ctrl-d').state)[0]).toContain('line 6 of the log');
    expect(seen(long, press(top, long, 'page-down', 'ctrl-u').state)[0]).toContain('line 7 of the log');
  });

  it('keeps its place when the oldest lines are dropped', () => {
    const scrolled = press(open, long, 'page-up').state;
    const dropped = makeSnapshot({ console: manyLines(500).slice(400), consoleDropped: 400 });
    expect(seen(dropped, scrolled)).toEqual(seen(long, scrolled));
    const gone = makeSnapshot({ console: manyLines(500).slice(495), consoleDropped: 495 });
    expect(seen(gone, scrolled)[0]).toContain('line 496 of the log');
  });

  it('scrolls over every row of a wrapped line, none twice', () => {
    const console = manyLines(40).map((line) => ({ ...line, text: `${line.text} ${'abcdefgh'.repeat(20)} end ${line.number}` }));
    const wrapped = makeSnapshot({ console });
    let state = press(open, wrapped, 'g').state;
    const rows = seen(wrapped, state);
    while (state.console.top !== null) {
      state = press(state, wrapped, 'j').state;
      rows.push(seen(wrapped, state).at(-1)!);
    }
    for (const line of console) expect(rows.join('')).toContain(line.text);
    expect(rows.join('')).toBe(console.map((line) => line.text).join(''));
  });
});

describe('filtering', () => {
  it('shows matching lines only, while typing', () => {
    const typed = press(open, long, '/', '"line 12"').state;
    expect(
      seen(long, typed)
        .filter((row) => row !== '')
        .every((row) => row.includes('line 12')),
    ).toBe(true);
    expect(screenText(long, typed)).toContain(' /line 12');
  });

  it('drops with Esc, and then n still goes from match to match, with the lines around it', () => {
    const kept = press(open, long, '/', '"line 12"', 'enter').state;
    const around = press(kept, long, 'escape', 'n').state;
    const rows = seen(long, around);
    expect(rows.find((row) => row.startsWith('▶'))).toContain('line 12 of');
    expect(rows.join()).toContain('line 11 of');
    expect(seen(long, press(around, long, 'n').state).find((row) => row.startsWith('▶'))).toContain('line 120 of');
    expect(seen(long, press(around, long, 'n', 'N').state).find((row) => row.startsWith('▶'))).toContain('line 12 of');
  });

  it('says when nothing matches', () => {
    expect(screenText(long, press(open, long, '/', '"absent"', 'enter').state)).toContain('nothing matches /absent');
    expect(screenText(long, press(open, long, 'n').state)).toContain('nothing to look for');
  });
});

describe('meaning', () => {
  it('stands beside the address where it fits and below where it does not', () => {
    const wide = screenText(makeSnapshot(), openState(200, 50));
    expect(wide).toContain('handler 0x104b6e0  ← handle_request (server.c:34)');
    expect(screenText(makeSnapshot(), open)).toContain('\n    ↳ 0x104b6e0 handle_request (server.c:34)\n');
  });

  it('of a crash is its symbolised stack, right behind its last line', () => {
    const rows = screenText(makeCrashed(), openState(80, 50)).split('\n');
    const last = rows.findIndex((row) => row.startsWith('*** system halted'));
    expect(rows.slice(last + 2, last + 5)).toEqual([
      '┌ ✖ fault: null dereference in handle_request (server.c:41)',
      '│ r #0  inlined  queue_push                                           queue.h:31',
      '│ r #1  0104b6f5 handle_request+0x1c                                 server.c:41',
    ]);
  });

  it('of a long stack is bounded', () => {
    const frames = Array.from({ length: 2000 }, (_, index) => ({ ...CRASH.frames[1]!, index }));
    const text = screenText(makeCrashed({ crashes: [{ ...CRASH, frames }] }), openState(80, 60));
    expect(text).toContain('1976 more frames');
  });

  it('names the source of a line only where there are several', () => {
    const console = manyLines(4).map((line) => (line.number === 3 ? { ...line, source: 'klog' } : line));
    const rows = seen(makeSnapshot({ console }), open);
    expect(rows[2]).toMatch(/^klog│/);
    expect(rows[1]).not.toContain('│');
  });
});

describe('hostile text', () => {
  it('reaches no cell as a control character and is no markup', () => {
    const text = '\x1b[2J\x1b]52;c;eA==\x07{bold}x{/bold}\x9b31m\u202e';
    const console = [{ number: 1, source: '\x1b[31m', text, partial: false, notes: [{ start: 0, end: 3, text: '\x1b[0m' }] }];
    const snapshot = makeSnapshot({ console });
    for (const line of drawScreen(snapshot, open)) {
      for (const { char } of toCells(line, 80)) expect(char).not.toMatch(/\p{Cc}/u);
    }
    expect(screenText(snapshot, open)).toContain('{bold}x{/bold}');
  });

  it('of endless length takes a bounded number of rows', () => {
    const console = [{ number: 1, source: 'com1', text: 'x'.repeat(1_000_000), partial: false, notes: [] }];
    const { rows } = consoleWindow(makeSnapshot({ console }), open, 80, 1000);
    expect(rows.length).toBeLessThanOrEqual(16);
  });
});

describe('a console of 10 000 lines', () => {
  const huge = makeSnapshot({ console: manyLines(10_000) });
  const milliseconds = (work: () => void): number => {
    const times = Array.from({ length: 15 }, () => {
      const from = performance.now();
      work();
      return performance.now() - from;
    });
    return times.sort((a, b) => a - b)[7]!;
  };

  it.each([
    ['following', []],
    ['in its middle', ['g', 'page-down']],
    ['filtered to few lines', ['/', '"line 99"', 'enter']],
  ])('takes less than 10 ms a frame, %s', (_where, keys) => {
    const state = press(openState(200, 50), huge, ...keys).state;
    expect(milliseconds(() => drawScreen(huge, state).map((line) => toCells(line, 200)))).toBeLessThan(10);
  });
});
