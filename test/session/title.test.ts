import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/model/frame.ts';
import { findGuiltyFrame } from '../../src/session/blame.ts';
import { type CrashFacts, titleOf } from '../../src/session/title.ts';
import { facts, frame, MACHINERY } from './crash-facts.ts';

describe('the title of a crash', () => {
  const cases: readonly (readonly [string, Partial<CrashFacts>])[] = [
    ['null dereference in handle (handle.c:41)', {}],
    ['jump to null in handle (handle.c:41)', { faultAddress: 0n, pc: 0n }],
    ['wild jump in handle (handle.c:41)', { faultAddress: 0xdead0000n, pc: 0xdead0000n }],
    ['bad memory access in handle (handle.c:41)', { faultAddress: 0xdead0000n }],
    ['divide error in handle (handle.c:41)', { message: 'divide error (#DE)', faultAddress: null }],
    ['stack overflow in handle (handle.c:41)', { message: 'stack overflow in thread worker', faultAddress: 0x7000n }],
    [
      'stack overflow in blow (blow.c:7)',
      { faultAddress: 0x6ff8n, sp: 0x7000n, frames: Array.from({ length: 80 }, () => frame('blow', 7)) },
    ],
    ['null dereference in blow (blow.c:7)', { sp: 0x9_0000n, frames: Array.from({ length: 80 }, () => frame('blow', 7)) }],
    ['assertion failed in handle (handle.c:41)', { kind: 'assert', message: 'Assertion failed' }],
    ['out of memory in handle (handle.c:41)', { kind: 'out-of-memory', message: 'no more' }],
    ['assertion x > 0 failed in handle (handle.c:41)', { kind: 'assert', message: 'assertion failed: x > 0 at app.c:3' }],
    ['assertion i < v.size() failed in handle (handle.c:41)', { kind: 'assert', message: 'Assertion failed: i < v.size()' }],
    ['assertion n && "empty" failed in handle (handle.c:41)', { kind: 'assert', message: 'Assertion failed: n && "empty"' }],
    [
      'assertion left == right failed in handle (handle.c:41)',
      { kind: 'assert', message: 'assertion `left == right` failed: sum\n  left: 3' },
    ],
    ['assertion n < (size / 2) failed in handle (handle.c:41)', { kind: 'assert', message: 'assertion n < (size / 2) failed' }],
    ['page fault at 0x1000', { faultAddress: null, frames: [] }],
    ['abort in f (app.c:3)', { kind: 'abort', frames: [], location: { file: 'src/app.c', line: 3, function: 'f' } }],
  ];
  it.each(cases)('reads "%s"', (title, over) => {
    expect(titleOf(facts(over), MACHINERY)).toBe(title);
  });

  it('blames the first frame that is not crash machinery', () => {
    expect(findGuiltyFrame(facts({}).frames, MACHINERY)?.function).toBe('handle');
    expect(findGuiltyFrame([frame(null)], MACHINERY)).toBeNull();
  });

  it('does not blame the standard library for what it was asked to do', () => {
    const internal = { ...frame('listOnTimeout', 581), file: 'node:internal/timers' };
    expect(findGuiltyFrame([internal, frame('handle', 41)], MACHINERY)?.function).toBe('handle');
  });

  it('tells a function without a name by its file', () => {
    const anonymous: Frame = { ...frame(null), file: '/app/app.js', line: 10, pc: 0n, trust: 'reported' };
    expect(titleOf(facts({ kind: 'abort', frames: [anonymous, frame('main', 7)] }), MACHINERY)).toBe('abort at app.js:10');
  });

  it('blames nobody when what ran lies in no image that is known', () => {
    const unknown: Frame = { ...frame(null), status: 'no-image' };
    expect(findGuiltyFrame([frame('trap_14'), unknown, frame('run_main')], MACHINERY)).toBeNull();
    expect(findGuiltyFrame([unknown, frame('trap_14'), frame('handle')], MACHINERY)?.function).toBe('handle');
    expect(findGuiltyFrame([frame(null), frame('handle')], MACHINERY)?.function).toBe('handle');
  });
});
