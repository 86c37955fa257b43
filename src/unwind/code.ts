// Looking at the guest's code as far as unwinding without CFI needs it: does a call end here, where does this function
// begin, and what stands around a pc.

import type { CallSite, FrameShape } from '../arch/architecture.ts';
import { isText } from './module.ts';
import { lookupAddress, type RawFrame, type WalkContext } from './walk.ts';

/** How much of a function is followed; few are longer. */
const FUNCTION_BYTES = 8192;
/** A PLT stub with all its trimmings. */
const BYTES_AT_PC = 24;
const PAGE = 4096;
const MAX_CACHED_SHAPES = 4096;

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

/** What the code at a frame's pc says of the frame's shape. Kept per pc: the same call sites come back at every walk. */
export function findFrameShape(context: WalkContext, frame: RawFrame): FrameShape | 'framed' | null {
  const known = context.shapes.get(frame.pc);
  if (known !== undefined) return known;
  const at = readUpTo(context, frame.pc, BYTES_AT_PC);
  if (at === null) return null;
  const start = findFunctionStart(context, frame);
  const code = start === null ? null : readUpTo(context, start, FUNCTION_BYTES);
  const shape = context.architecture.frameShape({ function: code, offset: start === null ? 0 : Number(frame.pc - start), at });
  if (context.shapes.size >= MAX_CACHED_SHAPES) context.shapes.clear();
  context.shapes.set(frame.pc, shape);
  return shape;
}

function readBefore(context: WalkContext, address: bigint): Uint8Array | null {
  const length = context.architecture.maxCallLength;
  if (address < BigInt(length)) return null;
  return context.memory.read(address - BigInt(length), length) ?? context.memory.read(address - 4n, 4);
}

/** `length` bytes, or fewer when a page that cannot be read follows. */
function readUpTo(context: WalkContext, address: bigint, length: number): Uint8Array | null {
  for (let size = length; size > 0; size = lastPageBoundary(address, size)) {
    const bytes = context.memory.read(address, size);
    if (bytes !== null) return bytes;
  }
  return null;
}

/** The largest size below `size` at which a read from `address` ends with a page. */
function lastPageBoundary(address: bigint, size: number): number {
  const end = Number(address & BigInt(PAGE - 1)) + size;
  return size - (end % PAGE === 0 ? PAGE : end % PAGE);
}
