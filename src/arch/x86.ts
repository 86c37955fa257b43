// What i386 and x86-64 share (Intel SDM vol. 2): the forms of a call, and the shape of a frame at a pc.

import type { CallSite, CodeWindow, FrameShape } from './architecture.ts';
import { analyseX86Frame } from './x86-frame.ts';

const REX_B = 0x41;

/** The call instruction that ends where `before` ends: e8 rel32, or ff /2 in any addressing form. */
export function findX86Call(before: Uint8Array, returnAddress: bigint, registers: readonly string[]): CallSite | null {
  const back = (count: number): number => before[before.length - count] ?? -1;
  // An indirect call is tried first through registers: its two bytes may also be the end of an e8 displacement,
  // and a target that leads nowhere is worse than none.
  const isRegisterCall = back(2) === 0xff && (back(1) & 0xf8) === 0xd0;
  if (back(5) === 0xe8 && !isRegisterCall) return { target: directTarget(before, returnAddress), register: null };
  if (isRegisterCall) {
    const extended = registers.length > 8 && back(3) === REX_B;
    return { target: null, register: registers[(back(1) & 7) + (extended ? 8 : 0)] ?? null };
  }
  for (const length of [2, 3, 4, 6, 7]) {
    if (back(length) === 0xff && memoryCallLength(back(length - 1), back(length - 2)) === length)
      return { target: null, register: null };
  }
  return null;
}

function directTarget(before: Uint8Array, returnAddress: bigint): bigint {
  const at = before.length - 4;
  const displacement = before[at]! | (before[at + 1]! << 8) | (before[at + 2]! << 16) | (before[at + 3]! << 24);
  return BigInt.asUintN(64, returnAddress + BigInt(displacement));
}

/** Length of `ff /2` with a memory operand, from its ModRM and the byte after; 0 when it is not that instruction. */
function memoryCallLength(modrm: number, sib: number): number {
  if (((modrm >> 3) & 7) !== 2) return 0;
  const mod = modrm >> 6;
  const hasSib = (modrm & 7) === 4;
  if (mod === 1) return hasSib ? 4 : 3;
  if (mod === 2) return hasSib ? 7 : 6;
  if (mod !== 0) return 0;
  if (hasSib) return (sib & 7) === 5 ? 7 : 3;
  return (modrm & 7) === 5 ? 6 : 2;
}

/** The frame's shape where one look at the pc tells it (a return, a stub), else by following the function's code to it. */
export function x86FrameShape(code: CodeWindow, registers: readonly string[]): FrameShape | 'framed' | null {
  if (isReturn(code.at) || isStub(code.at)) {
    return { from: registers[4]!, returnAddress: 0, framePointer: null, cfa: registers.length > 8 ? 8 : 4 };
  }
  return code.function === null ? null : analyseX86Frame(code.function, code.offset, registers);
}

function isReturn(at: Uint8Array): boolean {
  const first = at[0] === 0xf3 || at[0] === 0xf2 ? at[1] : at[0];
  return first === 0xc3 || first === 0xc2;
}

/** `jmp *slot(%rip)`, with or without endbr before it: a PLT stub, or a tail call through a pointer; no frame is left either way. */
function isStub(at: Uint8Array): boolean {
  const endbr = at[0] === 0xf3 && at[1] === 0x0f && at[2] === 0x1e && (at[3] === 0xfa || at[3] === 0xfb) ? 4 : 0;
  const offset = at[endbr] === 0xf2 ? endbr + 1 : endbr;
  return at[offset] === 0xff && at[offset + 1] === 0x25;
}
