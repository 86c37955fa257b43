// The way out of interrupt code, at each of its instructions.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { getArchitecture } from '../../src/arch/machines.ts';
import type { TrapExit } from '../../src/arch/x86-trap-exit.ts';

const TEXT = 0x10_0000n;

function exitsOf(hex: string, offset: number, described: readonly number[] = []): TrapExit[] {
  const code = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const read = (address: bigint): Uint8Array | null => {
    const at = Number(address - TEXT);
    return at >= 0 && at < code.length ? code.subarray(at, at + 15) : null;
  };
  const isDescribed = (address: bigint): boolean => described.includes(Number(address - TEXT));
  return getArchitecture('x86_64').findTrapExits!(TEXT + BigInt(offset), read, isDescribed);
}

// As Solo5's cpu_irq_0: cld; push rax, rdi, r8; call; pop r8, rdi, rax; iretq
const STUB = 'fc 50 57 41 50 e8 00 10 00 00 41 58 5f 58 48 cf';

describe('interrupt code', () => {
  it.each([
    [0, 0, {}],
    [1, 0, {}],
    [2, 8, { rax: 0 }],
    [3, 16, { rdi: 0, rax: 8 }],
    [5, 24, { r8: 0, rdi: 8, rax: 16 }],
    [10, 24, { r8: 0, rdi: 8, rax: 16 }],
    [12, 16, { rdi: 0, rax: 8 }],
    [13, 8, { rax: 0 }],
    [14, 0, {}],
  ])('at byte %i has its frame %i bytes up', (offset, depth, saved) => {
    const [exit, ...others] = exitsOf(STUB, offset);
    expect(others).toEqual([]);
    expect(exit).toMatchObject({ at: null, depth });
    // What is pushed on the way and popped again never left its register.
    expect(Object.fromEntries(exit!.loaded)).toEqual(saved);
  });

  it('may load registers by mov and drop an error code by add or lea', () => {
    // mov 8(%rsp),%rbx; add $16,%rsp; lea 8(%rsp),%rsp; iretq
    const [exit] = exitsOf('48 8b 5c 24 08 48 83 c4 10 48 8d 64 24 08 48 cf', 0);
    expect(exit).toEqual({ at: null, depth: 24, loaded: new Map([['rbx', 8]]) });
  });

  it('has a way out for each outcome of a condition', () => {
    // je +4; add $8,%rsp; iretq
    expect(exitsOf('74 04 48 83 c4 08 48 cf', 0).map(({ depth }) => depth)).toEqual([8]);
    expect(exitsOf('74 06 48 83 c4 08 48 cf 48 cf', 0).map(({ depth }) => depth)).toEqual([8, 0]);
  });

  it('that jumps to code with CFI leaves the rest to it, unless a condition was met before', () => {
    // push $33; jmp +4
    expect(exitsOf('6a 21 eb 04 90 90 90 90 c3', 0, [8])).toEqual([{ at: TEXT + 8n, depth: -8, loaded: new Map() }]);
    expect(exitsOf('74 00 eb 04 90 90 90 90 c3', 0, [8])).toEqual([]);
  });

  it.each([
    ['a return', 'c3 48 cf'],
    ['a stack pointer from elsewhere', '48 89 c4 48 cf'],
    ['a frame pointer', 'c9 48 cf'],
    ['a jump through a register', 'ff e0 48 cf'],
    ['a halt', 'f4 48 cf'],
    ['an endless loop', 'eb fe'],
    ['iret of 32 bits', 'cf'],
  ])('is not found behind %s', (_, hex) => {
    expect(exitsOf(hex, 0)).toEqual([]);
  });

  it('is looked for in any bytes without end or error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), (bytes) => {
        const exits = exitsOf(Buffer.from(bytes).toString('hex'), 0, [7, 30]);
        expect(exits.length).toBeLessThanOrEqual(4);
        for (const { depth } of exits) expect(Math.abs(depth)).toBeLessThanOrEqual(4096 + 0x8000_0000);
      }),
      { numRuns: 2000 },
    );
  });
});
