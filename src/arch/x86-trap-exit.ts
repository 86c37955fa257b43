// How interrupt code gives back what it interrupted, read from the code itself: from the pc on to its iretq, with count of the
// stack pointer and of the registers that are loaded from the stack on the way. Whatever such code changes it must restore
// before it returns, so this finds the interrupted registers without CFI and without knowing the system.
// Seen: Solo5's cpu_irq_0 (bindings/virtio/cpu_vectors_x86_64.S: nine pushes, a call, nine pops, iretq), OSv's interrupt_entry
// (arch/x64/entry.S: 224 times `push $n; jmp interrupt_entry_common`, and only the latter has CFI). Test: test/arch/x86-trap-exit.test.ts.

import { decodeX86, type X86Instruction } from './x86-length.ts';

/** What lies where when the code that stands at the pc is done. Offsets count from the stack pointer at the pc. */
export interface TrapExit {
  /** Code that is jumped to and knows better; null: an iretq, which takes the CPU's frame from the stack. */
  readonly at: bigint | null;
  /** Where the stack pointer is then. */
  readonly depth: number;
  /** Registers that have been loaded from the stack by then (null: with who knows what); every other one has its value still. */
  readonly loaded: ReadonlyMap<string, number | null>;
}

const MAX_INSTRUCTIONS = 300;
const MAX_EXITS = 4;
/** Beyond this the stack pointer has gone somewhere else. */
const MAX_DEPTH = 4096;
const WORD = 8;

interface Path {
  readonly at: bigint;
  readonly depth: number;
  readonly loaded: ReadonlyMap<string, number | null>;
  /** Registers pushed on the way, by where they lie: to be popped again unchanged. */
  readonly pushed: ReadonlyMap<number, string>;
  /** Whether a condition was met on the way here. */
  readonly sure: boolean;
}

/**
 * The ways out of the 64-bit code at `pc` that end in an iretq, nearest first. `read` gives the bytes at an address (15 are enough),
 * `isDescribed` says where to stop because CFI begins; `registers` are gdb's names by encoding.
 */
export function findTrapExits(
  pc: bigint,
  read: (address: bigint) => Uint8Array | null,
  isDescribed: (address: bigint) => boolean,
  registers: readonly string[],
): TrapExit[] {
  const exits: TrapExit[] = [];
  const visited = new Set<bigint>();
  const paths: Path[] = [{ at: pc, depth: 0, loaded: new Map(), pushed: new Map(), sure: true }];
  const step = (path: Path): Path | null => {
    const { at, depth, loaded, pushed, sure } = path;
    visited.add(at);
    const bytes = read(at);
    const instruction = bytes === null ? null : decodeX86(bytes, 0, true);
    if (instruction === null) return null;
    const { opcode, rex, length, immediate } = instruction;
    const next = at + BigInt(length);
    const target = BigInt.asUintN(64, next + BigInt(immediate));
    if (opcode === 0xe9 || opcode === 0xeb) {
      if (!sure || !isDescribed(target)) return { ...path, at: target };
      exits.push({ at: target, depth, loaded });
      return null;
    }
    if ((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0x0f80 && opcode <= 0x0f8f)) {
      paths.push({ ...path, at: target, sure: false });
      return { ...path, at: next, sure: false };
    }
    if (opcode === 0xcf && (rex & 8) !== 0) exits.push({ at: null, depth, loaded });
    const moved = transfer(instruction, { depth, loaded, pushed }, registers);
    return moved === null ? null : { ...moved, at: next, sure };
  };
  const mayGoOn = ({ at, depth }: Path): boolean =>
    !visited.has(at) && visited.size < MAX_INSTRUCTIONS && Math.abs(depth) < MAX_DEPTH;
  for (let path = paths.pop() ?? null; path !== null && exits.length < MAX_EXITS; path ??= paths.pop() ?? null) {
    path = mayGoOn(path) ? step(path) : null;
  }
  return exits;
}

type Stack = Pick<Path, 'depth' | 'loaded' | 'pushed'>;

/** The effect of one instruction; null where it leaves the code or makes the stack pointer unknown. */
function transfer(instruction: X86Instruction, stack: Stack, registers: readonly string[]): Stack | null {
  const { opcode, modrm, rex, immediate, displacement, sib } = instruction;
  const named = registers[(opcode & 7) + ((rex & 1) << 3)]!;
  if (opcode >= 0x50 && opcode <= 0x57) return push(stack, named);
  if (opcode >= 0x58 && opcode <= 0x5f) return named === registers[SP] ? null : moved(load(stack, named, stack.depth), WORD);
  if (opcode === 0x68 || opcode === 0x6a || opcode === 0x9c) return push(stack, null);
  if (opcode === 0x9d) return moved(stack, WORD);
  if (ENDS.has(opcode)) return null;
  const operation = (modrm >> 3) & 7;
  if (opcode === 0xff) return operation === 6 ? push(stack, null) : operation === 4 || operation === 5 ? null : stack;
  const isSp = modrm >> 6 === 3 && (modrm & 7) === SP && (rex & 1) === 0;
  if ((opcode === 0x81 || opcode === 0x83) && isSp) {
    if (operation === 0) return moved(stack, immediate);
    if (operation === 5) return moved(stack, -immediate);
    return operation === 7 ? stack : null;
  }
  const written = registers[operation + ((rex & 4) << 1)]!;
  const fromStack = modrm >> 6 !== 3 && (modrm & 7) === SP && sib === 0x24 && (rex & 3) === 0;
  if (opcode === 0x8d && written === registers[SP]) return fromStack ? moved(stack, displacement) : null;
  if (opcode === 0x8b && written === registers[SP]) return null;
  if (opcode === 0x8b && fromStack && (rex & 8) !== 0) return load(stack, written, stack.depth + displacement);
  return isSp && WRITES.has(opcode) ? null : stack;
}

const SP = 4;
/** Returns, halts and traps, leave, sysret. */
const ENDS = new Set([0xc2, 0xc3, 0xc9, 0xca, 0xcb, 0xcf, 0xf4, 0x0f0b, 0x0f07]);
/** add, sub, and, mov from a register. */
const WRITES = new Set([0x01, 0x29, 0x21, 0x89]);

function moved(stack: Stack, bytes: number): Stack {
  return { ...stack, depth: stack.depth + bytes };
}

function push(stack: Stack, register: string | null): Stack {
  const depth = stack.depth - WORD;
  const pushed = new Map(stack.pushed);
  // What was loaded from the stack before is not the register's first value any more.
  if (register === null || stack.loaded.has(register)) pushed.delete(depth);
  else pushed.set(depth, register);
  return { ...stack, depth, pushed };
}

function load(stack: Stack, register: string, from: number): Stack {
  const loaded = new Map(stack.loaded);
  if (from >= 0) loaded.set(register, from);
  else if (stack.pushed.get(from) !== register) loaded.set(register, null);
  return { ...stack, loaded };
}
