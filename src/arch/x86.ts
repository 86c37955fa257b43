// Instruction patterns common to i386 and x86-64 (Intel SDM vol. 2): calls, and the frame-pointer prologue and epilogue.

import type { CallSite, CodeWindow, FrameState } from './architecture.ts';

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

const PUSH_FP = 0x55;
const POP_FP = 0x5d;
const LEAVE = 0xc9;

/** Where a pc stands between `push %rbp; mov %rsp,%rbp` and `pop %rbp; ret`. `word` is the address size. */
export function x86FrameState(code: CodeWindow, sp: bigint, word: bigint): FrameState {
  const atEntry = { returnAddressAt: sp, framePointerAt: null, cfa: sp + word };
  if (isReturn(code.at)) return atEntry;
  const last = code.before[code.before.length - 1];
  if ((last === POP_FP || last === LEAVE) && isJump(code.at)) return atEntry;
  if (code.head === null) return 'frameless';
  if (code.offset === 0) return atEntry;
  const { push, move, moveEnd } = findPrologue(code.head, word === 8n);
  if (push < 0) return 'frameless';
  if (code.offset <= push) return code.offset <= entryNops(code.head) ? atEntry : 'frameless';
  if (code.offset >= moveEnd) return 'framed';
  // Between the two, only instructions that leave the stack alone may stand for this to hold; compilers put none or one mov.
  if (code.offset <= move) return { returnAddressAt: sp + word, framePointerAt: sp, cfa: sp + 2n * word };
  return 'frameless';
}

/** Offsets of `push %rbp` and of the `mov %rsp,%rbp` that follows it within a few bytes; -1 when there is no such pair. */
function findPrologue(head: Uint8Array, wide: boolean): { push: number; move: number; moveEnd: number } {
  for (let push = head.indexOf(PUSH_FP); push >= 0; push = head.indexOf(PUSH_FP, push + 1)) {
    for (let move = push + 1; move <= push + 8; move += 1) {
      const at = wide ? move + 1 : move;
      const isMove = (head[at] === 0x89 && head[at + 1] === 0xe5) || (head[at] === 0x8b && head[at + 1] === 0xec);
      if (isMove && (!wide || head[move] === 0x48)) return { push, move, moveEnd: at + 2 };
    }
  }
  return { push: -1, move: -1, moveEnd: -1 };
}

/** Bytes of endbr32/endbr64 and of the patchable nops that may open a function. */
function entryNops(head: Uint8Array): number {
  let offset = 0;
  if (head[0] === 0xf3 && head[1] === 0x0f && head[2] === 0x1e && (head[3] === 0xfa || head[3] === 0xfb)) offset = 4;
  while (head[offset] === 0x90) offset += 1;
  return offset;
}

function isReturn(at: Uint8Array): boolean {
  const first = at[0] === 0xf3 || at[0] === 0xf2 ? at[1] : at[0];
  return first === 0xc3 || first === 0xc2;
}

function isJump(at: Uint8Array): boolean {
  return at[0] === 0xe9 || at[0] === 0xeb || (at[0] === 0xff && ((at[1] ?? 0) & 0x38) === 0x20);
}
