import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Frame, Stack } from '../../src/model/frame.ts';
import type { ListPosition } from '../../tui/state.ts';
import { lineText, lineWidth } from '../../tui/text.ts';
import { dumpLines } from '../../tui/views/bytes.ts';
import { addressDigits, frameLine } from '../../tui/views/frame-line.ts';
import { movePosition, resolvePosition } from '../../tui/views/list.ts';
import { registerGrid } from '../../tui/views/registers.ts';
import { findDeadlocked } from '../../tui/views/threads.ts';
import { openState, press, screenText } from './draw.ts';
import { CRASH, makeCrashed, makeSnapshot, REGISTERS, THREADS } from './guest.ts';

describe('a frame', () => {
  const [inlined, real] = CRASH.frames as [Frame, Frame];

  it('is aligned with its neighbours at every width, and never wider', () => {
    for (let width = 20; width < 140; width += 1) {
      for (const frame of CRASH.frames) expect(lineWidth(frameLine(frame, 8, width))).toBeLessThanOrEqual(width);
    }
    expect(lineText(frameLine(real, 8, 60)).indexOf('handle')).toBe(lineText(frameLine(inlined, 8, 60)).indexOf('queue'));
  });

  it('gives up its offset before its name is cut', () => {
    expect(lineText(frameLine(real, 8, 42))).toContain('handle_request ');
    expect(lineText(frameLine(real, 8, 60))).toContain('handle_request+0x1c');
  });

  it('shows as many digits as the stack needs', () => {
    expect(addressDigits([0x1000n])).toBe(8);
    expect(addressDigits([0x7fff_1234_5678n])).toBe(12);
    expect(addressDigits([0xffff_ffff_8010_0000n, 0x1000n])).toBe(16);
  });
});

describe('lists', () => {
  const rows = Array.from({ length: 30 }, (_, index) => ({
    key: String(index),
    text: '',
    heading: index % 10 === 0,
    draw: () => [],
  }));
  const start = { key: null, index: 0, top: 0 };

  it('never select a heading, and show the one above the first row', () => {
    expect(resolvePosition(start, rows, 5)).toEqual({ index: 1, top: 0 });
    const ninth = movePosition(start, rows, 5, 8);
    expect(movePosition(ninth, rows, 5, 1).index).toBe(11);
    expect(movePosition(movePosition(ninth, rows, 5, 1), rows, 5, -1).index).toBe(9);
    const last = movePosition(start, rows, 5, 1000);
    expect(resolvePosition(movePosition(last, rows, 5, -1000), rows, 5)).toEqual({ index: 1, top: 0 });
  });

  it('keep the selection in view', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -40, max: 40 }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 12 }),
        (moves, height) => {
          const position = moves.reduce<ListPosition>((at, by) => movePosition(at, rows, height, by), start);
          const { index, top } = resolvePosition(position, rows, height);
          expect(index).toBeGreaterThanOrEqual(top);
          expect(index).toBeLessThan(top + height);
        },
      ),
    );
  });
});

describe('memory', () => {
  it('fits its dump into any width from 60 on and tells unreadable bytes from zeroes', () => {
    const window = { address: 0xffff_ffff_8000_0000n, bytes: new Uint8Array(40), unreadable: [{ start: 8, end: 16 }] };
    for (let width = 60; width < 120; width += 1) {
      for (const line of dumpLines(window, width, 10)) expect(lineWidth(line)).toBeLessThanOrEqual(width);
    }
    expect(lineText(dumpLines(window, 80, 1)[0]!)).toBe(
      'ffffffff80000000  0000 0000 0000 0000 ???? ???? ???? ????  ········????????',
    );
  });
});

describe('registers', () => {
  it('stand pc, sp and fp first, and mark the one that holds the fault address, never a selector', () => {
    const registers = { ...REGISTERS, values: { ...REGISTERS.values, ss: 0x8n } };
    const rows = registerGrid(registers, { columns: 1, height: 40, faultAddress: 0x8n }).map(lineText);
    expect(rows.slice(0, 3).map((row) => row.slice(0, 3))).toEqual(['rip', 'rsp', 'rbp']);
    expect(rows.filter((row) => row.includes('▸')).map((row) => row.slice(0, 3))).toEqual(['rdi', 'cr2']);
  });

  it('say how many have no place', () => {
    expect(lineText(registerGrid(REGISTERS, { columns: 1, height: 5, faultAddress: null }).at(-1)!)).toBe('… 16 more: y');
  });
});

describe('deadlock', () => {
  it('is a cycle of threads, and only those on it', () => {
    expect([...findDeadlocked(THREADS)]).toEqual(['2', '4']);
  });

  it('is not a chain, nor a thread that waits for one that is gone', () => {
    const chain = THREADS.map((thread) => ({ ...thread, blockedBy: thread.id === '2' ? '1' : thread.id === '3' ? '99' : null }));
    expect(findDeadlocked(chain).size).toBe(0);
  });
});

describe('the status bar', () => {
  it('says that a guest crashed although QEMU runs it on', () => {
    const text = screenText(makeCrashed({ vm: { status: 'running', reason: null, since: 0 } }), openState());
    expect(text.split('\n')[0]).toContain('● RUNNING   ✖ fault ');
  });

  it('shows that the session is recorded', () => {
    expect(screenText(makeSnapshot(), { ...openState(), recording: 'demo.unirec' })).toContain('● REC');
  });

  it('says of a recording that nothing runs, and when it was', () => {
    const snapshot = makeSnapshot({ identity: { ...makeSnapshot().identity!, kind: 'replay' } });
    const text = screenText(snapshot, openState());
    expect(text).toContain('▷ REPLAY');
    expect(text).toContain('a recording: nothing runs');
    expect(text).toContain('2026-11-21 12:00:00');
  });
});

describe('a closed stack', () => {
  it('tells what its thread is about, without what all threads are in, of whatever template that is', () => {
    const [first] = makeSnapshot().stacks.slice(1);
    const named = (id: number, ...functions: readonly string[]): Stack => ({
      ...first!,
      name: `t${id}`,
      id: String(id),
      frames: functions.map((name, index) => ({ ...first!.frames[0]!, index, function: name })),
    });
    const stacks = [
      named(1, 'wait_until<sleepers>', 'poll_disk', 'thread_main'),
      named(2, 'wait_until<mutex, 3>', 'serve<int>', 'thread_main'),
      named(3, 'wait_until<>', 'thread_main'),
    ];
    const text = screenText(makeSnapshot({ stacks }), press(openState(200, 50), makeSnapshot({ stacks }), '2', 'e').state);
    expect(text).toMatch(/t1 +poll_disk +sleeping/);
    expect(text).toMatch(/t2 +serve +sleeping/);
    expect(text).toMatch(/t3 +wait_until ← thread_main +sleeping/);
  });
});
