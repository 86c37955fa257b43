// aarch64: DWARF for the Arm 64-bit Architecture (aadwarf64) section 4.1, AAPCS64 section 6, Arm ARM C6 encodings.

import type { Architecture, CallSite, CodeWindow, FrameShape } from './architecture.ts';

const GENERAL = Array.from({ length: 31 }, (_, index) => `x${index}`);
const VECTORS = Array.from({ length: 32 }, (_, index) => `v${index}`);
const RETURN_ADDRESS_SIGN_STATE = 34;
const VECTOR_BASE = 64;

function dwarfRegisters(): (string | undefined)[] {
  const names: (string | undefined)[] = [...GENERAL, 'sp', 'pc'];
  names[RETURN_ADDRESS_SIGN_STATE] = undefined;
  VECTORS.forEach((name, index) => (names[VECTOR_BASE + index] = name));
  return Array.from(names);
}

function instructionAt(bytes: Uint8Array, offset: number): number {
  if (offset < 0 || offset + 4 > bytes.length) return 0;
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

/** BL, BLR and its authenticating forms. */
function findCallBefore(before: Uint8Array, returnAddress: bigint): CallSite | null {
  const instruction = instructionAt(before, before.length - 4);
  if (instruction >>> 26 === 0x25) {
    const words = (instruction << 6) >> 6;
    return { target: BigInt.asUintN(64, returnAddress - 4n + BigInt(words) * 4n), register: null };
  }
  const register = GENERAL[(instruction >>> 5) & 31] ?? null;
  if ((instruction & 0xfffffc1f) >>> 0 === 0xd63f0000) return { target: null, register };
  if ((instruction & 0xfefff800) >>> 0 === 0xd63f0800) return { target: null, register };
  return null;
}

const RET = [0xd65f03c0, 0xd65f0bff, 0xd65f0fff];

const BR_X17 = 0xd61f0220;

/**
 * What remains of a PLT stub (`adrp x16; ldr x17; add x16; br x17`, with or without `bti c` and nops): it writes x16 and x17 only.
 * Seen: the stubs for memcpy and its like in static programs, which have neither CFI nor a symbol.
 */
function isStub(at: Uint8Array): boolean {
  for (let offset = 0; offset + 4 <= at.length; offset += 4) {
    const instruction = instructionAt(at, offset);
    if (instruction === BR_X17) return true;
    const isHint = (instruction & 0xfffff01f) >>> 0 === 0xd503201f;
    if (!isHint && (instruction & 31) !== 16 && (instruction & 31) !== 17) return false;
  }
  return false;
}

/** Up to `mov x29, sp` (or `add x29, sp, #n`) and again at `ret`, x30 is the return address and x29 is the caller's. */
function frameShape(code: CodeWindow): FrameShape | 'framed' | null {
  const inLinkRegister = (cfa: number): FrameShape => ({ from: 'sp', returnAddress: null, framePointer: null, cfa });
  if (RET.includes(instructionAt(code.at, 0)) || isStub(code.at)) return inLinkRegister(0);
  const bytes = code.function;
  if (bytes === null) return null;
  let size = 0;
  for (let offset = 0; offset + 4 <= bytes.length; offset += 4) {
    if (offset >= code.offset) return inLinkRegister(size);
    const instruction = instructionAt(bytes, offset);
    if ((instruction & 0xff8003ff) >>> 0 === 0x910003fd) return 'framed';
    if ((instruction & 0xffc07fff) >>> 0 === 0xa9807bfd) size -= ((instruction << 10) >> 25) * 8;
    if ((instruction & 0xffc003ff) >>> 0 === 0xd10003ff) size += (instruction >>> 10) & 0xfff;
    // After a call without a frame the link register holds something else.
    if (instruction >>> 26 === 0x25) return null;
  }
  return null;
}

/** Bits 48 and up carry authentication codes and tags; bit 55 says which half of the address space it was. */
function stripPointer(address: bigint): bigint {
  const low = BigInt.asUintN(48, address);
  return (address & (1n << 55n)) === 0n ? low : low | 0xffff_0000_0000_0000n;
}

/** The aarch64 architecture. */
export const AARCH64: Architecture = {
  machine: 'aarch64',
  addressSize: 8,
  dwarfRegisters: dwarfRegisters(),
  returnAddressColumn: 30,
  pc: 'pc',
  sp: 'sp',
  fp: 'x29',
  linkRegister: 'x30',
  preserved: GENERAL.slice(19, 30),
  stackAlignment: 16,
  maxCallLength: 4,
  findCallBefore,
  locateByFramePointer: (fp) => ({ returnAddressAt: fp + 8n, framePointerAt: fp, cfa: null }),
  frameShape,
  stripPointer,
};
