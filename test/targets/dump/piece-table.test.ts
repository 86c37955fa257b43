// Ranges that overlap in any way, against the plainest possible model: an array of bytes.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_BOUND, PieceTableBuilder, ZEROS } from '../../../src/targets/dump/piece-table.ts';

const range = fc.record({ start: fc.nat(60), length: fc.nat(30), position: fc.oneof(fc.constant(ZEROS), fc.nat(1000)) });

describe('a table of ranges', () => {
  it('gives each place to the range that was added last', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), (ranges) => {
        const builder = new PieceTableBuilder();
        const model = new Map<number, number>();
        for (const { start, length, position } of ranges) {
          expect(builder.add(start, start + length, position)).toBe(true);
          for (let at = 0; at < length; at += 1) model.set(start + at, position === ZEROS ? ZEROS : position + at);
        }
        const table = builder.build();
        for (let at = 0; at < 100; at += 1) {
          const index = table.find(at);
          const position = index === null ? undefined : table.position(index);
          const found = index === null || position === ZEROS ? position : position! + at - table.start(index);
          expect(found).toBe(model.get(at));
        }
        expect(table.bytes).toBe(model.size);
        expect(table.end).toBe(model.size === 0 ? 0 : Math.max(...model.keys()) + 1);
      }),
      { numRuns: 500 },
    );
  });

  it('takes no range that wraps, is not a number, or lies beyond all addresses', () => {
    const builder = new PieceTableBuilder();
    for (const [start, end, position] of [
      [-1, 5, 0],
      [5, 4, 0],
      [0, MAX_BOUND + 1, 0],
      [NaN, 5, 0],
      [0, Infinity, 0],
      [0, 5, Infinity],
      [0, 5, -2],
    ] as const) {
      expect(builder.add(start, end, position)).toBe(false);
    }
    expect(builder.build().count).toBe(0);
  });

  it('with a hundred thousand ranges over each other is made in a second', () => {
    const builder = new PieceTableBuilder();
    for (let index = 0; index < 100_000; index += 1) builder.add(index, 1_000_000 - index, 7 * index);
    const from = performance.now();
    expect(builder.build().count).toBe(199_999);
    expect(performance.now() - from).toBeLessThan(3000);
  });
});
