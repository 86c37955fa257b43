// Looking at the guest's code as far as unwinding without CFI needs it: does a call end here, where does this function
// begin, and what stands around a pc.

import type { CallSite, CodeWindow } from '../arch/architecture.ts';
import { isText } from './module.ts';
import { lookupAddress, type RawFrame, type WalkContext } from './walk.ts';

/** How much of a function's beginning is looked at: prologues behind shrink-wrapped early exits still fall into it. */
const HEAD_BYTES = 128;
const BYTES_AT_PC = 16;

/** The call that ends right before `address`; null when there is none or the bytes cannot be read. */
export function findCallBefore(context: WalkContext, address: bigint): CallSite | null {
  const before = readBefore(context, address);
  return before === null ? null : context.architecture.findCallBefore(before, address);
}

/** A return address to believe: in an image's code, right behind a call. Gives the call. */
export function plausibleReturn(context: WalkContext, address: bigint): CallSite | null {
  return isText(context.modules, address - 1n) ? findCallBefore(context, address) : null;
}

/** The first byte of the function that a frame is in; null when symbols do not say. */
export function findFunctionStart(context: WalkContext, frame: RawFrame): bigint | null {
  const address = lookupAddress(frame);
  const offset = context.symbolizer.symbolize(address).at(-1)?.functionOffset ?? null;
  return offset === null || offset < 0 ? null : address - BigInt(offset);
}

/** The code around an exact pc; null where it cannot be read. */
export function readCodeWindow(context: WalkContext, frame: RawFrame): CodeWindow | null {
  const at = readUpTo(context, frame.pc, BYTES_AT_PC);
  if (at === null) return null;
  const start = findFunctionStart(context, frame);
  return {
    head: start === null ? null : readUpTo(context, start, HEAD_BYTES),
    offset: start === null ? 0 : Number(frame.pc - start),
    before: readBefore(context, frame.pc) ?? new Uint8Array(0),
    at,
  };
}

function readBefore(context: WalkContext, address: bigint): Uint8Array | null {
  const length = context.architecture.maxCallLength;
  if (address < BigInt(length)) return null;
  return context.memory.read(address - BigInt(length), length) ?? context.memory.read(address - 4n, 4);
}

/** `length` bytes, or fewer when a page that cannot be read follows. */
function readUpTo(context: WalkContext, address: bigint, length: number): Uint8Array | null {
  const whole = context.memory.read(address, length);
  if (whole !== null) return whole;
  const toPageEnd = 4096 - Number(address & 4095n);
  return toPageEnd < length ? context.memory.read(address, toPageEnd) : null;
}
