// The last resort: the nearest word on the stack that looks like a return address into an image's code. Bounded, and its
// trust says what it is.

import { findFp, findSp } from '../model/registers.ts';
import { findFunctionStart, plausibleReturn } from './code.ts';
import { isText } from './module.ts';
import { type Caller, decodeUnsigned, makeCaller, type RawFrame, systemRegisters, type WalkContext } from './walk.ts';

const SCAN_WORDS = 128;
const PAGE = 4096;

/** The caller by the first plausible word above the stack pointer; null when none is in reach. */
export function scanForCaller(context: WalkContext, frame: RawFrame): Caller | null {
  const { architecture } = context;
  const sp = findSp(frame.registers);
  if (sp === null) return null;
  const size = architecture.addressSize;
  const start = sp - (sp % BigInt(size));
  const words = readWords(context, start);
  // In code that symbols know, a call that says where it goes must have gone there (a tail call may have gone on: lost then).
  const functionStart = isText(context.modules, frame.pc) ? findFunctionStart(context, frame) : null;
  for (let index = 0; (index + 1) * size <= words.length; index += 1) {
    const pc = architecture.stripPointer(decodeUnsigned(words, index * size, size));
    const call = plausibleReturn(context, pc);
    if (call === null) continue;
    if (call.target !== null && functionStart !== null && call.target !== functionStart) continue;
    return callerFrom(context, frame, pc, start + BigInt((index + 1) * size));
  }
  return null;
}

/** A frame pointer above the found word may be the caller's own, so it is kept; nothing else is sure. */
function callerFrom(context: WalkContext, frame: RawFrame, pc: bigint, cfa: bigint): Caller {
  const { architecture } = context;
  const fp = findFp(frame.registers);
  const kept = systemRegisters(frame.registers.values);
  if (fp !== null && fp >= cfa) kept[architecture.fp] = fp;
  return makeCaller(architecture, kept, { pc, cfa, trust: 'scan', exactPc: false });
}

/** The stack from `start` on, as far as it can be read and no farther than a scan goes. */
function readWords(context: WalkContext, start: bigint): Uint8Array {
  const wanted = SCAN_WORDS * context.architecture.addressSize;
  const whole = context.memory.read(start, wanted);
  if (whole !== null) return whole;
  const toPageEnd = PAGE - Number(start & BigInt(PAGE - 1));
  return (toPageEnd < wanted ? context.memory.read(start, toPageEnd) : null) ?? new Uint8Array(0);
}
