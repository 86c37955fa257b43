import { describe, expect, it } from 'vitest';
import type { FrameShape } from '../../src/arch/architecture.ts';
import { getArchitecture } from '../../src/arch/machines.ts';
import type { Machine } from '../../src/model/machine.ts';
import { roleNames } from '../../src/model/registers.ts';

const MACHINES: readonly Machine[] = ['x86_64', 'i386', 'aarch64', 'riscv64'];
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

describe.each(MACHINES)('%s', (machine) => {
  const architecture = getArchitecture(machine);

  it('calls its pc, stack and frame pointer as the model does', () => {
    const { pc, sp, fp } = architecture;
    expect({ pc, sp, fp }).toEqual(roleNames(machine));
  });

  it('has a DWARF number for its stack and frame pointer and for where it returns', () => {
    const { dwarfRegisters, returnAddressColumn, sp, fp, pc, linkRegister } = architecture;
    expect(dwarfRegisters).toContain(sp);
    expect(dwarfRegisters).toContain(fp);
    expect(dwarfRegisters[returnAddressColumn]).toBe(linkRegister ?? pc);
  });

  it('names no register twice', () => {
    const names = architecture.dwarfRegisters.filter((name) => name !== undefined);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('DWARF register numbers', () => {
  it.each<[Machine, number, string]>([
    ['x86_64', 1, 'rdx'],
    ['x86_64', 6, 'rbp'],
    ['x86_64', 7, 'rsp'],
    ['x86_64', 15, 'r15'],
    ['x86_64', 17, 'xmm0'],
    ['x86_64', 49, 'eflags'],
    ['x86_64', 58, 'fs_base'],
    ['i386', 5, 'ebp'],
    ['aarch64', 29, 'x29'],
    ['aarch64', 31, 'sp'],
    ['aarch64', 64, 'v0'],
    ['riscv64', 2, 'sp'],
    ['riscv64', 8, 's0'],
    ['riscv64', 42, 'fa0'],
  ])('%s has %i for %s', (machine, number, name) => {
    expect(getArchitecture(machine).dwarfRegisters[number]).toBe(name);
  });
});

describe('a call before a return address', () => {
  it.each<[Machine, string, { target: bigint | null; register: string | null } | null]>([
    ['x86_64', 'e8 f6 ff ff ff', { target: 0x0ff6n, register: null }],
    ['x86_64', '90 90 90 41 ff d4', { target: null, register: 'r12' }],
    ['x86_64', 'ff 15 00 10 00 00', { target: null, register: null }],
    ['x86_64', '48 89 e5 48 89 e5', null],
    ['aarch64', 'ff ff ff 97', { target: 0x0ff8n, register: null }],
    ['aarch64', '00 02 3f d6', { target: null, register: 'x16' }],
    ['aarch64', '00 02 1f d6', null],
    ['riscv64', 'ef 00 40 00', { target: 0x1000n, register: null }],
    ['riscv64', '67 80 00 00', null],
    ['riscv64', 'e7 80 07 00', { target: null, register: 'a5' }],
    ['riscv64', '13 00 82 97', { target: null, register: 'a5' }],
  ])('%s: %s', (machine, hex, expected) => {
    expect(getArchitecture(machine).findCallBefore(bytesOf(hex), 0x1000n)).toEqual(expected);
  });
});

describe('the shape of a frame', () => {
  const shapeAt = (machine: Machine, hex: string, offset: number): FrameShape | 'framed' | null => {
    const code = bytesOf(hex);
    return getArchitecture(machine).frameShape({ function: code, offset, at: code.subarray(offset) });
  };
  const inLink = (cfa: number): FrameShape => ({ from: 'sp', returnAddress: null, framePointer: null, cfa });

  it('follows stp x29, x30, [sp, #-32]!; mov x29, sp on aarch64', () => {
    const code = 'fd7bbea9 fd030091 1f2003d5 fd7bc2a8 c0035fd6';
    expect([0, 4, 8, 16].map((offset) => shapeAt('aarch64', code, offset))).toEqual([inLink(0), inLink(32), 'framed', inLink(0)]);
  });

  it('follows c.addi sp,-32; c.sdsp ra; c.sdsp s0; c.addi4spn s0 on riscv64', () => {
    const code = '0111 06ec 22e8 0010 0100 8280';
    expect([0, 2, 6, 8, 10].map((offset) => shapeAt('riscv64', code, offset))).toEqual([
      ...[inLink(0), inLink(32), { from: 'sp', returnAddress: 24, framePointer: 16, cfa: 32 }],
      'framed',
      inLink(0),
    ]);
  });

  it('follows riscv64 code without a frame pointer through its epilogue, and takes up the body behind the return', () => {
    // As glibc's memcpy: c.addi16sp -48; c.sdsp s0; c.sdsp ra; c.mv s0,a1; jal ra; c.ldsp ra; c.ldsp s0; c.addi16sp 48; ret; c.nop
    const code = '7971 22f0 06f4 2e84 ef00b04c a270 0274 4561 8280 0100';
    const saved: FrameShape = { from: 'sp', returnAddress: 40, framePointer: 32, cfa: 48 };
    expect([0, 2, 4, 6, 8, 12, 14, 16, 18, 20].map((offset) => shapeAt('riscv64', code, offset))).toEqual([
      ...[inLink(0), inLink(48), { ...inLink(48), framePointer: 32 }, saved, saved, saved],
      ...[{ ...inLink(48), framePointer: 32 }, inLink(48), inLink(0), saved],
    ]);
  });

  it('follows the wide forms on riscv64 as it does the compressed ones', () => {
    // addi sp,sp,-32; sd ra,24(sp); sd s0,16(sp); addi s0,sp,32; ld ra,24(sp); ld s0,16(sp); addi sp,sp,32
    const code = '130101fe 233c1100 23388100 13040102 83308101 03340101 13010102';
    const framePointer = 16;
    expect([4, 8, 12, 16, 24, 28].map((offset) => shapeAt('riscv64', code, offset))).toEqual([
      ...[inLink(32), { from: 'sp', returnAddress: 24, framePointer: null, cfa: 32 }],
      ...[{ from: 'sp', returnAddress: 24, framePointer, cfa: 32 }, 'framed', inLink(32), inLink(0)],
    ]);
  });

  it('sees that a PLT stub of aarch64 has left everything where it was, at each of its instructions', () => {
    // bti c; adrp x16; ldr x17,[x16,#8]; add x16,x16,#8; br x17
    const code = '5f2403d5 900000b0 110640f9 10220091 20021fd6';
    for (const offset of [0, 4, 8, 12, 16]) expect(shapeAt('aarch64', code, offset)).toEqual(inLink(0));
    // mov x0, x1; br x17: anything may have gone before
    expect(getArchitecture('aarch64').frameShape({ function: null, offset: 0, at: bytesOf('e00301aa 20021fd6') })).toBeNull();
  });

  it('follows push, sub and a shrink-wrapped exit on x86-64', () => {
    // test rdi,rdi; je L; push rbp; mov rbp,rsp; sub rsp,16; leave; ret; L: ret
    const code = '4885ff 740a 55 4889e5 4883ec10 c9 c3 90 c3';
    const onStack = (returnAddress: number, framePointer: number | null): FrameShape => ({
      ...{ from: 'rsp', returnAddress, framePointer, cfa: returnAddress + 8 },
    });
    const framed = { from: 'rbp', returnAddress: 8, framePointer: 0, cfa: 16 };
    expect([0, 3, 5, 6, 9, 13, 14, 15].map((offset) => shapeAt('x86_64', code, offset))).toEqual([
      ...[onStack(0, null), onStack(0, null), onStack(0, null), onStack(8, 0)],
      ...[framed, framed, onStack(0, null), onStack(0, null)],
    ]);
  });

  it('is not known where no path leads', () => {
    expect(shapeAt('x86_64', 'c3 90 90 90', 2)).toBeNull();
  });
});

describe('pointer authentication', () => {
  it('is stripped from aarch64 addresses of either half', () => {
    const { stripPointer } = getArchitecture('aarch64');
    expect(stripPointer(0x002b_aaaa_bbbb_ccccn)).toBe(0x0000_aaaa_bbbb_ccccn);
    expect(stripPointer(0x12bf_8000_1234_5678n)).toBe(0xffff_8000_1234_5678n);
    expect(stripPointer(0xffff_8000_1234_5678n)).toBe(0xffff_8000_1234_5678n);
  });
});
