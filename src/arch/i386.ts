// i386: System V ABI Intel386 supplement, table 2.14 (DWARF register numbers) and 2.2 (who saves what).

import type { Architecture } from './architecture.ts';
import { findX86Call, x86FrameShape } from './x86.ts';

const GENERAL = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'];

/** The i386 architecture. */
export const I386: Architecture = {
  machine: 'i386',
  addressSize: 4,
  dwarfRegisters: [...GENERAL, 'eip', 'eflags'],
  returnAddressColumn: 8,
  pc: 'eip',
  sp: 'esp',
  fp: 'ebp',
  linkRegister: null,
  preserved: ['ebx', 'ebp', 'esi', 'edi', 'fs_base', 'gs_base', 'cr3'],
  stackAlignment: 4,
  maxCallLength: 7,
  findCallBefore: (before, returnAddress) => {
    const call = findX86Call(before, returnAddress, GENERAL);
    return call?.target == null ? call : { ...call, target: BigInt.asUintN(32, call.target) };
  },
  locateByFramePointer: (fp) => ({ returnAddressAt: fp + 4n, framePointerAt: fp, cfa: fp + 8n }),
  frameShape: (code) => x86FrameShape(code, GENERAL),
  stripPointer: (address) => BigInt.asUintN(32, address),
};
