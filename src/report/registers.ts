// A register file as rows of text, in the order each architecture's manual gives.

import { toUnsigned64 } from '../model/address.ts';
import type { Registers } from '../model/registers.ts';

const ORDER: Readonly<Record<Registers['machine'], readonly string[]>> = {
  x86_64: 'rip rsp rbp eflags rax rbx rcx rdx rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 cs ss fs_base gs_base cr0 cr2 cr3 cr4'.split(
    ' ',
  ),
  i386: 'eip esp ebp eflags eax ebx ecx edx esi edi cs ss cr0 cr2 cr3 cr4'.split(' '),
  aarch64: ['pc', 'sp', ...Array.from({ length: 31 }, (_, index) => `x${index}`), 'cpsr'],
  riscv64: 'pc sp ra gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(' '),
};

/** The registers that are known, with their values, in that order. */
export function orderedRegisters({ machine, values }: Registers): readonly (readonly [name: string, value: bigint])[] {
  return ORDER[machine].flatMap((name) => (values[name] === undefined ? [] : [[name, values[name]] as const]));
}

/** Rows of `name value`, `columns` to a row; only registers that are known. */
export function formatRegisters(registers: Registers, columns = 4): readonly string[] {
  const cells = orderedRegisters(registers).map(
    ([name, value]) => `${name.padStart(7)} ${toUnsigned64(value).toString(16).padStart(16, '0')}`,
  );
  return Array.from({ length: Math.ceil(cells.length / columns) }, (_, row) =>
    cells.slice(row * columns, (row + 1) * columns).join(' '),
  );
}
