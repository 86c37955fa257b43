// One vCPU's or thread's registers, under the names gdb gives them.

import type { Address } from './address.ts';
import type { Machine } from './machine.ts';

/**
 * A register file. `values` may be partial (a console prints some, a switched-out thread saves some); names are gdb's
 * (`rax`, `rip`, `eflags`, `fs_base`, `cr3`; `x0`, `sp`, `pc`; `a0`, `pc`). Values are unsigned.
 * On x86-64 a full file from QEMU also has `cr0 cr2 cr3 cr4 efer idt_base gdt_base k_gs_base` and `halted` (0 or 1).
 */
export interface Registers {
  readonly machine: Machine;
  readonly values: Readonly<Record<string, bigint>>;
}

/** One vCPU's register file; `vcpu` is QEMU's cpu-index. */
export interface VcpuRegisters {
  readonly vcpu: number;
  readonly registers: Registers;
}

const PC = { x86_64: 'rip', i386: 'eip', aarch64: 'pc', riscv64: 'pc' } as const;
const SP = { x86_64: 'rsp', i386: 'esp', aarch64: 'sp', riscv64: 'sp' } as const;
const FP = { x86_64: 'rbp', i386: 'ebp', aarch64: 'x29', riscv64: 's0' } as const;

/** The program counter, or null when this file does not hold it. */
export function findPc(registers: Registers): Address | null {
  return registers.values[PC[registers.machine]] ?? null;
}

/** The stack pointer, or null. */
export function findSp(registers: Registers): Address | null {
  return registers.values[SP[registers.machine]] ?? null;
}

/** The frame pointer register, or null. It holds a frame pointer only where the code keeps one. */
export function findFp(registers: Registers): Address | null {
  return registers.values[FP[registers.machine]] ?? null;
}

/** Names of the pc, sp and fp registers of `machine`. */
export function roleNames(machine: Machine): { readonly pc: string; readonly sp: string; readonly fp: string } {
  return { pc: PC[machine], sp: SP[machine], fp: FP[machine] };
}
