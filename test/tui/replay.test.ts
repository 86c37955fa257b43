// The screen of a replay: its time bar, its keys, and that it shows the past as it was.

import { describe, expect, it } from 'vitest';
import { parseMoment } from '../../src/model/moment.ts';
import type { Playback } from '../../src/model/playback.ts';
import { activeBindings, activeContexts } from '../../tui/keymap.ts';
import type { ScreenState } from '../../tui/state.ts';
import { lineText, lineWidth } from '../../tui/text.ts';
import { update } from '../../tui/update.ts';
import { drawTimeBar } from '../../tui/views/time-bar.ts';
import { openState, press, screenAnsi, screenText } from './draw.ts';
import { makeCrashed, makeSnapshot, manyLines, NOW } from './guest.ts';

const PLAYBACK: Playback = {
  ...{ position: 12_500, length: 20_000, at: NOW, playing: true, speed: 4, read: 1, jumps: 0, dump: null },
  marks: [
    { kind: 'finding', elapsed: 8_000 },
    { kind: 'crash', elapsed: 15_700 },
  ],
};

function replayState(given: Partial<Playback> = {}, columns = 80, rows = 24): ScreenState {
  return { ...openState(columns, rows), playback: { ...PLAYBACK, ...given } };
}

const shown = makeSnapshot({ identity: { ...makeSnapshot().identity!, kind: 'replay' } });

describe('the time bar', () => {
  const barOf = (given: Partial<Playback>, width = 80): string => lineText(drawTimeBar({ ...PLAYBACK, ...given }, width));

  it('tells the moment, how far it is from the start and the crash, and where both lie', () => {
    expect(barOf({})).toBe(' 12:00:00.000  +12.5s  3.2s before ✖  ├━━━━━━━━━━━━━!━━━━━━●────✖───────┤ 20.0s ');
    expect(barOf({ position: 15_700 })).toMatch(/^ 12:00:00\.000 {2}\+15\.7s {2}at the ✖ {7}├━+!━+✖─+┤/);
    expect(barOf({ position: 20_000 })).toContain('4.3s after ✖');
    expect(barOf({ marks: [] })).toMatch(/^ 12:00:00\.000 {2}\+12\.5s ├━+●─+┤ 20\.0s $/);
    expect(barOf({}, 200)).toMatch(/^ 2026-11-21 12:00:00\.000 /);
    expect(barOf({ read: 0.434 })).toMatch(/┤ reading 43 % $/);
  });

  it('keeps its track in place while the moment moves', () => {
    const starts = [0, 950, 12_500, 15_700, 19_999].map((position) => barOf({ position }).indexOf('├'));
    expect(new Set(starts).size).toBe(1);
  });

  it('is one row of any width, with no NaN in it, of a recording of any length', () => {
    for (const width of [60, 61, 80, 100, 137, 200, 300]) {
      for (const length of [0, 1, 50_000, 1e9, 1.7e16]) {
        for (const position of [0, length / 3, length]) {
          const marks = [0, length / 2, length].map((elapsed) => ({ kind: 'crash' as const, elapsed }));
          for (const at of [0, NOW, 8.64e15, -8.64e15]) {
            const line = drawTimeBar({ ...PLAYBACK, length, position, at, marks }, width);
            expect(lineWidth(line)).toBe(width);
            expect(lineText(line)).not.toMatch(/NaN|undefined|Infinity/);
          }
        }
      }
    }
  });
});

describe('the screen of a replay', () => {
  it('says how it goes: playing, how fast, or still', () => {
    expect(screenText(shown, replayState())).toMatch(/▷ REPLAY {2}▶ 4×/);
    expect(screenText(shown, replayState({ playing: false, speed: 1 })).split('\n')[0]).toMatch(/‖ still$/);
    expect(screenText(shown, replayState({ speed: 0.5 }, 200, 50)).split('\n')[0]).toMatch(/▶ 0\.5×$/);
  });

  it('tells ages against the moment shown', () => {
    const state = replayState({ at: shown.stacksAt + 7_000 });
    expect(screenText(shown, state)).toContain(' 7s ago ');
  });

  it('loses nothing without colours: every mark is a character', () => {
    const plain = screenAnsi(shown, replayState(), 'none').split('\n')[1]!;
    expect(plain.replace(/‹[\d;]*›/g, '')).toBe(screenText(shown, replayState()).split('\n')[1]);
    // The moment at a mark is told by inverse, which every terminal has.
    expect(screenAnsi(shown, replayState({ position: 15_700 }), 'none').split('\n')[1]).toContain('‹7›✖');
  });

  it('says of memory that it is that of the dump', () => {
    const memory = { address: 0x1000n, bytes: new Uint8Array(64), unreadable: [] };
    const { state } = press(replayState({ dump: { at: NOW } }), { ...shown, memory }, 'x');
    expect(screenText({ ...shown, memory }, state)).toContain(' as of the dump, 12:00:00 ');
  });
});

describe('the keys of a replay', () => {
  const changeOf = (...keys: readonly string[]) => press(replayState(), shown, ...keys).intents;
  const asked = (change: object) => [{ type: 'playback', change }];

  it.each([
    [['space'], { type: 'play-or-pause' }],
    [['f'], { type: 'play-or-pause' }],
    [['['], { type: 'skip', ms: -1000 }],
    [[']'], { type: 'skip', ms: 1000 }],
    [['{'], { type: 'skip', ms: -10_000 }],
    [['}'], { type: 'skip', ms: 10_000 }],
    [[','], { type: 'step', by: -1 }],
    [['.'], { type: 'step', by: 1 }],
    [['C'], { type: 'next-crash' }],
    [['<'], { type: 'speed', by: -1 }],
    [['>'], { type: 'speed', by: 1 }],
    [['0'], { type: 'go', to: parseMoment('start') }],
    [['$'], { type: 'go', to: parseMoment('end') }],
    [['@', '"-3s"', 'enter'], { type: 'go', to: parseMoment('-3s') }],
    [[':', '"at 14:03:12"', 'enter'], { type: 'go', to: parseMoment('14:03:12') }],
    [[':', '"freeze"', 'enter'], { type: 'play-or-pause' }],
    [['2', 'space'], { type: 'play-or-pause' }],
  ])('%j goes through time', (keys, change) => {
    expect(changeOf(...keys)).toEqual(asked(change));
  });

  it('do nothing of the kind on a running guest', () => {
    for (const key of ['[', ']', '{', ',', '.', 'C', '<', '0', '$', '@', 'space']) {
      expect(press(openState(), makeSnapshot(), key).intents).toEqual([]);
    }
  });

  it('are in the help and in the bottom line, and the guest of a replay does not keep running', () => {
    const text = screenText(shown, replayState());
    expect(text.split('\n').at(-1)).toMatch(/^ \? help {2}q quit {2}Space play\/still {2}\[ \] 1 s {2}, \. event {2}C crash/);
    const help = activeBindings(activeContexts(replayState(), true));
    expect(help.map(({ label }) => label)).toEqual(
      expect.arrayContaining(['Space', '[ ]', '{ }', ', .', 'C', '< >', '0 $', '@']),
    );
    expect(help.map(({ help: words }) => words).join()).not.toContain('keeps running');
    const { state } = press(replayState(), shown, 'escape');
    expect(state.message?.text).toBe('q quits');
  });

  it('answer a moment that is none with what one is', () => {
    const { state, intents } = press(replayState(), shown, '@', '"soon"', 'enter');
    expect(intents).toEqual([]);
    expect(state.message?.text).toMatch(/"soon" is not a moment: write 12\.5s/);
  });
});

describe('after a jump', () => {
  const jump = (state: ScreenState, live: ReturnType<typeof makeSnapshot>, given: Partial<Playback> = {}) =>
    update({ ...state, playback: { ...PLAYBACK, jumps: 1, ...given } }, { type: 'guest' }, live).state;

  it('what is there is no news; what comes then is', () => {
    const crashed = makeCrashed();
    expect(jump(replayState(), crashed).message).toBeNull();
    const played = update(replayState(), { type: 'guest' }, crashed).state;
    expect(played.message?.text).toMatch(/^✖ fault/);
  });

  it('to before it was printed, a console that was scrolled up follows again', () => {
    const late = makeSnapshot({ console: manyLines(300) });
    const { state } = press(replayState(), late, 'k', 'k');
    expect(state.console.top).not.toBeNull();
    expect(jump(state, makeSnapshot({ console: manyLines(20) })).console.top).toBeNull();
    expect(jump(state, makeSnapshot({ console: manyLines(299) })).console.top).not.toBeNull();
  });
});
