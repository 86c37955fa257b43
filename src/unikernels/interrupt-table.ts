// Where a kernel's exception handlers are at run time, from its interrupt descriptor table (Intel SDM vol. 3, 7.14.1): the
// anchor that gives the load bias of a kernel that moved itself.

import { Cursor } from '../bytes/cursor.ts';
import type { Address } from '../model/address.ts';
import type { Registers } from '../model/registers.ts';
import type { Memory } from '../model/target.ts';

const GATE_SIZE = 16;
const INTERRUPT_GATE = 0x0e;
const TRAP_GATE = 0x0f;

/** The handler of exception `vector` in the vCPU's IDT; null when there is no such gate (yet) or it cannot be read. */
export function findHandler(registers: Registers, memory: Memory, vector: number): Address | null {
  const table = registers.values.idt_base;
  if (registers.machine !== 'x86_64' || table === undefined || table === 0n) return null;
  const gate = memory.read(table + BigInt(vector * GATE_SIZE), GATE_SIZE);
  if (gate === null) return null;
  const cursor = new Cursor(gate);
  const low = BigInt(cursor.u16());
  cursor.skip(3);
  const type = cursor.u8();
  const isGate = (type & 0x80) !== 0 && ((type & 0x0f) === INTERRUPT_GATE || (type & 0x0f) === TRAP_GATE);
  const middle = BigInt(cursor.u16());
  const high = BigInt(cursor.u32());
  return isGate ? (high << 32n) | (middle << 16n) | low : null;
}

/** The bias of a kernel whose handler of `vector` is the symbol `handler`: its IDT says where that is now. */
export function biasByHandler(
  guest: { readonly registers: Registers; readonly memory: Memory; readonly linkSymbol: (name: string) => bigint | null },
  vector: number,
  handler: string,
): { readonly bias: bigint; readonly by: string } | null {
  const link = guest.linkSymbol(handler);
  const now = findHandler(guest.registers, guest.memory, vector);
  if (link === null || now === null || ((now - link) & 0xfffn) !== 0n) return null;
  return { bias: now - link, by: `IDT entry ${String(vector)} is ${handler}` };
}
