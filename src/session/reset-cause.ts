// A guest that "reset itself" and whose registers QEMU kept (-no-reboot -no-shutdown): did its CPU give up, or did it ask?

import { formatAddress } from '../model/address.ts';
import type { Frame } from '../model/frame.ts';
import { findPc, type Registers } from '../model/registers.ts';
import type { OpenTarget } from '../targets/target.ts';
import { findRecursion } from './title.ts';

/** `out dx, al/ax/eax` and `out imm8, …`: how a PC is asked to reset (keyboard controller, port 0xcf9, ACPI). */
const OUT_TO_DX = new Set([0xee, 0xef]);
const OUT_TO_IMMEDIATE = new Set([0xe6, 0xe7]);

/**
 * Triple fault, with the vCPU it hit, or null when the guest asked for the reset by a port write. After a triple fault rip is still that of the
 * instruction whose exception could not be delivered (seen: OCaml stack overflow on Solo5); a port write leaves it at or behind an `out`.
 */
export async function findResetCause(
  target: OpenTarget,
  walk: (registers: Registers) => Promise<readonly Frame[]>,
): Promise<{ readonly vcpu: number; readonly message: string } | null> {
  for (const { vcpu, registers } of await target.allRegisters()) {
    const pc = findPc(registers);
    if (pc === null || registers.values.halted === 1n) continue;
    const asked = await target.memory(registers).walk((memory) => isAtOut(memory.read(pc - 2n, 4)));
    if (!asked) return { vcpu, message: tripleFault(pc, findRecursion(await walk(registers))) };
  }
  return null;
}

/** A runaway recursion leaves the CPU no stack to deliver its exception on, or has run over what it needs for that. */
function tripleFault(pc: bigint, recursion: readonly string[]): string {
  const undelivered = `the CPU could not deliver an exception at ${formatAddress(pc)} and the guest was reset`;
  if (recursion.length === 0) return `triple fault: ${undelivered}`;
  return `stack overflow\n${recursion.join(' and ')} called ${recursion.length === 1 ? 'itself' : 'each other'} until the stack was used up; ${undelivered} (triple fault)`;
}

/** `bytes`: two before the pc, two from it on. */
function isAtOut(bytes: Uint8Array | null): boolean {
  if (bytes === null) return false;
  const [before2, before1, at] = bytes;
  return OUT_TO_DX.has(before1!) || OUT_TO_IMMEDIATE.has(before2!) || OUT_TO_DX.has(at!) || OUT_TO_IMMEDIATE.has(at!);
}
