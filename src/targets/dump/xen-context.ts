// A vCPU of a Xen domain: struct vcpu_guest_context of x86-64 (xen/include/public/arch-x86/xen.h) and what struct vcpu_info holds of it.

import { Cursor } from '../../bytes/cursor.ts';
import type { Registers } from '../../model/registers.ts';

/** sizeof(struct vcpu_guest_context) on x86-64. */
export const CONTEXT_BYTES = 0x1430;

const FLAGS = 512;
const USER_REGISTERS = 520;
const GENERAL = ['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'];
const RIP = USER_REGISTERS + 128;
const SEGMENTS = USER_REGISTERS + 160;
const CONTROL = 4984;
const FS_BASE = 5144;
const IN_KERNEL = 1n << 2n;

/** struct vcpu_info: 64 bytes each, the first 32 in the shared info page; arch.cr2. */
const VCPU_INFO_BYTES = 64;
const VCPU_INFO_CR2 = 16;
const VCPU_INFOS = 32;

/** EFER.LME and LMA: not in the record; a 64-bit paravirtual guest cannot run without. */
export const EFER_LONG_MODE = 0x500n;

/** The record's registers, by gdb's names; without EFER. `record` has CONTEXT_BYTES. */
export function decodeContext(record: Uint8Array): Registers {
  const cursor = new Cursor(record, { offset: FLAGS });
  const inKernel = (cursor.u64() & IN_KERNEL) !== 0n;
  const values: Record<string, bigint> = {};
  for (const name of GENERAL) values[name] = cursor.u64();
  cursor.seek(RIP);
  for (const name of ['rip', 'cs', 'eflags', 'rsp', 'ss']) values[name] = cursor.u64();
  // cs shares its word with the saved upcall mask.
  values['cs'] = BigInt.asUintN(16, values['cs'] ?? 0n);
  values['ss'] = BigInt.asUintN(16, values['ss'] ?? 0n);
  cursor.seek(SEGMENTS + 8);
  for (const name of ['es', 'ds', 'fs', 'gs']) values[name] = BigInt.asUintN(16, cursor.u64());
  cursor.seek(CONTROL);
  for (const name of ['cr0', null, 'cr2', 'cr3', 'cr4']) {
    const value = cursor.u64();
    if (name !== null) values[name] = value;
  }
  cursor.seek(FS_BASE);
  values['fs_base'] = cursor.u64();
  const [kernel, user] = [cursor.u64(), cursor.u64()];
  values['gs_base'] = inKernel ? kernel : user;
  values['k_gs_base'] = inKernel ? user : kernel;
  return { machine: 'x86_64', values };
}

/** CR2 of a paravirtual vCPU, which sees it in the shared info page only; null where it is not there. */
export function findFaultAddress(sharedInfo: Uint8Array | null, vcpu: number): bigint | null {
  const at = vcpu * VCPU_INFO_BYTES + VCPU_INFO_CR2;
  if (sharedInfo === null || vcpu >= VCPU_INFOS || at + 8 > sharedInfo.length) return null;
  return new Cursor(sharedInfo, { offset: at }).u64();
}
