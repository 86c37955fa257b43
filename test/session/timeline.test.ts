// The time line of a recording. The recordings are made here of all kinds of events; whatever way leads to a moment, it is the fold of
// all events up to it.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.ts';
import { errorCode } from '../../src/model/error.ts';
import type { GuestEvent } from '../../src/model/event.ts';
import { parseMoment } from '../../src/model/moment.ts';
import { encodeEvent } from '../../src/session/event-codec.ts';
import { openRecording, type RecordingReader, readRecording } from '../../src/session/recording.ts';
import { EMPTY_SNAPSHOT, reduceAll } from '../../src/session/reduce.ts';
import { asReplay, isNotable, Timeline } from '../../src/session/timeline.ts';
import { consoleEvent, crashEvent, findingEvent, metricsEvent, NOON, stacksEvent, statusEvent } from './recorded-events.ts';

const HEADER = '{"unidbgRecording":1,"unidbg":"0","target":"demo"}\n';

function recordingOf(events: readonly GuestEvent[], more = ''): RecordingReader {
  const text = HEADER + events.map((event) => `${encodeEvent(event)}\n`).join('') + more;
  return readRecording(memorySource('a recording', Buffer.from(text)));
}

function timelineOf(events: readonly GuestEvent[], checkpointBytes?: number): Timeline {
  const timeline = new Timeline(recordingOf(events), checkpointBytes);
  timeline.readAll();
  return timeline;
}

/** Ten minutes of a guest that talks, is measured and looked at, finds itself in trouble, and crashes. */
function longRun(): GuestEvent[] {
  const events: GuestEvent[] = [statusEvent(NOON, 'running')];
  for (let second = 0; second < 600; second += 1) {
    const at = NOON + second * 1000;
    events.push(metricsEvent(at, second), stacksEvent(at + 5, second), consoleEvent(at + 7, second + 1, `second ${second}`));
    if (second === 300) events.push(findingEvent(at + 8, true));
    if (second === 400) events.push(findingEvent(at + 8, false));
  }
  return [...events, crashEvent(NOON + 600_000), consoleEvent(NOON + 601_000, 601, 'halted')];
}

const LONG = longRun();

function foldOf(events: readonly GuestEvent[], count: number) {
  return reduceAll(EMPTY_SNAPSHOT, events.slice(0, count).map(asReplay));
}

describe('a time line', () => {
  const timeline = timelineOf(LONG);

  it('is as long as its clock says, and knows where crashes and findings are', () => {
    expect(timeline.extent()).toMatchObject({ length: 601_000, count: LONG.length, read: 1 });
    expect(timeline.extent().marks).toEqual([
      { kind: 'finding', elapsed: 300_008 },
      { kind: 'crash', elapsed: 600_000 },
    ]);
  });

  it('gives at every event the fold of all events up to it', () => {
    let folded = EMPTY_SNAPSHOT;
    for (const [index, event] of LONG.entries()) {
      folded = reduceAll(folded, [asReplay(event)]);
      if (index % 37 === 0 || index > LONG.length - 20) expect(timeline.seekCount(index + 1).snapshot).toEqual(folded);
    }
  });

  it('gives the same by whatever way, with checkpoints that weigh next to nothing or much', () => {
    for (const most of [0, 300_000, 1e9]) {
      const fresh = timelineOf(LONG, most);
      fc.assert(
        fc.property(fc.array(fc.double({ min: 0, max: 602_000, noNaN: true }), { minLength: 1, maxLength: 4 }), (moments) => {
          for (const moment of moments) {
            const count = LONG.filter(({ at }) => at - NOON <= moment).length;
            const point = fresh.seek(moment);
            expect(point.count).toBe(count);
            expect(point.snapshot).toEqual(foldOf(LONG, count));
          }
        }),
        { numRuns: 12 },
      );
    }
  });

  it('steps from event of note to event of note, forth and back', () => {
    const notable = LONG.flatMap((event, index) => (isNotable(event) ? [index + 1] : []));
    const forth: number[] = [];
    for (let point = timeline.stepForward(timeline.start); point !== null; point = timeline.stepForward(point)) {
      forth.push(point.count);
    }
    expect(forth).toEqual(notable);
    const back: number[] = [];
    for (let point = timeline.stepBack(LONG.length); point.count > 0; point = timeline.stepBack(point.count - 1)) {
      if (back.push(point.count) > 100) break;
    }
    expect(back).toEqual(notable.slice(-101).reverse());
    expect(timeline.stepBack(0).count).toBe(0);
  });

  it('is read in pieces: what has been read can be gone to already', () => {
    const piecewise = new Timeline(recordingOf(LONG));
    expect(piecewise.readOn(0)).toBe(false);
    while (!piecewise.readOn(1)) {
      const { length, read } = piecewise.extent();
      expect(read).toBeLessThan(1);
      expect(piecewise.seek(length / 2).snapshot).toEqual(foldOf(LONG, LONG.filter(({ at }) => at - NOON <= length / 2).length));
    }
    expect(piecewise.extent()).toEqual(timeline.extent());
  });
});

describe('a moment', () => {
  const timeline = timelineOf(LONG);
  const find = (text: string): number => timeline.find(parseMoment(text));

  it('is named from the start, before the crash, by the clock, or as a date', () => {
    expect(find('12.5s')).toBe(12_500);
    expect(find('90')).toBe(90_000);
    expect(find('1m30s')).toBe(90_000);
    expect(find('-3s')).toBe(597_000);
    expect(find('crash')).toBe(600_000);
    expect(find('end')).toBe(601_000);
    expect(find('12:05')).toBe(300_000);
    expect(find('12:00:12.250')).toBe(12_250);
    expect(find('2026-11-21T12:01:00Z')).toBe(60_000);
    expect(find('2026-11-21 12:01:00')).toBe(60_000);
    expect(find('3h')).toBe(601_000);
    expect(find('-3h')).toBe(0);
  });

  it('that the recording does not have is refused, with what it has', () => {
    expect(() => find('14:00')).toThrow(
      /no moment 14:00:00.000: it begins at 2026-11-21 12:00:00.000 and ends at 2026-11-21 12:10:01.000 \(UTC\), 10m01.0s later/,
    );
    expect(() => find('2025-01-01')).toThrow(/no moment 2025-01-01 00:00:00/);
  });

  it.each(['', 'soon', '12:61', '25:00', '-', '5x', '2026-13-01', '1e3', '--3s'])('cannot be "%s"', (text) => {
    expect(() => parseMoment(text)).toThrow(/is not a moment: write 12.5s/);
  });

  it('before the crash of a guest that did not crash is one before the end', () => {
    expect(timelineOf([statusEvent(NOON, 'running'), statusEvent(NOON + 10_000, 'gone')]).find(parseMoment('-3s'))).toBe(7_000);
  });
});

describe('a clock', () => {
  it('that is set back or jumps makes no time run backwards, and each of its times is found', () => {
    const shown = [0, 1000, 2000, 2000 - 3_600_000, 3000 - 3_600_000, 10_000_000, 10_001_000];
    const events = shown.map((ms, index) => consoleEvent(NOON + ms, index + 1, 'x'));
    const timeline = timelineOf(events);
    const elapsed = [...timeline.eventsFrom(timeline.start)].map(({ clock }) => clock.elapsed);
    expect(elapsed).toEqual([0, 1000, 2000, 2000, 3000, 13_600_000, 13_601_000]);
    expect(timeline.seek(2500).count).toBe(4);
    expect(timeline.find({ from: 'clock', ms: 11 * 3_600_000 + 2_500 })).toBe(2_500);
    expect(timeline.find({ from: 'clock', ms: 12 * 3_600_000 + 1_500 })).toBe(1_500);
  });

  it('of an event that was told a little late is the one before it', () => {
    const timeline = timelineOf([
      metricsEvent(NOON, 0),
      stacksEvent(NOON + 500, 0),
      metricsEvent(NOON + 400, 1),
      metricsEvent(NOON + 600, 2),
    ]);
    expect([...timeline.eventsFrom(timeline.start)].map(({ clock }) => clock.elapsed)).toEqual([0, 500, 500, 600]);
  });

  it('of any kind gives spans that never fall and are never without end', () => {
    const at = fc.oneof(fc.integer(), fc.double({ min: -8.64e15, max: 8.64e15, noNaN: true }), fc.constant(0));
    fc.assert(
      fc.property(fc.array(at, { maxLength: 30 }), (times) => {
        const timeline = timelineOf(times.map((time, index) => consoleEvent(time, index + 1, 'x')));
        let before = 0;
        for (const { clock } of timeline.eventsFrom(timeline.start)) {
          expect(clock.elapsed).toBeGreaterThanOrEqual(before);
          expect(Number.isFinite(clock.elapsed)).toBe(true);
          before = clock.elapsed;
        }
        expect(timeline.seek(before).count).toBe(times.length);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a recording that is not as it should be', () => {
  it('without an event, or with a single one, is a moment', () => {
    for (const events of [[], [consoleEvent(NOON, 1, 'alone')]]) {
      const timeline = timelineOf(events);
      expect(timeline.extent()).toMatchObject({ length: 0, count: events.length, read: 1 });
      expect(timeline.seek(0).count).toBe(events.length);
      expect(timeline.stepBack(0)).toBe(timeline.start);
      for (const text of ['start', '5s', '-5s', 'crash', 'end']) expect(timeline.find(parseMoment(text))).toBe(0);
    }
    expect(() => timelineOf([]).find(parseMoment('12:00'))).toThrow(/it has no times/);
  });

  it('tells its damage at the moment where it is, wherever reading begins', () => {
    const reader = recordingOf(LONG.slice(0, 40), `{"at":1,"type":"vm","status":"asleep"}\n${encodeEvent(LONG[40]!)}\n{"at":17`);
    const timeline = new Timeline(reader);
    timeline.readAll();
    const remarks = timeline.seekCount(43).snapshot.diagnostics.map(({ message }) => message);
    expect(remarks[0]).toMatch(/^line 42 of the recording is skipped: not an event: status: one of connecting/);
    expect(remarks[1]).toBe('the recording was cut off in line 44: the last event is lost');
    expect(timeline.seekCount(40).snapshot.diagnostics).toEqual([]);
    expect(timeline.extent().length).toBe(LONG[40]!.at - NOON);
  });

  it('whose first line is damaged begins with the first time that is known', () => {
    const text = `${HEADER}{\n${encodeEvent(consoleEvent(NOON, 1, 'x'))}\n${encodeEvent(consoleEvent(NOON + 1000, 2, 'y'))}\n`;
    const timeline = new Timeline(readRecording(memorySource('a recording', Buffer.from(text))));
    timeline.readAll();
    expect(timeline.extent().length).toBe(1000);
  });

  it('a time that is no date is a damaged line', () => {
    const timeline = new Timeline(recordingOf([], '{"at":1e300,"type":"lost","what":"x","count":1}\n'));
    timeline.readAll();
    expect(timeline.seek(0).snapshot.diagnostics[0]?.message).toMatch(
      /line 2 of the recording is skipped: not an event: at: a number from/,
    );
  });

  it('that is gone while it is read is an error with a code', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'unidbg-timeline-')), 'recording');
    writeFileSync(path, HEADER + LONG.map((event) => `${encodeEvent(event)}\n`).join(''));
    const reader = openRecording(path);
    const timeline = new Timeline(reader);
    timeline.readOn(0);
    reader.close();
    let code: string | null = null;
    try {
      timeline.readAll();
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe('FILE_UNREADABLE');
  });
});
