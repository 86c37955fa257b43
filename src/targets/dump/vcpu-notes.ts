// The registers of each vCPU out of a dump's notes, by gdb's names: `QEMU` (QEMUCPUState of QEMU's target/i386/arch_dump.c) for x86, `CORE`
// NT_PRSTATUS (struct elf_prstatus of Linux) for aarch64 and riscv64 (target/arm/arch_dump.c, target/riscv/arch_dump.c). The same
// names as `info registers` gives (src/qemu/registers.ts), as far as the notes know.

import { Cursor } from '../../bytes/cursor.ts';
import { decodeNotes, type ElfNote } from '../../elf/notes.ts';
import type { Machine } from '../../model/machine.ts';
import type { Registers, VcpuRegisters } from '../../model/registers.ts';
import { decodeThreadStatus, NT_PRSTATUS } from './prstatus.ts';

/** What the notes tell. `machine` is what the size of NT_PRSTATUS says, null without one. */
export interface VcpuNotes {
  readonly machine: Machine | null;
  readonly vcpus: readonly VcpuRegisters[];
}

const MAX_VCPUS = 4096;
const STATE_BYTES = 432;
const STATE_WITH_KERNEL_GS_BYTES = 440;
/** struct elf_prstatus differs in size between the machines, and so tells them apart. */
const PRSTATUS_MACHINES: ReadonlyMap<number, Machine> = new Map([
  [336, 'x86_64'],
  [144, 'i386'],
  [392, 'aarch64'],
  [376, 'riscv64'],
]);

/** All vCPUs that the notes have, in their order. A note that is too short is none. */
export function readVcpuNotes(bytes: Uint8Array): VcpuNotes {
  const notes = decodeNotes(bytes, { littleEndian: true, alignment: 4, address: null });
  const statuses = notes.filter(isPrstatus).slice(0, MAX_VCPUS);
  const machine = statuses[0] === undefined ? null : (PRSTATUS_MACHINES.get(statuses[0].descriptor.length) ?? null);
  const states = notes.filter(isQemuState).slice(0, MAX_VCPUS);
  const files =
    states.length > 0
      ? states.map(({ descriptor }) => decodeQemuState(descriptor, machine === 'x86_64'))
      : machine === null
        ? []
        : statuses.flatMap(({ descriptor }) => decodeThreadStatus(descriptor, machine)?.registers ?? []);
  const numbers = numberVcpus(statuses, machine, files.length);
  return { machine, vcpus: files.map((registers, index) => ({ vcpu: numbers[index]!, registers })) };
}

/** QEMU's own note, which only it writes, for x86. */
export function isQemuState(note: ElfNote): boolean {
  return note.name === 'QEMU' && note.type === 0 && note.descriptor.length >= STATE_BYTES;
}

function isPrstatus(note: ElfNote): boolean {
  return note.name === 'CORE' && note.type === NT_PRSTATUS && PRSTATUS_MACHINES.has(note.descriptor.length);
}

/** QEMU writes cpu-index + 1 as the process id. Where these are no numbers of their own, the order counts. */
function numberVcpus(statuses: readonly ElfNote[], machine: Machine | null, count: number): number[] {
  const ids = statuses.map(({ descriptor }) => (decodeThreadStatus(descriptor, machine ?? 'x86_64')?.lwp ?? 0) - 1);
  const fits = ids.length === count && new Set(ids).size === count && ids.every((id) => id >= 0 && id < MAX_VCPUS);
  return fits ? ids : Array.from({ length: count }, (_, index) => index);
}

const GENERAL = ['ax', 'bx', 'cx', 'dx', 'si', 'di', 'sp', 'bp'];
const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'ldt', 'tr', 'gdt', 'idt'];
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
/** Bit 53 of a code segment's descriptor, which QEMU keeps as bit 21 of the flags: 64-bit code. */
const FLAG_LONG = 1 << 21;
const EFER_LME_LMA = 0x500n;

/** struct QEMUCPUState, without reading its `version`: 1 in all QEMUs, also since kernel_gs_base was added at the end. */
function decodeQemuState(descriptor: Uint8Array, firstIsLong: boolean): Registers {
  const cursor = new Cursor(descriptor, { offset: 8 });
  const general = Array.from({ length: 16 }, () => cursor.u64());
  const [pc, flags] = [cursor.u64(), cursor.u64()];
  const segments = new Map(SEGMENTS.map((name) => [name, decodeSegmentRegister(cursor)]));
  const [cr0, , cr2, cr3, cr4] = [cursor.u64(), cursor.u64(), cursor.u64(), cursor.u64(), cursor.u64()];
  const kernelGs = descriptor.length >= STATE_WITH_KERNEL_GS_BYTES ? { k_gs_base: cursor.u64() } : {};
  const paging = (cr0 & CR0_PG) !== 0n && (cr4 & CR4_PAE) !== 0n;
  const wide = paging && (segments.get('cs')!.flags & FLAG_LONG) !== 0;
  // EFER is not in the note. Paging with PAE is long mode when the code is 64-bit; else the kind of NT_PRSTATUS, which QEMU
  // chooses by the first vCPU's EFER.LMA, tells it from 32-bit PAE.
  const efer = wide || (paging && firstIsLong) ? EFER_LME_LMA : 0n;

  const width = wide ? 64 : 32;
  const values: Record<string, bigint> = {};
  for (const [index, name] of GENERAL.entries()) {
    values[`${wide ? 'r' : 'e'}${name}`] = BigInt.asUintN(width, general[index]!);
  }
  if (wide) for (let index = 8; index < 16; index += 1) values[`r${index}`] = general[index]!;
  values[wide ? 'rip' : 'eip'] = BigInt.asUintN(width, pc);
  values['eflags'] = flags;
  for (const name of ['cs', 'ss', 'ds', 'es', 'fs', 'gs']) {
    const { selector, base } = segments.get(name)!;
    values[name] = selector;
    if (!wide || name === 'fs' || name === 'gs') values[`${name}_base`] = base;
  }
  values['gdt_base'] = segments.get('gdt')!.base;
  values['idt_base'] = segments.get('idt')!.base;
  return {
    machine: wide ? 'x86_64' : 'i386',
    values: { ...values, cr0: cr0, cr2: cr2, cr3: cr3, cr4: cr4, efer, ...kernelGs },
  };
}

function decodeSegmentRegister(cursor: Cursor): { readonly selector: bigint; readonly flags: number; readonly base: bigint } {
  const selector = BigInt(cursor.u32());
  cursor.skip(4);
  const flags = cursor.u32();
  cursor.skip(4);
  return { selector, flags, base: cursor.u64() };
}
