// The relocations that occur in debug sections and CFI, per instruction set: x86-64 psABI table 4.10, i386 psABI table 2.10,
// AArch64 ELF (AAELF64) section 5.7, RISC-V psABI section 8.5. Those of instructions are not here: code is not relocated.

import type { Machine } from '../model/machine.ts';

/**
 * What a relocation does with the field of `width` bytes at its place P, symbol S and addend A: `set` S + A, `pc` S + A − P,
 * `add` adds S + A to the field, `subtract` takes it away. Width 0 is a ULEB128 that keeps its length, `mask` 0x3f a 6-bit field.
 */
export interface RelocationType {
  readonly action: 'set' | 'pc' | 'add' | 'subtract';
  readonly width: 0 | 1 | 2 | 4 | 8;
  readonly mask?: number;
}

const set = (width: RelocationType['width']): RelocationType => ({ action: 'set', width });
const pc = (width: RelocationType['width']): RelocationType => ({ action: 'pc', width });
const add = (width: RelocationType['width']): RelocationType => ({ action: 'add', width });
const subtract = (width: RelocationType['width']): RelocationType => ({ action: 'subtract', width });

/** By type number. Thread-local ones (DTPOFF, DTPREL) are `set`: a thread-local symbol's value is its offset. */
const TYPES: Readonly<Record<Machine, Readonly<Record<number, RelocationType>>>> = {
  x86_64: {
    ...{ 1: set(8), 10: set(4), 11: set(4), 12: set(2), 14: set(1), 17: set(8), 21: set(4) },
    ...{ 2: pc(4), 13: pc(2), 15: pc(1), 24: pc(8) },
  },
  i386: { 1: set(4), 2: pc(4), 20: set(2), 21: pc(2), 22: set(1), 23: pc(1), 32: set(4) },
  aarch64: { 257: set(8), 258: set(4), 259: set(2), 260: pc(8), 261: pc(4), 262: pc(2), 1029: set(8) },
  riscv64: {
    ...{ 1: set(4), 2: set(8), 8: set(4), 9: set(8), 57: pc(4) },
    ...{ 33: add(1), 34: add(2), 35: add(4), 36: add(8) },
    ...{ 37: subtract(1), 38: subtract(2), 39: subtract(4), 40: subtract(8) },
    ...{ 52: { action: 'subtract', width: 1, mask: 0x3f }, 53: { action: 'set', width: 1, mask: 0x3f } },
    ...{ 54: set(1), 55: set(2), 56: set(4) },
    ...{ 60: set(0), 61: subtract(0) },
  },
};

/** Types that ask for nothing: NONE everywhere, and the linker's licence to relax. */
const IDLE: Readonly<Record<Machine, readonly number[]>> = { x86_64: [0], i386: [0], aarch64: [0, 256], riscv64: [0, 51] };

/** What relocation `type` of `machine` does: null for nothing, undefined when it is not one of a debug section. */
export function findRelocationType(machine: Machine, type: number): RelocationType | null | undefined {
  return IDLE[machine].includes(type) ? null : TYPES[machine][type];
}
