import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { disassemble } from '../../src/arch/disassemble.ts';
import type { Machine } from '../../src/model/machine.ts';

const MACHINES: readonly Machine[] = ['x86_64', 'i386', 'aarch64', 'riscv64'];
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));

describe('the disassembler', () => {
  it.each([
    ['x86_64', '554889e50f0b', ['push rbp', 'mov rbp, rsp', 'ud2']],
    ['aarch64', 'fd7bbfa9fd030091', ['stp x29, x30, [sp, #-0x10]!', 'mov x29, sp']],
    ['riscv64', '411106e4', ['c.addi sp, -0x10', 'c.sdsp ra, 8(sp)']],
  ] as const)('reads %s', async (machine, hex, expected) => {
    expect((await disassemble(machine, bytesOf(hex), 0x1000n)).map(({ text }) => text)).toEqual(expected);
  });

  it('counts addresses exactly in the upper half, branch targets included', async () => {
    const [, call] = await disassemble('x86_64', bytesOf('90e800000000'), 0xffff_ffff_8000_0000n);
    expect(call).toEqual({ address: 0xffff_ffff_8000_0001n, length: 5, text: 'call 0xffffffff80000006' });
  });

  it('shows what is no instruction as bytes and goes on behind it', async () => {
    expect((await disassemble('x86_64', bytesOf('06c3'), 0n)).map(({ text }) => text)).toEqual(['.byte 0x06', 'ret']);
  });

  it('covers any bytes whole, without a throw', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...MACHINES), fc.uint8Array({ maxLength: 64 }), async (machine, bytes) => {
        const instructions = await disassemble(machine, bytes, 0x4000n);
        expect(instructions.reduce((sum, { length }) => sum + length, 0)).toBe(bytes.length);
      }),
      { numRuns: 60 },
    );
  });
});
