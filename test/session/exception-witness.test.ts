// An exception that the inspector tells and the console prints is one crash.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ReportedCrash, reportedFrame } from '../../src/model/console-text.ts';
import { ExceptionWitness, TEXT_MS } from '../../src/session/exception-witness.ts';

const frame = (line: number) => reportedFrame({ function: 'f', file: '/app.js', line, column: 1 });
const TOLD: ReportedCrash = {
  ...{
    unikernel: null,
    runtime: 'v8',
    ordinal: 1,
    grammar: 'v8/inspector',
    kind: 'exception',
    message: 'Error: x',
    location: null,
  },
  ...{ vcpu: null, faultAddress: null, registers: null, loadOffsets: [], corrupted: null, firstLine: 0, lastLine: 0 },
  frames: [frame(1), frame(2), frame(3)],
};
const PRINTED: ReportedCrash = { ...TOLD, unikernel: 'nanos', frames: [frame(1), frame(2)], firstLine: 5, lastLine: 9 };

const told: ReportedCrash[] = [];
let witness: ExceptionWitness;
beforeEach(() => {
  vi.useFakeTimers();
  told.length = 0;
  witness = new ExceptionWitness((crash) => told.push(crash));
});
afterEach(() => {
  vi.useRealTimers();
});

describe('an exception', () => {
  it("that the console prints in time is the console's, with all of the stack", () => {
    witness.hear(TOLD);
    vi.advanceTimersByTime(TEXT_MS - 1);
    expect(witness.join(PRINTED)).toEqual({ ...PRINTED, frames: TOLD.frames });
    vi.advanceTimersByTime(60_000);
    expect(told).toEqual([]);
  });

  it('that nobody prints is told all the same, once', () => {
    witness.hear(TOLD);
    vi.advanceTimersByTime(TEXT_MS);
    witness.flush();
    expect(told).toEqual([TOLD]);
  });

  it('that is printed after it was told is not told again, but the next one is', () => {
    witness.hear(TOLD);
    vi.advanceTimersByTime(TEXT_MS + 5_000);
    expect(witness.join(PRINTED)).toBeNull();
    expect(witness.join(PRINTED)).toBe(PRINTED);
    expect(told).toHaveLength(1);
  });

  it('does not wait beyond the session', () => {
    witness.hear(TOLD);
    witness.flush();
    expect(told).toEqual([TOLD]);
  });

  it('leaves other crashes on the console alone', () => {
    witness.hear(TOLD);
    const fault: ReportedCrash = { ...PRINTED, runtime: null, kind: 'fault' };
    expect(witness.join(fault)).toBe(fault);
    vi.advanceTimersByTime(TEXT_MS);
    expect(told).toEqual([TOLD]);
  });

  it('of a later boot is told anew', () => {
    witness.hear(TOLD);
    vi.advanceTimersByTime(60_000);
    expect(witness.join(PRINTED)).toBe(PRINTED);
  });
});
