// One step out of interrupt code that has no CFI: its own instructions are followed to where they give the interrupted registers
// back, and what the CPU pushed there (Intel SDM vol. 3, 7.14.2: rip, cs, rflags, rsp, ss) must look like nothing else.

import type { TrapExit } from '../arch/x86-trap-exit.ts';
import { findSp } from '../model/registers.ts';
import { stepByCfi } from './cfi-step.ts';
import { findModule, isText } from './module.ts';
import { type Caller, decodeUnsigned, makeCaller, type RawFrame, readUnsigned, type WalkContext } from './walk.ts';

const MAX_INSTRUCTION = 15;
const MAX_CACHED_EXITS = 4096;
const FRAME_WORDS = 5;

/** The interrupted code, or null when the frame's code is not about to return from an interrupt. */
export function stepByTrapExit(context: WalkContext, frame: RawFrame): Caller | null {
  const sp = findSp(frame.registers);
  if (sp === null || !isText(context.modules, frame.pc)) return null;
  for (const exit of findExits(context, frame.pc)) {
    const registers = { ...frame.registers, values: registersAt(context, frame, sp, exit) };
    const caller =
      exit.at === null
        ? callerByTrapFrame(context, registers.values, sp + BigInt(exit.depth))
        : stepByCfi(context, { ...frame, pc: exit.at, exactPc: true, registers });
    if (caller !== null && typeof caller === 'object') return { ...caller, trust: 'frame-pointer' };
  }
  return null;
}

/** Kept per pc: trap vectors come back at every walk, and most code is none. */
function findExits(context: WalkContext, pc: bigint): readonly TrapExit[] {
  const known = context.exits.get(pc);
  if (known !== undefined) return known;
  const read = (address: bigint): Uint8Array | null => readCode(context, address);
  const isDescribed = (address: bigint): boolean => {
    const module = findModule(context.modules, address);
    return module?.cfi?.find(address - module.loadBias) != null;
  };
  const exits = context.architecture.findTrapExits?.(pc, read, isDescribed) ?? [];
  if (context.exits.size >= MAX_CACHED_EXITS) context.exits.clear();
  context.exits.set(pc, exits);
  return exits;
}

/** An instruction's bytes: fewer where a page that cannot be read follows. */
function readCode({ memory, modules }: WalkContext, address: bigint): Uint8Array | null {
  if (!isText(modules, address)) return null;
  for (let length = MAX_INSTRUCTION; length > 0; length -= 7) {
    const bytes = memory.read(address, length);
    if (bytes !== null) return bytes;
  }
  return null;
}

function registersAt({ architecture, memory }: WalkContext, frame: RawFrame, sp: bigint, exit: TrapExit): Record<string, bigint> {
  const values: Record<string, bigint> = { ...frame.registers.values, [architecture.sp]: sp + BigInt(exit.depth) };
  const lost: string[] = [];
  for (const [name, offset] of exit.loaded) {
    const value = offset === null ? null : readUnsigned(memory, sp + BigInt(offset), architecture.addressSize);
    if (value === null) lost.push(name);
    else values[name] = value;
  }
  return lost.length === 0 ? values : Object.fromEntries(Object.entries(values).filter(([name]) => !lost.includes(name)));
}

function callerByTrapFrame({ architecture, memory }: WalkContext, values: Record<string, bigint>, at: bigint): Caller | null {
  const bytes = memory.read(at, FRAME_WORDS * architecture.addressSize);
  if (bytes === null) return null;
  const [pc, code, flags, sp, stack] = Array.from({ length: FRAME_WORDS }, (_, index) => decodeUnsigned(bytes, index * 8, 8)) as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ];
  if (!isTrapFrame(code, flags, stack)) return null;
  values[architecture.sp] = sp;
  values.eflags = flags;
  return makeCaller(architecture, values, { pc, cfa: sp, trust: 'frame-pointer', exactPc: true });
}

/**
 * Folklore: what Xen pushes for a paravirtual guest has Xen's own selectors (FLAT_RING3_CS64 and FLAT_RING3_SS64 of xen/include/public/arch-x86/
 * xen-x86_64.h; the ring in the code's is what the guest thinks it ran in), and beside the code's, in bits 32 on, whether events were masked. Seen: Mini-OS.
 */
const XEN_CODE = 0xe030n;
const XEN_STACK = 0xe02bn;

/** Selectors of the global table, of one ring (ring 0 may have none for its stack); bit 1 of the flags is always set, none above 21. */
function isTrapFrame(code: bigint, flags: bigint, stack: bigint): boolean {
  const isXen = stack === XEN_STACK && (code & 0xffff_fffcn) === XEN_CODE && code >> 32n <= 1n;
  if (isXen) return (flags & 2n) !== 0n && flags < 0x40_0000n;
  const isCode = code > 0n && code <= 0xffn && (code & 4n) === 0n;
  const isStack = stack === 0n || (stack <= 0xffn && (stack & 3n) === (code & 3n));
  return isCode && isStack && (flags & 2n) !== 0n && flags < 0x40_0000n;
}
