// Nanos saves to contexts, not to stacks: a CPU's data, its current context, and what the rules make of them.

import { describe, expect, it } from 'vitest';
import type { Layout, TypeSource } from '../../src/model/layout.ts';
import { NANOS_UNWIND_RULES } from '../../src/unikernels/nanos-unwind.ts';
import { memoryOf, NO_TYPES, registersOf, symbolsOf, words } from './fake-guest.ts';

const [CPU, CONTEXT, THREAD, SP] = [0x1000n, 0x2000n, 0x3000n, 0x9000n];
/** As crt0.s lies in kernel.elf; names of labels inside macros are nasm's. */
const SYMBOLS = symbolsOf({
  interrupt0: 0x10_0000n,
  interrupt_entry_with_ec: 0x20_0000n,
  '..@19.out': 0x20_1000n,
  x86_frame_return: 0x30_0000n,
  n_interrupt_vectors: 0x30_2000n,
  syscall_handler: 0x40_0000n,
});

/** The frame of a context that goes on at `rip`. */
function frame(rip: bigint, { full = 1n } = {}): Uint8Array {
  const values = Array.from({ length: 31 }, (_, index) => BigInt(index + 1));
  values[6] = 0xb0n;
  values[7] = 0x7fff_0000n;
  values[16] = rip;
  values[17] = 0x202n;
  values[28] = full;
  return words(...values);
}

const WORD: Layout = { kind: 'integer', name: 'u64', size: 8, signed: false };
const FRAME: Layout = { kind: 'array', name: 'u64[31]', size: 248, element: () => WORD, count: 31 };
const member = (name: string, offset: number, layout: Layout) => ({ name, offset, layout: () => layout, bits: null });
const THREAD_LAYOUT: Layout = { kind: 'struct', name: 'thread', size: 400, members: [member('context', 0, FRAME)] };
const POINTER: Layout = { kind: 'pointer', name: 'thread', size: 8, target: () => THREAD_LAYOUT };
const TYPES: TypeSource = {
  findVariable: () => null,
  findType: (name) =>
    name === 'struct syscall_context' ? { kind: 'struct', name, size: 640, members: [member('t', 616, POINTER)] } : null,
};

function unwind(name: string, pc: bigint, pieces: Readonly<Record<string, Uint8Array>>, values = {}, types = TYPES) {
  const registers = registersOf({ rip: pc, rsp: SP, gs_base: CPU, rbp: 5n, rax: 6n, ...values });
  const memory = memoryOf({ [String(CPU)]: words(CPU, CONTEXT), ...pieces });
  for (const rule of NANOS_UNWIND_RULES) {
    const found = rule.function.test(name) ? rule.unwind({ registers, pc }, memory, SYMBOLS, types) : null;
    if (found !== null) return found;
  }
  return null;
}

describe('a system call', () => {
  const context = (thread: bigint): Uint8Array => {
    const bytes = new Uint8Array(640);
    bytes.set(words(thread), 616);
    return bytes;
  };
  const pieces = { [String(CONTEXT)]: context(THREAD), [String(THREAD)]: frame(0x40_1765n) };

  it('goes on in the program, behind its system call instruction', () => {
    const caller = unwind('syscall_handler', 0x40_0200n, pieces);
    expect(caller?.exactPc).toBe(false);
    expect(caller?.registers.values).toMatchObject({ rip: 0x40_1765n, rsp: 0x7fff_0000n, rbp: 0xb0n, gs_base: CPU });
  });

  it('at its first instruction has the thread in the register of its argument', () => {
    const caller = unwind('syscall_handler', 0x40_0000n, { [String(THREAD)]: frame(0x40_1765n, { full: 0n }) }, { rdi: THREAD });
    expect(caller?.registers.values.rip).toBe(0x40_1765n);
  });

  it('is left alone without types, with nothing saved, and where gs is the program’s', () => {
    expect(unwind('syscall_handler', 0x40_0200n, pieces, {}, NO_TYPES)).toBeNull();
    const empty = { ...pieces, [String(THREAD)]: frame(0x40_1765n, { full: 0n }) };
    expect(unwind('syscall_handler', 0x40_0200n, empty)).toBeNull();
    expect(unwind('syscall_handler', 0x40_0200n, pieces, { gs_base: CONTEXT })).toBeNull();
    expect(unwind('syscall_handler', 0x40_0200n, { [String(CONTEXT)]: context(0n) })).toBeNull();
  });
});

describe('an interrupt', () => {
  it('once handled in C goes on where the current context was interrupted', () => {
    const caller = unwind('..@19.out', 0x20_103dn, { [String(CONTEXT)]: frame(0x50_0000n) });
    expect(caller?.exactPc).toBe(true);
    expect(caller?.registers.values).toMatchObject({ rip: 0x50_0000n, rbp: 0xb0n });
  });

  it('in its entry goes on by what the CPU pushed, without the registers that the entry uses', () => {
    const pushed = words(36n, 0x50_0000n, 0x8n, 0x206n, 0x8000n, 0x10n);
    for (const [name, pc] of [
      ['interrupt0', 0x10_0000n],
      ['interrupt_entry', 0x20_0040n],
    ] as const) {
      const caller = unwind(name, pc, { [String(SP)]: pushed, [String(CONTEXT)]: frame(1n, { full: 0n }) });
      expect(caller?.registers.values).toMatchObject({ rip: 0x50_0000n, rsp: 0x8000n, rbp: 5n });
      expect(caller?.registers.values.rax).toBeUndefined();
    }
  });

  it('is not taken for one where a label of nasm lies elsewhere', () => {
    expect(unwind('..@19.out', 0x50_0000n, { [String(CONTEXT)]: frame(0x50_0000n) })).toBeNull();
  });
});

describe('the return to a context', () => {
  const pushed = words(0x40_1765n, 0x2bn, 0x202n, 0x7fff_0000n, 0x23n);

  it('is followed through the context while rdi leads to it, then through the registers themselves', () => {
    const loading = unwind(
      'x86_frame_return',
      0x30_0048n,
      { [String(SP)]: pushed, [String(CONTEXT)]: frame(0x40_1765n) },
      { rdi: CONTEXT },
    );
    expect(loading?.registers.values).toMatchObject({ rip: 0x40_1765n, rbp: 0xb0n, rax: 1n });
    const loaded = unwind('x86_frame_return', 0x30_0060n, { [String(SP)]: pushed }, { rdi: 0x77n });
    expect(loaded?.registers.values).toMatchObject({ rip: 0x40_1765n, rsp: 0x7fff_0000n, rbp: 5n, rax: 6n });
  });

  it('is not assumed before the CPU’s frame is on the stack', () => {
    expect(unwind('x86_frame_return', 0x30_0004n, { [String(SP)]: words(1n, 2n, 3n, 4n, 5n) }, { rdi: CONTEXT })).toBeNull();
  });
});
