// Whether a vCPU is halted, which QEMU's notes do not say and `info registers` does (HLT=1): its pc is right behind a HLT instruction then. A
// vCPU that was woken goes to the interrupt's handler first, so that nobody else stays there.

import { decodeX86 } from '../../arch/x86-length.ts';
import { createAddressSpace } from '../../memory/address-space.ts';
import type { PhysicalReader } from '../../memory/physical.ts';
import { findPc, type Registers, type VcpuRegisters } from '../../model/registers.ts';
import type { Memory } from '../../model/target.ts';

const HLT = 0xf4;
/** So many bytes before the pc are decoded, from so many starts: x86 code falls into step within a few instructions. */
const WINDOW = 64;
const STARTS = 32;

/** The same registers with `halted` (0 or 1) where the code at the pc can be read; x86 only. */
export function withHalted(vcpus: readonly VcpuRegisters[], reader: PhysicalReader): readonly VcpuRegisters[] {
  return vcpus.map(({ vcpu, registers }) => {
    const halted = findHalted(vcpu, registers, reader);
    return halted === null ? { vcpu, registers } : { vcpu, registers: { ...registers, values: { ...registers.values, halted } } };
  });
}

function findHalted(vcpu: number, registers: Registers, reader: PhysicalReader): bigint | null {
  const { machine, values } = registers;
  const pc = findPc(registers);
  if (pc === null || values['cr0'] === undefined || values['cr3'] === undefined || values['cr4'] === undefined) return null;
  const linear = machine === 'x86_64' ? pc : BigInt.asUintN(32, pc + (values['cs_base'] ?? 0n));
  // All but the first wait at the reset vector until they are started.
  if (linear === 0xffff_fff0n) return vcpu === 0 ? 0n : 1n;
  const code = readBefore(createAddressSpace(reader, registers), linear);
  return code === null ? null : BigInt(isBehindHlt(code, machine === 'x86_64'));
}

/** The code that ends at `pc`, as much of it as is mapped. */
function readBefore(memory: Memory, pc: bigint): Uint8Array | null {
  const inPage = Number(pc & 0xfffn);
  return (
    (pc >= WINDOW ? memory.read(pc - BigInt(WINDOW), WINDOW) : null) ??
    (inPage === 0 ? null : memory.read(pc - BigInt(inPage), inPage))
  );
}

/** Whether the code's last byte is a HLT of its own, and no part of a longer instruction: what most starts come to decides. */
function isBehindHlt(code: Uint8Array, wide: boolean): boolean {
  const last = code.length - 1;
  if (code[last] !== HLT) return false;
  const starts = Math.min(STARTS, last);
  let reached = 0;
  for (let start = 0; start < starts; start += 1) {
    let at = start;
    // What does not end before the pc is out of step.
    while (at < last) at += decodeX86(code, at, wide)?.length ?? code.length;
    if (at === last) reached += 1;
  }
  return 2 * reached >= starts;
}
