import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findFp, findPc, findSp } from '../../src/model/registers.ts';
import { parseRegisters } from '../../src/qemu/registers.ts';
import { REGISTERS_7_2, REGISTERS_10, REGISTERS_RESET } from '../support/hmp-texts.ts';

describe('parseRegisters', () => {
  it('reads every vCPU of QEMU 7.2 under gdb’s names', () => {
    const [first, second] = parseRegisters(REGISTERS_7_2, 'x86_64');
    expect(first?.vcpu).toBe(0);
    expect(first?.registers.machine).toBe('x86_64');
    expect(first?.registers.values).toMatchObject({
      ...{ rax: 0x2000n, r8: 0x3ffffc48n, r15: 0x7ffff6a0n, rip: 0x105ba1n, rsp: 0x3fffff10n, eflags: 0x46n, halted: 0n },
      ...{ cs: 8n, ss: 0x10n, fs: 0n, fs_base: 0x7f0012345678n, gs_base: 0xffff800000001000n },
      ...{ cr0: 0x80000033n, cr2: 0n, cr3: 0x111000n, cr4: 0x620n, efer: 0x500n, gdt_base: 0x1173a8n, idt_base: 0x1170a8n },
    });
    expect(second?.vcpu).toBe(1);
    expect(second?.registers.values).toMatchObject({ eip: 0xfd09an, esp: 0x6c5cn, halted: 1n });
  });

  it('reads QEMU 10', () => {
    const [first] = parseRegisters(REGISTERS_10, 'x86_64');
    expect(first?.registers.values).toMatchObject({ rip: 0x103931n, rbp: 0x107385n, cr3: 0x111000n, efer: 0x500n, halted: 0n });
  });

  it('says that a vCPU outside 64-bit mode has a 32-bit file, with the bases that make its pc linear', () => {
    const registers = parseRegisters(REGISTERS_RESET, 'x86_64')[0]!.registers;
    expect(registers.machine).toBe('i386');
    expect(registers.values['cs_base']! + findPc(registers)!).toBe(0xfffffff0n);
    expect([findSp(registers), findFp(registers)]).toEqual([0n, 0n]);
  });

  it('minds neither the order of lines nor spaces nor what stands between', () => {
    const shuffled = REGISTERS_7_2.split('\n').slice(2, 25).reverse().join('\nXYZ=what? \n').replaceAll('=', ' = ');
    expect(parseRegisters(shuffled, 'x86_64')[0]?.registers).toEqual(parseRegisters(REGISTERS_7_2, 'x86_64')[0]?.registers);
  });

  it('reads aarch64 and riscv64', () => {
    const arm =
      ' PC=ffff800010c5b1d8 X00=0000000000000001 X01=00000000000000ff\nX29=ffff800011a03ee0 X30=ffff800010c5b1d4  SP=ffff800011a03ee0\nPSTATE=600003c5 -ZC- EL1h\n';
    expect(parseRegisters(`\nCPU#0\n${arm}`, 'aarch64')[0]?.registers.values).toEqual({
      ...{ pc: 0xffff800010c5b1d8n, x0: 1n, x1: 0xffn, x29: 0xffff800011a03ee0n, x30: 0xffff800010c5b1d4n },
      ...{ sp: 0xffff800011a03ee0n, cpsr: 0x600003c5n },
    });
    const riscv =
      ' V      =   0\n pc       ffffffff80002b6c\n mhartid  0000000000000000\n satp     8000000000080a2b\n x0/zero  0000000000000000 x1/ra    ffffffff80002b60 x2/sp    ffffffff81403f50 x8/s0    ffffffff81403f60\n';
    expect(parseRegisters(riscv, 'riscv64')[0]?.registers.values).toMatchObject({
      ...{
        pc: 0xffffffff80002b6cn,
        satp: 0x8000000000080a2bn,
        ra: 0xffffffff80002b60n,
        sp: 0xffffffff81403f50n,
        s0: 0xffffffff81403f60n,
      },
    });
  });

  it('never throws, and gives no vCPU for text without registers', () => {
    expect(parseRegisters("unknown command: 'info registers'\r\n", 'x86_64')).toEqual([]);
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.constantFrom('x86_64', 'i386', 'aarch64', 'riscv64'),
        (text, machine) => {
          parseRegisters(`CPU#0 ${text}`, machine);
        },
      ),
    );
  });
});
