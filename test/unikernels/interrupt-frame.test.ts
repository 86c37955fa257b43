import { describe, expect, it } from 'vitest';
import { findInterruptFrame, readInterruptFrame } from '../../src/unikernels/interrupt-frame.ts';
import { solo5 } from '../../src/unikernels/solo5.ts';
import { memoryAt, NO_TYPES, registersOf, symbolsOf, words } from './fake-guest.ts';

const SP = 0x7ff00n;
const FRAME = [0x105fe2n, 0x8n, 0x206n, 0x7ffffa0n, 0x10n] as const;

describe('what the CPU pushes at an interrupt', () => {
  it('is told by its selectors and flags, in kernel mode and from user mode', () => {
    const kernel = { rip: 0x105fe2n, rsp: 0x7ffffa0n, eflags: 0x206n, end: SP + 40n };
    expect(readInterruptFrame(memoryAt(SP, words(...FRAME)), SP)).toEqual(kernel);
    expect(readInterruptFrame(memoryAt(SP, words(0x105fe2n, 0x8n, 0x206n, 0x7ffffa0n, 0n)), SP)).toEqual(kernel);
    expect(readInterruptFrame(memoryAt(SP, words(0x401765n, 0x2bn, 0x202n, 0x7fffn, 0x23n)), SP)?.rip).toBe(0x401765n);
  });

  it('is not five words that merely lie there', () => {
    const others = [
      [1n, 2n, 3n, 4n, 5n],
      [0x105fe2n, 0x8n, 0x204n, 0x7ffffa0n, 0x10n],
      [0x105fe2n, 0x8n, 0x1234_5602n, 0x7ffffa0n, 0x10n],
      [0x105fe2n, 0x105fe2n, 0x206n, 0x7ffffa0n, 0x10n],
      [0x105fe2n, 0x2bn, 0x206n, 0x7ffffa0n, 0x10n],
    ];
    for (const other of others) expect(readInterruptFrame(memoryAt(SP, words(...other)), SP)).toBeNull();
    expect(readInterruptFrame(memoryAt(SP, words(...FRAME).subarray(0, 39)), SP)).toBeNull();
  });

  it('is found above what the entry has pushed so far, and not farther', () => {
    const memory = memoryAt(SP, words(0xaan, 0x105010n, ...FRAME));
    expect(findInterruptFrame(memory, SP, 3)?.rip).toBe(0x105fe2n);
    expect(findInterruptFrame(memory, SP, 2)).toBeNull();
  });
});

describe("Solo5's vectors while they push", () => {
  const unwind = (name: string, ...pushed: bigint[]) => {
    const rule = solo5.unwindRules.find((candidate) => candidate.source.includes('IRQ_ENTRY'))!;
    expect(rule.function.test(name)).toBe(true);
    const registers = registersOf({ rip: 0x101004n, rsp: SP, rbx: 0xbbn, rax: 1n, r11: 2n });
    return rule.unwind({ registers, pc: 0x101004n }, memoryAt(SP, words(...pushed, ...FRAME)), symbolsOf({}), NO_TYPES);
  };

  it('lead back to the interrupted instruction, without the registers that may be gone', () => {
    for (const pushed of [[], [9n], [9n, 8n, 7n, 6n, 5n, 4n, 3n, 2n, 1n]]) {
      const caller = unwind('cpu_irq_0', ...pushed);
      expect(caller?.exactPc).toBe(true);
      expect(caller?.registers.values).toEqual({ rip: 0x105fe2n, rsp: 0x7ffffa0n, eflags: 0x206n, rbx: 0xbbn });
    }
    expect(unwind('cpu_trap_6', 0n, 0n)?.registers.values.rip).toBe(0x105fe2n);
  });
});
