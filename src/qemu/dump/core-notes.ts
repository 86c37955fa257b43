// The notes of a core as QEMU writes them (target/i386/arch_dump.c, target/arm/arch_dump.c, target/riscv/arch_dump.c): for each vCPU
// `CORE` NT_PRSTATUS, what gdb reads; then, on x86, for each vCPU `QEMU` with QEMUCPUState: control registers and segments.

import type { Registers } from '../../model/registers.ts';
import type { VcpuState } from './vcpu-state.ts';

const NT_PRSTATUS = 1;
const QEMU_STATE_VERSION = 1;
const QEMU_STATE_BYTES = 440;

/** struct user_regs_struct of Linux on x86-64, in its order. `orig_rax` is not known of a guest: 0, as in QEMU's. */
const USER_REGISTERS = [
  ...['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi', 'orig_rax'],
  ...['rip', 'cs', 'eflags', 'rsp', 'ss', 'fs_base', 'gs_base', 'ds', 'es', 'fs', 'gs'],
];
/** The same on i386: ebx comes first. */
const USER_REGISTERS_32 = [
  ...['ebx', 'ecx', 'edx', 'esi', 'edi', 'ebp', 'eax', 'ds', 'es', 'fs', 'gs', 'orig_eax'],
  ...['eip', 'cs', 'eflags', 'esp', 'ss'],
];
const AARCH64_REGISTERS = [...Array.from({ length: 31 }, (_, index) => `x${index}`), 'sp', 'pc', 'cpsr'];
const RISCV64_REGISTERS = [
  ...['pc', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 's0', 's1'],
  ...['a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'],
  ...['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4', 't5', 't6'],
];

/** Where in NT_PRSTATUS (struct elf_prstatus) the registers stand, and how long it is. */
interface StatusLayout {
  readonly bytes: number;
  readonly registersAt: number;
  readonly names: readonly string[];
  readonly width: 4 | 8;
  readonly processAt: number;
}

const LAYOUTS: Readonly<Record<Registers['machine'], StatusLayout>> = {
  x86_64: { bytes: 336, registersAt: 112, names: USER_REGISTERS, width: 8, processAt: 32 },
  i386: { bytes: 144, registersAt: 72, names: USER_REGISTERS_32, width: 4, processAt: 24 },
  aarch64: { bytes: 392, registersAt: 112, names: AARCH64_REGISTERS, width: 8, processAt: 32 },
  riscv64: { bytes: 376, registersAt: 112, names: RISCV64_REGISTERS, width: 8, processAt: 32 },
};

/** All notes of a core of `machine`: what the first vCPU ran in decides how long each NT_PRSTATUS is. */
export function encodeNotes(vcpus: readonly VcpuState[], machine: Registers['machine']): Uint8Array {
  const statuses = vcpus.map((state) => encodeNote('CORE', NT_PRSTATUS, encodeStatus(state, LAYOUTS[machine])));
  const isX86 = machine === 'x86_64' || machine === 'i386';
  const states = isX86 ? vcpus.map((state) => encodeNote('QEMU', 0, encodeQemuState(state))) : [];
  return Buffer.concat([...statuses, ...states]);
}

function encodeNote(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const head = Buffer.alloc(12 + 8);
  head.writeUInt32LE(name.length + 1, 0);
  head.writeUInt32LE(descriptor.length, 4);
  head.writeUInt32LE(type, 8);
  head.write(name, 12, 'latin1');
  return Buffer.concat([head, descriptor, Buffer.alloc(-descriptor.length & 3)]);
}

function encodeStatus({ vcpu, registers }: VcpuState, layout: StatusLayout): Uint8Array {
  const bytes = Buffer.alloc(layout.bytes);
  // As QEMU does: cpu-index + 1, for there is no process 0.
  bytes.writeUInt32LE(vcpu + 1, layout.processAt);
  for (const [index, name] of layout.names.entries()) {
    const at = layout.registersAt + index * layout.width;
    const value = valueOf(registers, name);
    if (layout.width === 8) bytes.writeBigUInt64LE(value, at);
    else bytes.writeUInt32LE(Number(BigInt.asUintN(32, value)), at);
  }
  return bytes;
}

/** struct QEMUCPUState. */
function encodeQemuState({ registers, segments }: VcpuState): Uint8Array {
  const bytes = Buffer.alloc(QEMU_STATE_BYTES);
  bytes.writeUInt32LE(QEMU_STATE_VERSION, 0);
  bytes.writeUInt32LE(QEMU_STATE_BYTES, 4);
  let at = 8;
  const put = (value: bigint): void => {
    bytes.writeBigUInt64LE(value, at);
    at += 8;
  };
  for (const name of ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp']) put(valueOf(registers, name));
  for (let index = 8; index < 16; index += 1) put(valueOf(registers, `r${index}`));
  put(valueOf(registers, 'rip'));
  put(valueOf(registers, 'eflags'));
  for (const name of ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'ldt', 'tr', 'gdt', 'idt']) {
    const { selector, limit, flags, base } = segments.get(name) ?? { selector: 0, limit: 0, flags: 0, base: 0n };
    bytes.writeUInt32LE(selector, at);
    bytes.writeUInt32LE(limit, at + 4);
    bytes.writeUInt32LE(flags, at + 8);
    bytes.writeBigUInt64LE(base, at + 16);
    at += 24;
  }
  for (const name of ['cr0', 'cr1', 'cr2', 'cr3', 'cr4', 'k_gs_base']) put(valueOf(registers, name));
  return bytes;
}

/** A register by its 64-bit or its 32-bit name; 0 where it is not known, as QEMU's own notes have it. */
function valueOf({ values }: Registers, name: string): bigint {
  return values[name] ?? values[name.replace(/^r(?=[a-d]x|[sd]i|[sb]p|ip)/, 'e')] ?? values[name.replace(/^e/, 'r')] ?? 0n;
}
