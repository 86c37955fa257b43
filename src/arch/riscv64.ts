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

/** What the code up to some instruction did to the stack; offsets are from the stack pointer at entry. */
interface StackState {
  readonly size: number;
  /** Where ra was stored; null while it holds the return address itself. */
  readonly ra: number | null;
  /** Where s0 was stored; null while it is the caller's. */
  readonly s0: number | null;
  /** s0 is a frame pointer. */
  readonly framed: boolean;
  /** A call went by since ra was last loaded. */
  readonly called: boolean;
}

const ENTRY: StackState = { size: 0, ra: null, s0: null, framed: false, called: false };

/**
 * The function is read from its first byte to the pc, as it lies: stores of ra and s0 and moves of the stack pointer count, and behind
 * a return the state is again what the prologue made. Seen: Debian's C library for riscv64 has hardly any CFI and no frame pointers.
 */
function frameShape(code: CodeWindow): FrameShape | 'framed' | null {
  const inLinkRegister = (cfa: number): FrameShape => ({ from: 'sp', returnAddress: null, framePointer: null, cfa });
  if (isReturn(code.at, 0)) return inLinkRegister(0);
  const bytes = code.function;
  if (bytes === null) return null;
  let state = ENTRY;
  let body = ENTRY;
  for (let offset = 0; offset < code.offset; ) {
    if (offset + 2 > bytes.length) return null;
    const wide = (halfAt(bytes, offset) & 3) === 3;
    const next = wide ? afterWord(state, wordAt(bytes, offset)) : afterHalf(state, halfAt(bytes, offset));
    if (next === null) state = body;
    else {
      if (next.ra !== state.ra ? next.ra !== null : next.size > state.size || next.framed || next.s0 !== null) body = next;
      state = next;
    }
    offset += wide ? 4 : 2;
  }
  const { size, ra, s0, framed, called } = state;
  if (framed) return 'framed';
  if (ra === null) return called ? null : { ...inLinkRegister(size), framePointer: s0 === null ? null : s0 + size };
  return { from: 'sp', returnAddress: ra + size, framePointer: s0 === null ? null : s0 + size, cfa: size };
}

const RA = 1;
const SP = 2;
const S0 = 8;

function isReturn(bytes: Uint8Array, offset: number): boolean {
  return halfAt(bytes, offset) === 0x8082 || wordAt(bytes, offset) === 0x0000_8067;
}

/** Null behind a jump or return. */
function afterWord(state: StackState, word: number): StackState | null {
  const [opcode, rd, funct3, rs1, rs2] = [
    word & 0x7f,
    (word >>> 7) & 31,
    (word >>> 12) & 7,
    (word >>> 15) & 31,
    (word >>> 20) & 31,
  ];
  const immediate = (word | 0) >> 20;
  if (opcode === 0x6f || (opcode === 0x67 && funct3 === 0)) return rd === 0 ? null : { ...state, called: true };
  if (opcode === 0x13 && funct3 === 0) return added(state, rd, rs1, immediate);
  if (opcode === 0x23 && funct3 === 3 && rs1 === SP) return stored(state, rs2, (((word | 0) >> 25) << 5) | rd);
  return opcode === 0x03 && funct3 === 3 && rs1 === SP ? loaded(state, rd) : state;
}

function afterHalf(state: StackState, half: number): StackState | null {
  const register = (half >> 7) & 31;
  if ((half & 0xe003) === 0xa001) return null;
  if ((half & 0xe07f) === 0x8002 && register !== 0) return (half & 0x1000) === 0 ? null : { ...state, called: true };
  if ((half & 0xef83) === 0x6101) return added(state, SP, SP, stackAdjustment16(half));
  if ((half & 0xef83) === 0x0101) return added(state, SP, SP, (((half >> 12) & 1) * -32) | ((half >> 2) & 31));
  // c.addi4spn into s0
  if (half !== 0 && (half & 0xe01f) === 0) return added(state, S0, SP, stackImmediate(half));
  if ((half & 0xe003) === 0xe002) return stored(state, (half >> 2) & 31, (((half >> 10) & 7) << 3) | (((half >> 7) & 7) << 6));
  return (half & 0xe003) === 0x6002 ? loaded(state, register) : state;
}

function added(state: StackState, to: number, from: number, immediate: number): StackState {
  if (to === SP && from === SP) return { ...state, size: state.size - immediate };
  if (to === SP && from === S0 && state.framed) return { ...state, size: -immediate };
  return to === S0 && from === SP ? { ...state, framed: immediate === state.size } : state;
}

function stored(state: StackState, register: number, at: number): StackState {
  if (register === RA && state.ra === null && !state.called) return { ...state, ra: at - state.size };
  return register === S0 && state.s0 === null ? { ...state, s0: at - state.size } : state;
}

function loaded(state: StackState, register: number): StackState {
  if (register === RA) return { ...state, ra: null, called: false };
  return register === S0 ? { ...state, s0: null, framed: false } : state;
}

/** The immediate of c.addi4spn. */
function stackImmediate(half: number): number {
  const bit = (from: number, to: number): number => ((half >> from) & 1) << to;
  return (((half >> 7) & 15) << 6) | (((half >> 11) & 3) << 4) | bit(5, 3) | bit(6, 2);
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
