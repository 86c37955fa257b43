// A replay as its audience sees it. Time is the test's own.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.ts';
import { UnidbgError } from '../../src/model/error.ts';
import type { GuestEvent } from '../../src/model/event.ts';
import { parseMoment } from '../../src/model/moment.ts';
import type { PlaybackChange } from '../../src/model/playback.ts';
import { encodeEvent } from '../../src/session/event-codec.ts';
import { readRecording } from '../../src/session/recording.ts';
import { EMPTY_SNAPSHOT, reduceAll } from '../../src/session/reduce.ts';
import { Replay, type ReplayOptions } from '../../src/session/replay.ts';
import { Session } from '../../src/session/session.ts';
import { consoleEvent, crashEvent, metricsEvent, NOON, stacksEvent, statusEvent } from './recorded-events.ts';

const opened: Replay[] = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  for (const replay of opened.splice(0)) replay.close();
  vi.useRealTimers();
});

/** Twenty seconds; a crash at 10 s, another at 15 s. */
const EVENTS: readonly GuestEvent[] = [
  statusEvent(NOON, 'running'),
  ...Array.from({ length: 20 }, (_, second): GuestEvent[] => {
    const at = NOON + second * 1000;
    const line = consoleEvent(at + 500, second + 1, `second ${second}`);
    return [
      metricsEvent(at + 100, second),
      stacksEvent(at + 200, second),
      line,
      ...(second === 10 || second === 15 ? [crashEvent(at + 600)] : []),
    ];
  }).flat(),
];

function open(events: readonly GuestEvent[], given: Partial<ReplayOptions> = {}): Replay {
  const text = ['{"unidbgRecording":1,"unidbg":"0","target":"demo"}', ...events.map(encodeEvent)].join('\n');
  const reader = readRecording(memorySource('a recording', Buffer.from(`${text}\n`)));
  const replay = new Replay(reader, { speed: 1, from: null, sourceRoots: [], dump: null, remarks: [], ...given });
  opened.push(replay);
  return replay;
}

function ask(replay: Replay, change: PlaybackChange): void {
  replay.dispatch({ type: 'playback', change });
}

function at(replay: Replay, moment: string): void {
  ask(replay, { type: 'go', to: parseMoment(moment) });
}

const elapsedOf = (event: GuestEvent): number => event.at - NOON;
const foldUntil = (elapsed: number) =>
  reduceAll(
    EMPTY_SNAPSHOT,
    EVENTS.filter((event) => elapsedOf(event) <= elapsed),
  );

describe('a replay that plays', () => {
  it('tells each event in its time, and stays at its end, still', () => {
    const replay = open(EVENTS);
    const told: GuestEvent[] = [];
    replay.subscribe((event) => told.push(event));
    vi.advanceTimersByTime(5_000);
    expect(replay.playback().position).toBeGreaterThan(4_850);
    expect(told).toEqual(EVENTS.filter((event) => elapsedOf(event) > 0 && elapsedOf(event) <= replay.playback().position));
    expect(replay.snapshot()).toMatchObject(foldUntil(replay.playback().position));
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual(EVENTS.slice(1));
    expect(replay.playback()).toMatchObject({ playing: false, position: 19_500, length: 19_500, read: 1 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('goes faster and slower, stands still, goes on, and from its end begins anew', () => {
    const replay = open(EVENTS);
    ask(replay, { type: 'speed', by: 1 });
    ask(replay, { type: 'speed', by: 1 });
    vi.advanceTimersByTime(2_000);
    expect(replay.playback().speed).toBe(4);
    expect(replay.playback().position).toBeGreaterThan(7_400);
    ask(replay, { type: 'play-or-pause' });
    const { position } = replay.playback();
    vi.advanceTimersByTime(10_000);
    expect(replay.playback()).toMatchObject({ position, playing: false });
    ask(replay, { type: 'play-or-pause' });
    vi.advanceTimersByTime(20_000);
    expect(replay.playback()).toMatchObject({ position: 19_500, playing: false });
    ask(replay, { type: 'play-or-pause' });
    expect(replay.playback().position).toBeLessThan(1);
    vi.advanceTimersByTime(1_000);
    expect(replay.playback().position).toBeGreaterThan(3_000);
    for (let presses = 0; presses < 30; presses += 1) ask(replay, { type: 'speed', by: -1 });
    expect(replay.playback().speed).toBe(0.1);
  });

  it('waits for five seconds at most: events may be years apart', () => {
    const year = 365 * 86_400_000;
    const replay = open([consoleEvent(NOON, 1, 'before'), consoleEvent(NOON + 3 * year, 2, 'after')]);
    vi.advanceTimersByTime(5_300);
    expect(replay.snapshot().console.map(({ text }) => text)).toEqual(['before', 'after']);
    expect(replay.playback()).toMatchObject({ position: 3 * year, at: NOON + 3 * year, playing: false });
  });
});

describe('a replay that is gone through', () => {
  it('shows at any moment the fold of all events up to it, whatever way led there', () => {
    const change = fc.oneof(
      fc.record({ type: fc.constant('skip' as const), ms: fc.integer({ min: -12_000, max: 12_000 }) }),
      fc.record({ type: fc.constant('step' as const), by: fc.constantFrom(1 as const, -1 as const) }),
      fc.record({
        type: fc.constant('go' as const),
        to: fc.record({ from: fc.constant('start' as const), ms: fc.integer({ min: 0, max: 25_000 }) }),
      }),
      fc.constantFrom<PlaybackChange>({ type: 'next-crash' }, { type: 'play-or-pause' }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(change, fc.integer({ min: 0, max: 3_000 })), { maxLength: 8 }), (changes) => {
        const replay = open(EVENTS);
        for (const [wish, waitMs] of changes) {
          ask(replay, wish);
          vi.advanceTimersByTime(waitMs);
          const { position, at: clock } = replay.playback();
          expect(clock).toBe(NOON + position);
          // Every event here has a time of its own, so the moment says which have happened.
          expect(replay.snapshot()).toMatchObject(foldUntil(position));
        }
        replay.close();
      }),
      { numRuns: 25 },
    );
  });

  it('steps to events of note and back; before the first one is the start', () => {
    const replay = open(EVENTS, { from: parseMoment('start') });
    const positions: number[] = [];
    for (const by of [1, 1, 1, -1, -1, -1, -1] as const) {
      ask(replay, { type: 'step', by });
      positions.push(replay.playback().position);
    }
    // Stacks are no event of note: they are read twice a second.
    expect(positions).toEqual([100, 500, 1_100, 500, 100, 0, 0]);
    at(replay, '700ms');
    ask(replay, { type: 'step', by: -1 });
    expect(replay.playback().position).toBe(500);
    at(replay, 'end');
    ask(replay, { type: 'step', by: 1 });
    expect(replay.playback().position).toBe(19_500);
  });

  it('goes to the crash, then to the next one, then to the first again', () => {
    const replay = open(EVENTS);
    const positions: number[] = [];
    while (positions.length < 3) {
      ask(replay, { type: 'next-crash' });
      positions.push(replay.playback().position);
    }
    expect(positions).toEqual([10_600, 15_600, 10_600]);
    expect(replay.playback().playing).toBe(false);
    expect(replay.snapshot().crashes).toHaveLength(1);
    at(replay, '-1s');
    expect(replay.snapshot().crashes).toEqual([]);
  });

  it('tells no event that a jump passes by, but that it jumped', () => {
    const replay = open(EVENTS, { from: parseMoment('5s') });
    const told: GuestEvent[] = [];
    let moves = 0;
    replay.subscribe((event) => told.push(event));
    replay.onPlayback(() => (moves += 1));
    const { jumps } = replay.playback();
    at(replay, 'end');
    expect(told).toEqual([]);
    expect(moves).toBe(1);
    expect(replay.playback().jumps).toBe(jumps + 1);
  });

  it('refuses a moment that it does not have in words, and stays where it is', () => {
    const replay = open(EVENTS, { from: parseMoment('5s') });
    at(replay, '03:00');
    expect(replay.playback().position).toBe(5_000);
    expect(replay.snapshot().diagnostics.at(-1)?.message).toMatch(/has no moment 03:00/);
  });

  it('of a file that is read for long does what can be done, and the rest when it is read', () => {
    const many = Array.from({ length: 40_000 }, (_, index) => consoleEvent(NOON + index * 10, index + 1, 'x'.repeat(50)));
    vi.useRealTimers();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const replay = open([...many, crashEvent(NOON + 400_000)], { from: parseMoment('crash') });
    expect(replay.playback().read).toBeLessThan(1);
    expect(replay.playback().position).toBe(0);
    at(replay, '1s');
    expect(replay.playback().position).toBe(1_000);
    at(replay, 'crash');
    vi.advanceTimersByTime(100_000);
    expect(replay.playback()).toMatchObject({ read: 1, position: 400_000 });
  });
});

describe('a replay without anything in it', () => {
  it.each([
    ['nothing', []],
    ['one event', [consoleEvent(NOON, 1, 'alone')]],
  ])('of %s stands still and answers every key', (_, events) => {
    const replay = open(events);
    vi.advanceTimersByTime(1_000);
    const changes: readonly PlaybackChange[] = [
      ...(['play-or-pause', 'next-crash'] as const).map((type) => ({ type })),
      ...([1, -1] as const).flatMap((by) => [
        { type: 'step' as const, by },
        { type: 'skip' as const, ms: by * 1000 },
      ]),
      ...['start', 'end', 'crash', '-5s', '12:00'].map((moment) => ({ type: 'go' as const, to: parseMoment(moment) })),
    ];
    for (const change of changes) {
      ask(replay, change);
      vi.advanceTimersByTime(100);
      expect(replay.playback()).toMatchObject({ position: 0, length: 0, playing: false });
      expect(replay.snapshot().console).toHaveLength(events.length);
    }
  });
});

describe('what is asked of a replay beyond its events', () => {
  const memory = { address: 0x1000n, bytes: new Uint8Array([1, 2, 3]), unreadable: [] };

  it('is refused by a recording, in words', () => {
    const replay = open(EVENTS);
    replay.dispatch({ type: 'show-memory', address: 0n, length: 16 });
    replay.dispatch({ type: 'halt' });
    const messages = replay.snapshot().diagnostics.map(({ message }) => message);
    expect(messages).toEqual([
      'a recording holds no memory: only what was looked at then',
      'halt: not possible here, this is a recording and not a running guest',
    ]);
    replay.dispatch({ type: 'show-listing', place: { pc: 1n, file: 'no/such.c', line: 3 } });
    expect(replay.snapshot().listing?.listing.title).toMatch(/^not found here: --source DIR/);
  });

  it('is answered by the dump in a bundle at any moment, opened when it is asked first', async () => {
    const inside = new Session();
    inside.handleIntents(async () => {
      inside.emit({ type: 'memory', window: memory });
      return Promise.resolve();
    });
    let opens = 0;
    const dump = {
      at: NOON + 30_000,
      open: async () => Promise.resolve({ session: inside, close: () => undefined, count: (opens += 1) }),
    };
    const replay = open(EVENTS, { dump, from: parseMoment('1s') });
    expect(replay.playback().dump).toBeNull();
    replay.dispatch({ type: 'show-memory', address: 0x1000n, length: 3 });
    replay.dispatch({ type: 'show-memory', address: 0x1000n, length: 3 });
    await vi.waitFor(() => {
      expect(replay.snapshot().memory).toEqual(memory);
    });
    at(replay, '15s');
    expect(replay.snapshot().memory).toEqual(memory);
    expect(replay.playback().dump).toEqual({ at: NOON + 30_000 });
    expect(opens).toBe(1);
  });

  it('of a dump that cannot be read is refused with its reason', async () => {
    const open_ = async (): Promise<never> => Promise.reject(new UnidbgError('DUMP_MALFORMED', 'nothing of it is there'));
    const replay = open(EVENTS, { dump: { at: null, open: open_ } });
    replay.dispatch({ type: 'show-memory', address: 0x1000n, length: 3 });
    await vi.waitFor(() => {
      expect(replay.snapshot().diagnostics.at(-1)?.message).toBe('the dump in it cannot be read: nothing of it is there');
    });
  });
});
