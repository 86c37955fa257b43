// One step without CFI, by the conventions of calls and frame pointers: the state of the prologue at an exact pc, a call that
// went nowhere, the chain of frame records. Everything found must stand up: aligned, readable, higher up the stack, and
// the return address behind a call.
// Seen: Nanos' kernel has no CFI at all (klib and kernel built -fno-omit-frame-pointer), its rbp chain ends at 0.

import type { CallerLocation } from '../arch/architecture.ts';
import type { StackEnd } from '../model/frame.ts';
import { findFp, findSp } from '../model/registers.ts';
import { findCallBefore, findFunctionStart, plausibleReturn, readCodeWindow } from './code.ts';
import { isText } from './module.ts';
import { type Caller, makeCaller, preservedRegisters, type RawFrame, readUnsigned, type WalkContext } from './walk.ts';

/** No frame is larger: beyond this a frame pointer is just a number. */
const MAX_FRAME_BYTES = 16n * 1024n * 1024n;
/** How far above the stack pointer a frameless function's return address is looked for. */
const FRAMELESS_WORDS = 64;

/** The caller by convention, `outermost` when the chain says so, or null. */
export function stepByConvention(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  if (frame.exactPc) {
    const exact = stepFromExactPc(context, frame);
    if (exact !== null) return exact;
  }
  return stepByFramePointer(context, frame);
}

/** The innermost frame's function may not have set up its frame yet, or keep none: the frame pointer alone would lose its caller. */
function stepFromExactPc(context: WalkContext, frame: RawFrame): Caller | null {
  const sp = findSp(frame.registers);
  if (sp === null) return null;
  if (!isText(context.modules, frame.pc)) return stepFromWildPc(context, frame, sp);
  const code = readCodeWindow(context, frame);
  if (code === null) return null;
  const state = context.architecture.frameState(code, sp);
  if (state === 'framed') return null;
  if (state === 'frameless') return stepFromFrameless(context, frame, sp);
  return callerAt(context, frame, state, 'frame-pointer');
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

/** A leaf without a frame: the nearest word that is behind a direct call of this very function. */
function stepFromFrameless(context: WalkContext, frame: RawFrame, sp: bigint): Caller | null {
  const { architecture, memory } = context;
  const start = findFunctionStart(context, frame);
  if (start === null) return null;
  const calls = (address: bigint): boolean => plausibleReturn(context, address)?.target === start;
  if (architecture.linkRegister !== null) {
    const inLinkRegister = { returnAddressAt: null, framePointerAt: null, cfa: sp };
    const link = frame.registers.values[architecture.linkRegister];
    return link !== undefined && calls(architecture.stripPointer(link))
      ? callerAt(context, frame, inLinkRegister, 'frame-pointer')
      : null;
  }
  const size = BigInt(architecture.addressSize);
  for (let index = 0n; index < FRAMELESS_WORDS; index += 1n) {
    const at = sp + index * size;
    const word = readUnsigned(memory, at, architecture.addressSize);
    if (word === null) return null;
    // Only the word at the stack pointer itself needs no guess about what lies in between.
    if (calls(word))
      return callerAt(
        context,
        frame,
        { returnAddressAt: at, framePointerAt: null, cfa: at + size },
        index === 0n ? 'frame-pointer' : 'scan',
      );
  }
  return null;
}

function stepByFramePointer(context: WalkContext, frame: RawFrame): Caller | StackEnd | null {
  const { architecture, memory } = context;
  const fp = findFp(frame.registers);
  const sp = findSp(frame.registers);
  if (fp === null) return null;
  // A chain that ends properly ends with 0; in the innermost frame a 0 may as well be any other use of the register.
  if (fp === 0n) return frame.trust === 'registers' ? null : 'outermost';
  const location = architecture.locateByFramePointer(fp);
  const lowest = minimum(location.returnAddressAt ?? fp, location.framePointerAt ?? fp);
  if (fp % BigInt(architecture.addressSize) !== 0n) return null;
  if (sp !== null && (lowest < sp || fp - sp > MAX_FRAME_BYTES)) return null;
  const returnAddress =
    location.returnAddressAt === null ? null : readUnsigned(memory, location.returnAddressAt, architecture.addressSize);
  if (returnAddress === 0n) return 'outermost';
  return callerAt(context, frame, location, 'frame-pointer');
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
  // A function behind a frame record may have changed every other callee-saved register; one still in its prologue has not.
  const kept = framePointerAt === null ? preservedRegisters(architecture, values) : new Map<string, bigint>();
  if (saved != null) kept.set(architecture.fp, saved);
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
