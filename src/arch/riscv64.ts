// riscv64: RISC-V ELF psABI (DWARF register numbers, calling convention) and the unprivileged ISA's encodings.

import type { Architecture, CallSite, CodeWindow, FrameShape } from './architecture.ts';

const GENERAL = [
  ...['zero', 'ra', 'sp', 'gp', 'tp', 't0', 't1', 't2', 's0', 's1', 'a0', 'a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'],
  ...['s2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11', 't3', 't4', 't5', 't6'],
];

const FLOATING = [
  ...[
    'ft0',
    'ft1',
    'ft2',
    'ft3',
    'ft4',
    'ft5',
    'ft6',
    'ft7',
    'fs0',
    'fs1',
    'fa0',
    'fa1',
    'fa2',
    'fa3',
    'fa4',
    'fa5',
    'fa6',
    'fa7',
  ],
  ...['fs2', 'fs3', 'fs4', 'fs5', 'fs6', 'fs7', 'fs8', 'fs9', 'fs10', 'fs11', 'ft8', 'ft9', 'ft10', 'ft11'],
];

function halfAt(bytes: Uint8Array, offset: number): number {
  return offset < 0 || offset + 2 > bytes.length ? 0 : bytes[offset]! | (bytes[offset + 1]! << 8);
}

function wordAt(bytes: Uint8Array, offset: number): number {
  return (halfAt(bytes, offset) | (halfAt(bytes, offset + 2) << 16)) >>> 0;
}

/** jal ra, jalr ra and c.jalr. A far call is auipc + jalr: its target is left unsaid. */
function findCallBefore(before: Uint8Array, returnAddress: bigint): CallSite | null {
  const instruction = wordAt(before, before.length - 4);
  if ((instruction & 0xfff) === 0x0ef) return { target: jalTarget(instruction, returnAddress - 4n), register: null };
  if ((instruction & 0x7fff) === 0x00e7)
    return { target: null, register: immediateIsZero(instruction) ? sourceOf(instruction) : null };
  const half = halfAt(before, before.length - 2);
  if ((half & 0xf07f) === 0x9002 && (half >> 7) & 31) return { target: null, register: GENERAL[(half >> 7) & 31] ?? null };
  return null;
}

function immediateIsZero(instruction: number): boolean {
  return instruction >>> 20 === 0;
}

function sourceOf(instruction: number): string | null {
  return GENERAL[(instruction >>> 15) & 31] ?? null;
}

function jalTarget(instruction: number, address: bigint): bigint {
  const offset =
    ((instruction >> 31) << 20) |
    (((instruction >>> 12) & 0xff) << 12) |
    (((instruction >>> 20) & 1) << 11) |
    (((instruction >>> 21) & 0x3ff) << 1);
  return BigInt.asUintN(64, address + BigInt(offset));
}

/** Up to `addi s0, sp, n` and again at `ret`, ra is the return address and s0 is the caller's. */
function frameShape(code: CodeWindow): FrameShape | 'framed' | null {
  const inLinkRegister = (cfa: number): FrameShape => ({ from: 'sp', returnAddress: null, framePointer: null, cfa });
  if (halfAt(code.at, 0) === 0x8082 || wordAt(code.at, 0) === 0x0000_8067) return inLinkRegister(0);
  const bytes = code.function;
  if (bytes === null) return null;
  let size = 0;
  for (let offset = 0; offset + 2 <= bytes.length; ) {
    if (offset >= code.offset) return inLinkRegister(size);
    const half = halfAt(bytes, offset);
    const instruction = wordAt(bytes, offset);
    const wide = (half & 3) === 3;
    if (wide ? (instruction & 0xfffff) === 0x10413 : half !== 0 && (half & 0xe01f) === 0) return 'framed';
    if (wide && (instruction & 0xfff) === 0x0ef) return null;
    if (wide && (instruction & 0xfffff) === 0x10113) size -= (instruction | 0) >> 20;
    if (!wide && (half & 0xef83) === 0x6101) size -= stackAdjustment16(half);
    else if (!wide && (half & 0xef83) === 0x0101) size -= (((half >> 12) & 1) * -32) | ((half >> 2) & 31);
    offset += wide ? 4 : 2;
  }
  return null;
}

/** The immediate of c.addi16sp. */
function stackAdjustment16(half: number): number {
  const bit = (from: number, to: number): number => ((half >> from) & 1) << to;
  return bit(6, 4) | bit(2, 5) | bit(5, 6) | bit(3, 7) | bit(4, 8) | (bit(12, 0) === 0 ? 0 : -512);
}

/** The riscv64 architecture. */
export const RISCV64: Architecture = {
  machine: 'riscv64',
  addressSize: 8,
  dwarfRegisters: [...GENERAL, ...FLOATING],
  returnAddressColumn: 1,
  pc: 'pc',
  sp: 'sp',
  fp: 's0',
  linkRegister: 'ra',
  preserved: ['gp', 'tp', 's0', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9', 's10', 's11'],
  stackAlignment: 16,
  maxCallLength: 4,
  findCallBefore,
  locateByFramePointer: (fp) => ({ returnAddressAt: fp - 8n, framePointerAt: fp - 16n, cfa: fp }),
  frameShape,
  stripPointer: (address) => address,
};
