// One step without CFI, by the conventions of calls and frame pointers: what the code up to the pc did to the stack, a call
// that went nowhere, the chain of frame records. Everything found must stand up: aligned, readable, higher up the stack, and
// the return address behind a call.
// Seen: Nanos' kernel has no CFI at all (klib and kernel built -fno-omit-frame-pointer), its rbp chain ends at 0.

import type { CallerLocation, FrameShape } from '../arch/architecture.ts';
import type { StackEnd } from '../model/frame.ts';
import { findFp, findSp } from '../model/registers.ts';
import { findCallBefore, findFrameShape, findFunctionStart, plausibleReturn } from './code.ts';
import { isText } from './module.ts';
import {
  type Caller,
  makeCaller,
  preservedRegisters,
  type RawFrame,
  readUnsigned,
  systemRegisters,
  type WalkContext,
} from './walk.ts';

/** No frame is larger: beyond this a frame pointer is just a number. */
const MAX_FRAME_BYTES = 16n * 1024n * 1024n;
/** How far above the stack pointer a return address is looked for that a direct call of this very function pushed. */
const DIRECT_CALL_WORDS = 64;

/** The caller by convention, `outermost` when the chain says so, or null. */
export function stepByConvention(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const sp = findSp(frame.registers);
  if (frame.exactPc && !isText(context.modules, frame.pc)) {
    return (sp === null ? null : stepFromWildPc(context, frame, sp)) ?? stepByFramePointer(context, frame);
  }
  const shape = findFrameShape(context, frame);
  if (shape === null || shape === 'framed') {
    const byCall = shape === null && frame.exactPc && sp !== null ? stepByDirectCall(context, frame, sp) : null;
    return byCall ?? stepByFramePointer(context, frame);
  }
  return stepByShape(context, frame, shape) ?? stepByFramePointer(context, frame);
}

/**
 * The caller as the code itself has it, where CFI led to no code. Seen: Unikraft's ukplat_lcpu_save_irqf, inline `pushf; pop` of which
 * CFI knows nothing, so that between the two the flags pass for a return address, in gdb too. Test: test/unwind/unwinder.test.ts.
 */
export function stepByCode(context: WalkContext, frame: RawFrame): Caller | null {
  const shape = findFrameShape(context, frame);
  const caller = shape === null || shape === 'framed' ? null : stepByShape(context, frame, shape);
  return typeof caller === 'string' ? null : caller;
}

/** The code was followed to the pc: it says what lies where. */
function stepByShape(context: WalkContext, frame: RawFrame, shape: FrameShape): Caller | StackEnd | null {
  const sp = findSp(frame.registers);
  const base = frame.registers.values[shape.from];
  if (base === undefined || (sp !== null && (base < sp || base - sp > MAX_FRAME_BYTES))) return null;
  const at = (offset: number | null): bigint | null => (offset === null ? null : base + BigInt(offset));
  const location = { returnAddressAt: at(shape.returnAddress), framePointerAt: at(shape.framePointer), cfa: at(shape.cfa) };
  const end = shape.assumed === true ? null : endOfStack(context, location);
  return end ?? callerAt(context, frame, location, 'frame-pointer');
}

/**
 * The pc is in no code: a call through a null or wild pointer. It pushed a return address (or left it in the link register)
 * and did nothing else. The call is proven when the register it went through still holds the wild address; else, and after a
 * jump or a smashed return address, it is only likely.
 */
function stepFromWildPc(context: WalkContext, frame: RawFrame, sp: bigint): Caller | null {
  const { architecture } = context;
  const pushed = architecture.linkRegister === null;
  const size = pushed ? BigInt(architecture.addressSize) : 0n;
  const location = { returnAddressAt: pushed ? sp : null, framePointerAt: null, cfa: sp + size };
  const caller = callerAt(context, frame, location, 'scan');
  if (caller === null) return null;
  const register = findCallBefore(context, caller.pc)?.register ?? null;
  const proven = register !== null && frame.registers.values[register] === frame.pc;
  return proven ? { ...caller, trust: 'frame-pointer' } : caller;
}

/** In code that cannot be followed: the nearest word that is behind a direct call of this very function. */
function stepByDirectCall(context: WalkContext, frame: RawFrame, sp: bigint): Caller | null {
  const { architecture, memory } = context;
  const start = findFunctionStart(context, frame);
  const calls = (address: bigint): boolean => {
    const target = plausibleReturn(context, address)?.target ?? null;
    return target !== null && (target === start || target === frame.pc);
  };
  if (architecture.linkRegister !== null) {
    const link = frame.registers.values[architecture.linkRegister];
    if (link === undefined || !calls(architecture.stripPointer(link))) return null;
    return callerAt(context, frame, { returnAddressAt: null, framePointerAt: null, cfa: sp }, 'frame-pointer');
  }
  const size = BigInt(architecture.addressSize);
  for (let index = 0n; index < DIRECT_CALL_WORDS; index += 1n) {
    const at = sp + index * size;
    const word = readUnsigned(memory, at, architecture.addressSize);
    if (word === null) return null;
    if (!calls(word)) continue;
    // Only the word at the stack pointer itself needs no guess about what lies in between.
    const trust = index === 0n ? 'frame-pointer' : 'scan';
    return callerAt(context, frame, { returnAddressAt: at, framePointerAt: null, cfa: at + size }, trust);
  }
  return null;
}

function stepByFramePointer(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const { architecture } = context;
  const fp = findFp(frame.registers);
  const sp = findSp(frame.registers);
  if (fp === null) return null;
  // A chain that ends properly ends with 0; in the innermost frame a 0 may as well be any other use of the register.
  if (fp === 0n) return frame.trust === 'registers' ? null : 'outermost';
  const location = architecture.locateByFramePointer(fp);
  const lowest = minimum(location.returnAddressAt ?? fp, location.framePointerAt ?? fp);
  if (fp % BigInt(architecture.stackAlignment) !== 0n) return null;
  if (sp !== null && (lowest < sp || fp - sp > MAX_FRAME_BYTES)) return null;
  return endOfStack(context, location) ?? callerAt(context, frame, location, 'frame-pointer');
}

/** A return address of 0 was put there to end the stack. */
function endOfStack({ architecture, memory }: WalkContext, { returnAddressAt }: CallerLocation): StackEnd | null {
  const word = returnAddressAt === null ? null : readUnsigned(memory, returnAddressAt, architecture.addressSize);
  return word === 0n ? 'outermost' : null;
}

/** The caller whose return address and frame pointer lie there, if its return address is behind a call. */
function callerAt(context: WalkContext, frame: RawFrame, location: CallerLocation, trust: Caller['trust']): Caller | null {
  const { architecture, memory } = context;
  const { values } = frame.registers;
  const { returnAddressAt, framePointerAt, cfa } = location;
  const raw =
    returnAddressAt === null
      ? (values[architecture.linkRegister ?? ''] ?? null)
      : readUnsigned(memory, returnAddressAt, architecture.addressSize);
  if (raw === null) return null;
  const pc = architecture.stripPointer(raw);
  if (!mayReturnTo(context, pc)) return null;
  const saved =
    framePointerAt === null ? values[architecture.fp] : readUnsigned(memory, framePointerAt, architecture.addressSize);
  // A function that has put anything on the stack may have changed every callee-saved register but the frame pointer.
  const sp = findSp(frame.registers);
  const untouched = framePointerAt === null && sp !== null && cfa !== null && cfa - sp <= BigInt(architecture.addressSize);
  const kept = untouched ? preservedRegisters(architecture, values) : systemRegisters(values);
  if (saved != null) kept[architecture.fp] = saved;
  return makeCaller(architecture, kept, { pc, cfa, trust, exactPc: false });
}

/** Behind a call: in an image's code, or, when no image lies there at all (an application without symbols), in any bytes. */
function mayReturnTo(context: WalkContext, pc: bigint): boolean {
  const inSomeModule = context.modules.some(({ base, end }) => pc >= base && pc < end);
  return inSomeModule ? plausibleReturn(context, pc) !== null : findCallBefore(context, pc) !== null;
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
