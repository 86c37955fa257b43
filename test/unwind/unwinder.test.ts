// The unwinder on hand-made stacks: the order of its means, its ends, and what it must not believe.

import { describe, expect, it } from 'vitest';
import type { CfiIndex, CfiMatch } from '../../src/dwarf/cfi-index.ts';
import type { CfiRow, RegisterRule } from '../../src/dwarf/cfi-row.ts';
import type { Registers } from '../../src/model/registers.ts';
import type { Symbolizer } from '../../src/model/symbolizer.ts';
import type { Memory } from '../../src/model/target.ts';
import type { UnwindRule } from '../../src/model/unikernel.ts';
import type { UnwindModule } from '../../src/unwind/module.ts';
import { createUnwinder, type UnwindOptions } from '../../src/unwind/unwinder.ts';

const TEXT = 0x10_0000n;
const STACK = 0x80_0000n;
const STACK_WORDS = 512;

/** A guest with 4 KiB of code: `code` puts bytes at offsets of the text, `stack` words at indices, `functions` names by offset. */
interface Guest {
  readonly code?: Readonly<Record<number, string>>;
  readonly stack?: Readonly<Record<number, bigint>>;
  readonly functions?: Readonly<Record<number, string>>;
  readonly cfi?: CfiIndex | null;
  readonly rules?: readonly UnwindRule[];
  readonly registers: Readonly<Record<string, bigint>>;
}

const word = (index: number): bigint => STACK + BigInt(index) * 8n;
const text = (offset: number): bigint => TEXT + BigInt(offset);

/** `call` to the function at `target` that ends at `end`: [where it starts, its bytes]. */
function call(end: number, target: number): [number, string] {
  const bytes = Buffer.alloc(5);
  bytes[0] = 0xe8;
  bytes.writeInt32LE(target - end, 1);
  return [end - 5, bytes.toString('hex')];
}

function memoryOf({ code = {}, stack = {} }: Guest): Memory {
  const regions = [
    { start: TEXT, bytes: new Uint8Array(4096).fill(0x90) },
    { start: STACK, bytes: new Uint8Array(STACK_WORDS * 8) },
  ] as const;
  for (const [offset, hex] of Object.entries(code))
    regions[0].bytes.set(Buffer.from(hex.replaceAll(' ', ''), 'hex'), Number(offset));
  const words = new DataView(regions[1].bytes.buffer);
  for (const [index, value] of Object.entries(stack)) words.setBigUint64(Number(index) * 8, value, true);
  return {
    read: (address, length) => {
      const region = regions.find(
        ({ start, bytes }) => address >= start && address + BigInt(length) <= start + BigInt(bytes.length),
      );
      return region === undefined
        ? null
        : region.bytes.subarray(Number(address - region.start), Number(address - region.start) + length);
    },
  };
}

function symbolizerOf({ functions = {} }: Guest): Symbolizer {
  return {
    images: [],
    symbolize: (address, { isReturnAddress = false } = {}) => {
      const offset = Number(address - TEXT);
      const start = Object.keys(functions)
        .map(Number)
        .filter((at) => at <= offset - (isReturnAddress ? 1 : 0))
        .sort((a, b) => b - a)[0];
      const known = start !== undefined && offset < 4096;
      const nowhere = { file: null, line: null, column: null, inlined: false, module: null };
      return [
        {
          ...nowhere,
          function: known ? functions[start]! : null,
          functionOffset: known ? offset - start : null,
          status: known ? 'symbolicated' : 'no-image',
        },
      ];
    },
    findSymbol: () => null,
    findCode: () => null,
  };
}

function unwind(guest: Guest, options?: UnwindOptions, memory = memoryOf(guest)) {
  const module: UnwindModule = {
    ...{ base: TEXT, end: TEXT + 4096n, loadBias: 0n },
    ...{ text: [{ start: TEXT, end: TEXT + 4096n }], cfi: guest.cfi ?? null },
  };
  const registers: Registers = { machine: 'x86_64', values: guest.registers };
  const unwinder = createUnwinder({ modules: [module], rules: guest.rules ?? [], symbolizer: symbolizerOf(guest) });
  const { frames, end } = unwinder.unwind(registers, memory, options);
  return { frames, end, found: frames.map(({ pc, trust }) => `${(pc - TEXT).toString(16)} ${trust}`) };
}

/** CFI for functions by their offsets: the CFA is rsp + `size`, and any rule may be replaced. */
function cfiOf(
  functions: readonly { start: number; end: number; size: number; signal?: boolean; rules?: [number, RegisterRule][] }[],
): CfiIndex {
  const find = (address: bigint): CfiMatch | null => {
    const offset = Number(address - TEXT);
    const found = functions.find(({ start, end }) => offset >= start && offset < end);
    if (found === undefined) return null;
    const row: CfiRow = {
      ...{ start: found.start, end: found.end, returnAddressSigned: false },
      cfa: { kind: 'register', register: 7, offset: found.size },
      rules: new Map<number, RegisterRule>([[16, { kind: 'offset', offset: -8 }], ...(found.rules ?? [])]),
    };
    const cie = { addressSize: 8, returnAddressColumn: 16, signalFrame: found.signal ?? false };
    return { row, fde: { start: found.start, end: found.end, cie } as CfiMatch['fde'] };
  };
  return { base: TEXT, find, diagnostics: [], startsAt: (address) => find(address)?.fde.start === Number(address - TEXT) };
}

describe('CFI', () => {
  const cfi = cfiOf([
    { start: 0x100, end: 0x140, size: 16, rules: [[3, { kind: 'offset', offset: -16 }]] },
    { start: 0x140, end: 0x180, size: 24 },
    { start: 0x180, end: 0x1c0, size: 8, rules: [[16, { kind: 'undefined' }]] },
  ]);
  const guest: Guest = {
    cfi,
    code: Object.fromEntries([call(0x160, 0x100), call(0x1c0, 0x140)]),
    stack: { 0: 0xbbn, 1: text(0x160), 4: text(0x1c0) },
    registers: { rip: text(0x110), rsp: word(0), rbx: 1n, rax: 2n, r12: 12n },
  };

  it('gives each frame its CFA and ends at an undefined return address', () => {
    const { frames, end, found } = unwind(guest);
    expect(found).toEqual(['110 registers', '160 cfi', '1c0 cfi']);
    expect(frames.map(({ cfa }) => cfa)).toEqual([word(2), word(5), word(6)]);
    expect(end).toBe('outermost');
  });

  it('looks a return address up by the byte before it, the last of a function that never returned', () => {
    expect(unwind(guest).frames[2]).toMatchObject({ pc: text(0x1c0), exactPc: false });
  });

  it('keeps what the callee had to keep, restores what it saved, and forgets the rest', () => {
    const { values } = unwind(guest).frames[1]!.registers;
    expect(values).toEqual({ rip: text(0x160), rsp: word(2), rbx: 0xbbn, r12: 12n });
  });

  it('says unreadable when the stack is not there', () => {
    expect(unwind({ ...guest, registers: { ...guest.registers, rsp: 0x123_4560n } })).toMatchObject({ end: 'unreadable' });
  });

  it('ends at a return address of 0', () => {
    expect(unwind({ ...guest, stack: {} })).toMatchObject({ end: 'outermost', found: ['110 registers'] });
  });

  it('makes the pc behind a signal frame exact and looks it up as it is', () => {
    const signal = cfiOf([
      { start: 0x100, end: 0x140, size: 16, signal: true, rules: [[7, { kind: 'offset', offset: -16 }]] },
      { start: 0x140, end: 0x180, size: 8, rules: [[16, { kind: 'undefined' }]] },
    ]);
    const { frames, found } = unwind({ ...guest, cfi: signal, stack: { 0: word(100), 1: text(0x140) } });
    expect(found).toEqual(['110 registers', '140 cfi']);
    expect(frames[1]).toMatchObject({ exactPc: true, registers: { values: { rsp: word(100) } } });
  });

  it('takes a planted return address, the start of a function that no call precedes, for what it is', () => {
    const { frames, found } = unwind({ ...guest, stack: { 1: text(0x180) } });
    expect(found).toEqual(['110 registers', '180 cfi']);
    expect(frames[1]!.exactPc).toBe(true);
  });

  it('shows a smashed return address, believes neither it nor what follows', () => {
    const { found, end } = unwind({ ...guest, stack: { 1: 0x4141_4141_4141n, 9: text(0x1c0) } });
    expect(found).toEqual(['110 registers', `${(0x4141_4141_4141n - TEXT).toString(16)} scan`, '1c0 scan']);
    expect(end).toBe('outermost');
  });

  it('is not followed into the flags that inline assembly pushed behind its back', () => {
    const { found } = unwind({
      // push %rbx; pushf; pop %rax; pop %rbx; ret, with CFI for the first push only
      code: { 0x100: '53 9c 58 5b c3', ...Object.fromEntries([call(0x160, 0x100), call(0x1c0, 0x140)]) },
      functions: { 0x100: 'save_flags', 0x140: 'caller', 0x180: 'main' },
      cfi: cfiOf([
        { start: 0x100, end: 0x140, size: 16 },
        { start: 0x140, end: 0x180, size: 8 },
        { start: 0x180, end: 0x1c1, size: 8, rules: [[16, { kind: 'undefined' }]] },
      ]),
      stack: { 0: 0x246n, 1: 7n, 2: text(0x160), 3: text(0x1c0) },
      registers: { rip: text(0x102), rsp: word(0) },
    });
    expect(found).toEqual(['102 registers', '160 frame-pointer', '1c0 cfi']);
  });

  it('goes out of a signal handler by what the kernel saved, whatever the restorer has for CFI', () => {
    // As Go's runtime.sigreturn: mov $15,%rax; syscall. r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip from word 1 + 5 on.
    const saved = { 17: 0x5bn, 21: word(40), 22: text(0x14a), 23: 0x202n };
    const handler: Guest = {
      code: { 0x1a0: '48c7c00f000000 0f05', ...Object.fromEntries([call(0x1c0, 0x140)]) },
      functions: { 0x100: 'handler', 0x140: 'interrupted', 0x180: 'main', 0x1a0: 'sigreturn' },
      stack: { 0: text(0x1a0), ...saved, 40: text(0x1c0) },
      registers: { rip: text(0x110), rsp: word(0) },
    };
    const rows = [
      { start: 0x100, end: 0x140, size: 8 },
      { start: 0x140, end: 0x180, size: 8 },
      { start: 0x1c1 - 0x30, end: 0x1a0, size: 8 },
      { start: 0x1b0, end: 0x1c1, size: 8, rules: [[16, { kind: 'undefined' }] as [number, RegisterRule]] },
    ];
    const expected = ['110 registers', '1a0 cfi', '14a registers', '1c0 cfi'];
    expect(unwind({ ...handler, cfi: cfiOf(rows) }).found).toEqual(expected);
    const { found, frames } = unwind({ ...handler, cfi: cfiOf([...rows, { start: 0x1a0, end: 0x1b0, size: 8 }]) });
    expect(found).toEqual(expected);
    expect(frames[2]).toMatchObject({ exactPc: true, registers: { values: { rbx: 0x5bn } } });
  });

  it('stops where a stack leads back to itself', () => {
    const back = cfiOf([{ start: 0x100, end: 0x180, size: 16, rules: [[7, { kind: 'val-offset', offset: -16 }]] }]);
    const { frames, end } = unwind({ ...guest, cfi: back, stack: { 1: text(0x160) } });
    expect(end).toBe('loop');
    expect(frames.length).toBeLessThan(4);
  });

  it('stops at the limit', () => {
    const endless = { ...guest, cfi: cfiOf([{ start: 0x100, end: 0x180, size: 8 }]) };
    const stack = Object.fromEntries(Array.from({ length: STACK_WORDS }, (_, index) => [index, text(0x160)]));
    expect(unwind({ ...endless, stack })).toMatchObject({ end: 'limit', frames: { length: 256 } });
    expect(unwind({ ...endless, stack }, { limit: 7 })).toMatchObject({ end: 'limit', frames: { length: 7 } });
  });

  it('lets what memory throws pass through', () => {
    class PageAbsent extends Error {}
    const memory: Memory = {
      read: () => {
        throw new PageAbsent();
      },
    };
    expect(() => unwind(guest, {}, memory)).toThrow(PageAbsent);
  });

  it('has nothing to say without a pc', () => {
    expect(unwind({ ...guest, registers: { rsp: word(0) } })).toMatchObject({ frames: [], end: 'no-rule' });
  });
});

describe('a rule of the system', () => {
  const trap: UnwindRule = {
    ...{ function: /^cpu_trap_/, source: 'this test' },
    unwind: ({ registers }, memory) => {
      const frame = memory.read((registers.values.rsp ?? 0n) + 8n, 8);
      const rip = frame === null ? null : Buffer.from(frame).readBigUInt64LE();
      return rip === null ? null : { registers: { machine: 'x86_64', values: { rip, rsp: word(20) } }, exactPc: true };
    },
  };
  const guest: Guest = {
    ...{ rules: [trap], functions: { 0x100: 'cpu_trap_14', 0x200: 'faulting' } },
    ...{ stack: { 1: text(0x203) }, registers: { rip: text(0x110), rsp: word(0) } },
  };

  it('is asked where CFI has nothing, and its registers are saved ones', () => {
    const { found, frames } = unwind(guest);
    expect(found.slice(0, 2)).toEqual(['110 registers', '203 registers']);
    expect(frames[1]!.exactPc).toBe(true);
  });

  it('is not asked where CFI knows', () => {
    const cfi = cfiOf([{ start: 0x100, end: 0x140, size: 8, rules: [[16, { kind: 'undefined' }]] }]);
    expect(unwind({ ...guest, cfi })).toMatchObject({ found: ['110 registers'], end: 'outermost' });
  });

  it('ends the stack with a return address of 0', () => {
    const outermost: UnwindRule = {
      ...trap,
      unwind: () => ({ registers: { machine: 'x86_64', values: { rip: 0n } }, exactPc: false }),
    };
    expect(unwind({ ...guest, rules: [outermost] })).toMatchObject({ found: ['110 registers'], end: 'outermost' });
  });

  it('leads to the caller of a null call that a handler interrupted', () => {
    const { found } = unwind({
      ...guest,
      code: { 0x2fe: 'ffd0' },
      stack: { 1: 0n, 20: text(0x300) },
    });
    expect(found.slice(0, 3)).toEqual(['110 registers', `${(-TEXT).toString(16)} registers`, '300 scan']);
  });
});

describe('interrupt code', () => {
  const guest = (code: bigint, stack: bigint): Guest => ({
    ...{ functions: { 0x100: 'vector', 0x200: 'faulting' }, code: { 0x110: '48cf' } },
    stack: { 0: text(0x203), 1: code, 2: 0x206n, 3: word(20), 4: stack },
    registers: { rip: text(0x110), rsp: word(0) },
  });

  it.each([
    ['the CPU pushed', 8n, 0x10n],
    ['Xen pushed for a paravirtual guest', 0xe030n, 0xe02bn],
    ['Xen pushed, with events masked', 0x1_0000_e033n, 0xe02bn],
  ])('leads to what it interrupted through the frame that %s', (_, code, stack) => {
    const { found, frames } = unwind(guest(code, stack));
    expect(found[1]).toBe('203 frame-pointer');
    expect(frames[1]).toMatchObject({ exactPc: true, registers: { values: { rsp: word(20), eflags: 0x206n } } });
  });

  it('leads nowhere where the selectors are none', () => {
    for (const [code, stack] of [
      [0xe030n, 0x10n],
      [8n, 0xe02bn],
      [0x2_0000_e030n, 0xe02bn],
    ] as const) {
      expect(unwind(guest(code, stack)).found).toEqual(['110 registers']);
    }
  });
});

describe('a jump to nowhere', () => {
  const registers = { rip: 0xbad_0000n, rsp: word(0), rbx: 5n };

  it('through a register that still holds the address has its caller proven', () => {
    const { found, frames } = unwind({
      code: { 0x2fe: 'ffd0' },
      stack: { 0: text(0x300) },
      registers: { ...registers, rax: 0xbad_0000n },
    });
    expect(found[1]).toBe('300 frame-pointer');
    expect(frames[1]!.registers.values).toEqual({ rip: text(0x300), rsp: word(1), rbx: 5n });
  });

  it('is only likely to come from the call whose return address is on top', () => {
    expect(unwind({ code: { 0x2fe: 'ffd0' }, stack: { 0: text(0x300) }, registers }).found[1]).toBe('300 scan');
  });

  it('has no caller where no call stands', () => {
    expect(unwind({ stack: { 0: text(0x300) }, registers })).toMatchObject({ frames: { length: 1 }, end: 'no-rule' });
  });
});

describe('frame pointers', () => {
  const guest: Guest = {
    functions: { 0x100: 'inner', 0x140: 'middle', 0x180: 'outer' },
    code: {
      0x100: '55 48 89 e5',
      0x140: '55 48 89 e5',
      0x180: '55 48 89 e5',
      ...Object.fromEntries([call(0x160, 0x100), call(0x1a0, 0x140)]),
    },
    stack: { 10: word(20), 11: text(0x160), 20: word(30), 21: text(0x1a0), 30: 0n, 31: 0n },
    registers: { rip: text(0x120), rsp: word(5), rbp: word(10) },
  };

  it('are followed to the record that ends them', () => {
    expect(unwind(guest)).toMatchObject({ found: ['120 registers', '160 frame-pointer', '1a0 frame-pointer'], end: 'outermost' });
  });

  it.each<[string, Guest['stack'], Partial<Record<string, bigint>>]>([
    ['are not aligned', guest.stack, { rbp: word(10) + 1n }],
    ['point below the stack pointer', guest.stack, { rsp: word(11) }],
    ['point far away', guest.stack, { rbp: word(10) + 0x1000_0000n }],
    ['lead to what no call precedes', { ...guest.stack, 11: text(0x150) }, {}],
    ['lead out of all code', { ...guest.stack, 11: 0x12345n }, {}],
  ])('are not believed when they %s', (_, stack, registers) => {
    const { found } = unwind({
      ...guest,
      stack: stack ?? {},
      registers: { ...guest.registers, ...registers } as Record<string, bigint>,
    });
    expect(found.filter((frame) => frame.endsWith('frame-pointer'))).toEqual([]);
  });

  it('that point to themselves end as no rule, not for ever', () => {
    const { end, frames } = unwind({ ...guest, stack: { ...guest.stack, 10: word(10) } });
    expect(['no-rule', 'loop']).toContain(end);
    expect(frames.length).toBeLessThan(5);
  });

  it('are not needed at the first instruction and behind the last pop', () => {
    const entry = { ...guest.stack, 8: text(0x160) };
    const registers = { rsp: word(8), rbp: word(20) };
    for (const rip of [text(0x100), text(0x13f)]) {
      const { found } = unwind({
        ...guest,
        code: { ...guest.code, 0x13e: '5d c3' },
        stack: entry,
        registers: { ...registers, rip },
      });
      expect(found.slice(1)).toEqual(['160 frame-pointer', '1a0 frame-pointer']);
    }
  });
});

describe('a scan', () => {
  const registers = { rip: text(0x110), rsp: word(0), rbp: 3n };
  const code = Object.fromEntries([call(0x160, 0x100), call(0x1a0, 0x140)]);

  it('believes only what lies in code behind a call', () => {
    const stack = { 2: 0x999n, 3: text(0x150), 5: text(0x160), 9: text(0x1a0) };
    expect(unwind({ registers, code, stack }).found).toEqual(['110 registers', '160 scan', '1a0 scan']);
  });

  it('passes over a direct call of another function', () => {
    const functions = { 0x100: 'inner', 0x140: 'middle', 0x180: 'outer' };
    const guest = {
      registers,
      functions,
      code: { ...code, 0x100: 'ff e0' },
      stack: { 4: text(0x1a0), 5: text(0x160), 6: text(0x1a0) },
    };
    expect(unwind(guest).found).toEqual(['110 registers', '160 scan', '1a0 scan']);
  });

  it('gives up after a few in a row', () => {
    const stack = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [index, text(0x160)]));
    expect(unwind({ registers, code, stack }).found.length).toBeLessThanOrEqual(6);
  });

  it('does not reach far', () => {
    expect(unwind({ registers, code, stack: { 300: text(0x160) } })).toMatchObject({ frames: { length: 1 }, end: 'no-rule' });
  });

  it('taints what is found from it', () => {
    const cfi = cfiOf([{ start: 0x140, end: 0x180, size: 8 }]);
    const { found } = unwind({ registers, code, cfi, stack: { 2: text(0x160), 3: text(0x1a0) } });
    expect(found.slice(0, 3)).toEqual(['110 registers', '160 scan', '1a0 scan']);
  });
});

describe('aarch64', () => {
  it('strips authentication codes and starts in the link register', () => {
    const code = Buffer.alloc(4096);
    code.writeUInt32LE(0x97ff_ffff, 0x20c);
    const memory: Memory = {
      read: (address, length) =>
        address >= TEXT && address < TEXT + 4096n ? code.subarray(Number(address - TEXT), Number(address - TEXT) + length) : null,
    };
    const registers: Registers = {
      machine: 'aarch64',
      values: { pc: text(0x100), sp: word(0), x29: 0n, x30: text(0x210) | 0x002b_0000_0000_0000n },
    };
    const module: UnwindModule = {
      base: TEXT,
      end: TEXT + 4096n,
      loadBias: 0n,
      text: [{ start: TEXT, end: TEXT + 4096n }],
      cfi: null,
    };
    const symbolizer = symbolizerOf({ functions: { 0x100: 'leaf', 0x200: 'caller' }, registers: {} });
    const { frames } = createUnwinder({ modules: [module], rules: [], symbolizer }).unwind(registers, memory);
    expect(frames.map(({ pc }) => pc)).toEqual([text(0x100), text(0x210)]);
  });
});
