// Where the return address lies at any instruction of an x86 function that has no CFI: its code is followed from the first
// byte along every branch, keeping count of the stack pointer and of what became of the frame pointer.
// Seen: gcc shrink-wraps prologues behind early exits and schedules instructions between `leave` and `ret`, so neither the
// offset from the start nor the bytes around the pc tell whether a frame stands. Test: test/unwind/native.test.ts.

import type { FrameShape } from './architecture.ts';
import { decodeX86, type X86Instruction } from './x86-length.ts';

/** Depths count bytes pushed since entry, where the return address is on top. */
interface StackState {
  /** Null where the code aligned the stack pointer or subtracted a register from it. */
  readonly depth: number | null;
  /** Depth at which the frame pointer points; null while it is not one. `unknown`: set at an unknown depth. */
  readonly frame: number | 'unknown' | null;
  /** Depth right after the caller's frame pointer was pushed; null while it was not. */
  readonly savedFrame: number | 'unknown' | null;
  /** Number of the register that holds the caller's stack pointer while this one is being aligned (GCC's DRAP); null while none. */
  readonly alignedFrom: number | null;
}

const ENTRY: StackState = { depth: 0, frame: null, savedFrame: null, alignedFrom: null };

interface Path {
  readonly at: number;
  readonly state: StackState;
  /** Begins at what is only taken for a case of a switch. */
  readonly assumed: boolean;
}

const MAX_INSTRUCTIONS = 4000;

/**
 * The shape of the frame at `target`, an offset into `code` which starts at the function's first byte; null when no path leads there. `registers` are
 * gdb's names by encoding: 8 of them for i386, 16 for x86-64.
 */
export function analyseX86Frame(code: Uint8Array, target: number, registers: readonly string[]): FrameShape | null {
  const wide = registers.length > 8;
  const visited = new Uint8Array(code.length);
  const branches: Path[] = [{ at: 0, state: ENTRY, assumed: false }];
  // What follows a call comes later: after one that never returns stands code of another path, with another state.
  const afterCalls: Path[] = [];
  // The cases of a switch are known only to its table. They start with the state at its jump, behind the end of some other path.
  const afterEnds: number[] = [];
  let atSwitch: StackState | null = null;
  const nextCase = (): Path | undefined => {
    const at = atSwitch === null ? undefined : afterEnds.shift();
    return at === undefined || atSwitch === null ? undefined : { at, state: atSwitch, assumed: true };
  };
  let budget = MAX_INSTRUCTIONS;
  for (let path: Path | undefined = branches.pop(); path; path = branches.pop() ?? afterCalls.shift() ?? nextCase()) {
    const { assumed } = path;
    let { at, state } = path;
    while (at >= 0 && at < code.length && visited[at] === 0 && budget > 0) {
      if (at === target) {
        const shape = shapeOf(state, registers);
        return shape !== null && assumed ? { ...shape, assumed } : shape;
      }
      visited[at] = 1;
      budget -= 1;
      const instruction = decodeX86(code, at, wide);
      if (instruction === null) break;
      const next = at + instruction.length;
      const { opcode } = instruction;
      if (isIndirectJump(instruction)) atSwitch ??= state;
      if (endsPath(instruction)) {
        afterEnds.push(next);
        break;
      }
      if (isConditional(opcode)) branches.push({ at: next + instruction.immediate, state, assumed });
      state = transfer(state, instruction, wide);
      const isJump = opcode === 0xe9 || opcode === 0xeb;
      if (isJump) afterEnds.push(next);
      at = isJump ? next + instruction.immediate : next;
      if (!isCall(instruction)) continue;
      afterCalls.push({ at, state, assumed });
      break;
    }
  }
  return null;
}

function isCall({ opcode, modrm }: X86Instruction): boolean {
  return opcode === 0xe8 || (opcode === 0xff && ((modrm >> 3) & 7) === 2);
}

function shapeOf({ depth, frame, savedFrame, alignedFrom }: StackState, registers: readonly string[]): FrameShape | null {
  const word = registers.length > 8 ? 8 : 4;
  // Code that aligns its stack pushes a second return address before its frame pointer, so the record is the usual one.
  if (frame === 'unknown') return { from: registers[FP]!, returnAddress: word, framePointer: 0, cfa: null };
  if (frame === null && depth === null) {
    return alignedFrom === null ? null : { from: registers[alignedFrom]!, returnAddress: -word, framePointer: null, cfa: 0 };
  }
  const base = frame ?? depth;
  const lost = frame !== null && savedFrame === null;
  if (base === null || savedFrame === 'unknown' || lost) return null;
  const framePointer = savedFrame === null ? null : base - savedFrame;
  return { from: registers[frame === null ? SP : FP]!, returnAddress: base, framePointer, cfa: base + word };
}

function isConditional(opcode: number): boolean {
  return (opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3) || (opcode >= 0x0f80 && opcode <= 0x0f8f);
}

/** Returns, traps that never come back and jumps to who knows where. */
function endsPath(instruction: X86Instruction): boolean {
  return [0xc2, 0xc3, 0xca, 0xcb, 0xcf, 0x0f0b].includes(instruction.opcode) || isIndirectJump(instruction);
}

function isIndirectJump({ opcode, modrm }: X86Instruction): boolean {
  return opcode === 0xff && ((modrm >> 3) & 6) === 4;
}

const SP = 4;
const FP = 5;

function transfer(state: StackState, instruction: X86Instruction, wide: boolean): StackState {
  const { opcode, modrm, rex, immediate } = instruction;
  const word = wide ? 8 : 4;
  if (opcode >= 0x50 && opcode <= 0x57)
    return opcode - 0x50 === FP && (rex & 1) === 0 ? saveFrame(state, word) : moved(state, word);
  if (opcode >= 0x58 && opcode <= 0x5f) {
    const popped = moved(state, -word);
    return opcode - 0x58 === FP && (rex & 1) === 0 ? { ...popped, frame: null, savedFrame: null } : popped;
  }
  if (opcode === 0x68 || opcode === 0x6a || opcode === 0x9c) return moved(state, word);
  if (opcode === 0x9d) return moved(state, -word);
  if (opcode === 0xc9) return { ...ENTRY, depth: isKnown(state.frame) ? state.frame - word : null };
  if (opcode === 0xff && ((modrm >> 3) & 7) === 6) return moved(state, word);
  if (opcode === 0x8f && ((modrm >> 3) & 7) === 0) return moved(state, -word);
  if ((opcode === 0x81 || opcode === 0x83) && modrm >> 6 === 3 && (modrm & 7) === SP && (rex & 1) === 0) {
    return adjusted(state, (modrm >> 3) & 7, immediate);
  }
  if ([0x01, 0x03, 0x29, 0x2b, 0x21, 0x89, 0x8b, 0x8d].includes(opcode)) return written(state, instruction, word);
  return state;
}

function isKnown(depth: number | 'unknown' | null): depth is number {
  return typeof depth === 'number';
}

function moved(state: StackState, bytes: number): StackState {
  return state.depth === null ? state : { ...state, depth: state.depth + bytes };
}

function saveFrame(state: StackState, word: number): StackState {
  const pushed = moved(state, word);
  if (state.savedFrame !== null || state.frame !== null) return pushed;
  return { ...pushed, savedFrame: pushed.depth ?? 'unknown' };
}

/** add, sub and and of an immediate to the stack pointer; a comparison leaves it alone. */
function adjusted(state: StackState, operation: number, immediate: number): StackState {
  if (operation === 0) return moved(state, -immediate);
  if (operation === 5) return moved(state, immediate);
  return operation === 7 ? state : { ...state, depth: null };
}

/** mov, lea, add, sub and and between registers, as far as they write the stack or frame pointer. */
function written(state: StackState, instruction: X86Instruction, word: number): StackState {
  const { opcode, modrm, rex, displacement, sib } = instruction;
  const toMemoryForm = [0x01, 0x29, 0x21, 0x89].includes(opcode);
  if (toMemoryForm && modrm >> 6 !== 3) return state;
  const registerField = ((modrm >> 3) & 7) + ((rex & 4) << 1);
  const memoryField = (modrm & 7) + ((rex & 1) << 3);
  const target = toMemoryForm ? memoryField : registerField;
  const source = toMemoryForm ? registerField : memoryField;
  const fromRegister = modrm >> 6 === 3;
  if (target === FP) {
    // Any other write makes it a general register: the saved copy, if there is one, is where the caller's value is.
    const isFrame = (opcode === 0x89 || opcode === 0x8b) && fromRegister && source === SP;
    return { ...state, frame: isFrame ? (state.depth ?? 'unknown') : null };
  }
  const leaFromSp = opcode === 0x8d && (modrm & 7) === SP && sib === 0x24 && (rex & 1) === 0;
  if (target !== SP)
    return leaFromSp && state.depth !== null && displacement === state.depth + word ? { ...state, alignedFrom: target } : state;
  if ((opcode === 0x89 || opcode === 0x8b) && fromRegister && source === FP)
    return { ...state, depth: isKnown(state.frame) ? state.frame : null };
  if (opcode !== 0x8d) return { ...state, depth: null };
  // lea n(%rsp),%rsp and lea n(%rbp),%rsp
  if (leaFromSp) return moved(state, -displacement);
  return source === FP && isKnown(state.frame) ? { ...state, depth: state.frame - displacement } : { ...state, depth: null };
}
