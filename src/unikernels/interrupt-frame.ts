// What an x86-64 CPU pushes when it takes an interrupt or exception (Intel SDM vol. 3, 7.14.2): rip, cs, rflags, rsp, ss, told from
// other words by selectors and flags that only such a frame has.

import type { Address } from '../model/address.ts';
import type { Registers } from '../model/registers.ts';
import type { Memory } from '../model/target.ts';
import type { UnwindRule } from '../model/unikernel.ts';
import { readWords } from './stack-words.ts';

/** The interrupted code's registers. `end` is right above the frame. */
export interface InterruptFrame {
  readonly rip: bigint;
  readonly rsp: bigint;
  readonly eflags: bigint;
  readonly end: Address;
}

const WORDS = 5;
const MAX_SELECTOR = 0xffn;
/** Bit 1 of rflags is always set; nothing above bit 21 is. */
const ALWAYS_SET = 2n;
const FLAG_BITS = 22n;

/** The frame at `address`, or null when these five words are none. */
export function readInterruptFrame(memory: Memory, address: Address): InterruptFrame | null {
  const [rip, cs, eflags, rsp, ss] = readWords(memory, address, WORDS) ?? [];
  if (rip === undefined || cs === undefined || eflags === undefined || rsp === undefined || ss === undefined) return null;
  const isSelector = cs > 0n && cs <= MAX_SELECTOR && (cs & 4n) === 0n;
  // In 64-bit mode the stack selector of ring 0 may be null.
  const isStack = ss === 0n || (ss <= MAX_SELECTOR && (ss & 3n) === (cs & 3n));
  const isFlags = (eflags & ALWAYS_SET) !== 0n && eflags >> FLAG_BITS === 0n;
  return isSelector && isStack && isFlags ? { rip, rsp, eflags, end: address + BigInt(WORDS * 8) } : null;
}

/** The lowest frame that begins within `words` words of `from`: below it lies what the entry code pushed. */
export function findInterruptFrame(memory: Memory, from: Address, words: number): InterruptFrame | null {
  for (let index = 0; index < words; index += 1) {
    const frame = readInterruptFrame(memory, from + BigInt(index * 8));
    if (frame !== null) return frame;
  }
  return null;
}

/** The interrupted code's registers: those of the handler's entry but for `lost`, which it has used by now. */
export function interrupted(
  { machine, values }: Registers,
  { rip, rsp, eflags }: InterruptFrame,
  lost: readonly string[],
): ReturnType<UnwindRule['unwind']> {
  const kept = Object.entries(values).filter(([name]) => !lost.includes(name));
  return { registers: { machine, values: { ...Object.fromEntries(kept), rip, rsp, eflags } }, exactPc: true };
}
