// x86-64: System V ABI AMD64 supplement, figure 3.36 (DWARF register numbers) and figure 3.4 (who saves what).

import type { Architecture } from './architecture.ts';
import { findX86Call, x86FrameShape } from './x86.ts';
import { findTrapExits } from './x86-trap-exit.ts';

/** By the number in ModRM and REX, which is not the DWARF number. */
const BY_ENCODING = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
];

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** The x86-64 architecture. */
export const X86_64: Architecture = {
  machine: 'x86_64',
  addressSize: 8,
  dwarfRegisters: [
    ...['rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp', ...numbered('r', 16).slice(8), 'rip'],
    ...[...numbered('xmm', 16), ...numbered('st', 8), ...numbered('mm', 8)],
    ...['eflags', 'es', 'cs', 'ss', 'ds', 'fs', 'gs', undefined, undefined, 'fs_base', 'gs_base'],
  ],
  returnAddressColumn: 16,
  pc: 'rip',
  sp: 'rsp',
  fp: 'rbp',
  linkRegister: null,
  preserved: ['rbx', 'rbp', 'r12', 'r13', 'r14', 'r15', 'fs_base', 'gs_base', 'k_gs_base', 'cr3'],
  stackAlignment: 8,
  maxCallLength: 7,
  findCallBefore: (before, returnAddress) => findX86Call(before, returnAddress, BY_ENCODING),
  locateByFramePointer: (fp) => ({ returnAddressAt: fp + 8n, framePointerAt: fp, cfa: fp + 16n }),
  frameShape: (code) => x86FrameShape(code, BY_ENCODING),
  findTrapExits: (pc, read, isDescribed) => findTrapExits(pc, read, isDescribed, BY_ENCODING),
  stripPointer: (address) => address,
};
