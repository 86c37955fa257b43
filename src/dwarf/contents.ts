// The bytes of an object wherever its location says that they are. Read when asked for and only as far as asked for, since a
// variable may be an array of megabytes or a pointer into nowhere.

import type { Memory } from '../model/target.ts';
import { bytesOf, type Location, OPTIMIZED_OUT, type Piece, unreadable } from './location.ts';

/** An object in a guest: its bytes, or why they cannot be had. */
export interface Contents {
  /** Where it lies in memory; null when it is in registers, in pieces, or nowhere. */
  readonly address: bigint | null;
  /** Bytes [offset, offset + length) of the object; a text in place of them says why not (`optimized out`). */
  readonly read: (offset: number, length: number) => Uint8Array | string;
  /** Of a pointer that is gone: what it pointed at (DW_OP_implicit_pointer). */
  readonly pointee: (() => Contents) | null;
}

/** What locations are resolved with. */
export interface ContentsContext {
  readonly memory: Memory;
  /** The bytes of a register, or why not. */
  readonly registerBytes: (dwarfNumber: number) => Uint8Array | string;
  /** What a DW_OP_implicit_pointer points at. */
  readonly implicitTarget: (debugInfoOffset: number) => Contents;
}

/** A read that is not aligned to bytes is put together bit by bit, up to so many bytes. */
const MAX_UNALIGNED = 4096;

/** The object at `location`. */
export function contentsAt(location: Location, context: ContentsContext): Contents {
  switch (location.kind) {
    case 'memory':
      return memoryContents(context.memory, location.address);
    case 'register':
      return {
        address: null,
        pointee: null,
        read: (offset, length) => sliceOf(context.registerBytes(location.register), offset, length),
      };
    case 'value':
      return valueContents(location.bytes);
    case 'implicit-pointer':
      return implicitPointer(location, context);
    case 'pieces':
      return pieceContents(location.pieces, context);
    case 'missing':
      return missingContents(location.why);
  }
}

/** An object in memory. */
export function memoryContents(memory: Memory, address: bigint): Contents {
  return {
    address,
    pointee: null,
    read: (offset, length) => {
      const at = BigInt.asUintN(64, address + BigInt(offset));
      return memory.read(at, length) ?? unreadable(at);
    },
  };
}

/** An object of which only the bytes are known. */
export function valueContents(bytes: Uint8Array): Contents {
  return { address: null, pointee: null, read: (offset, length) => sliceOf(bytes, offset, length) };
}

/** An object that cannot be had. */
export function missingContents(why: string): Contents {
  return { address: null, pointee: null, read: () => why };
}

/** The part of an object that starts `offset` bytes in: a member, an element. */
export function partOf(whole: Contents, offset: number): Contents {
  if (offset === 0) return whole;
  return {
    address: whole.address === null ? null : BigInt.asUintN(64, whole.address + BigInt(offset)),
    pointee: null,
    read: (at, length) => (offset + at < 0 ? OPTIMIZED_OUT : whole.read(offset + at, length)),
  };
}

function sliceOf(bytes: Uint8Array | string, offset: number, length: number): Uint8Array | string {
  if (typeof bytes === 'string') return bytes;
  return offset >= 0 && offset + length <= bytes.length ? bytes.subarray(offset, offset + length) : OPTIMIZED_OUT;
}

function implicitPointer({ target, offset }: { target: number; offset: number }, context: ContentsContext): Contents {
  return {
    address: null,
    read: () => 'synthetic pointer',
    pointee: () => partOf(context.implicitTarget(target), offset),
  };
}

function pieceContents(pieces: readonly Piece[], context: ContentsContext): Contents {
  const parts: Part[] = [];
  let start = 0;
  for (const { size, offset, location } of pieces) {
    parts.push({ start, size, offset, contents: contentsAt(location, context) });
    start += size;
  }
  // A pointer in one piece that is gone is gone as a whole.
  const [first] = parts;
  const pointee = parts.length === 1 && first !== undefined ? first.contents.pointee : null;
  return { address: null, pointee, read: (offset, length) => readPieces(parts, offset, length) };
}

/** A piece where it lies in the object, in bits. */
interface Part {
  readonly start: number;
  readonly size: number;
  readonly offset: number;
  readonly contents: Contents;
}

function readPieces(parts: readonly Part[], offset: number, length: number): Uint8Array | string {
  if (length === 0) return new Uint8Array(0);
  const whole = parts.find((part) => part.start <= offset * 8 && (offset + length) * 8 <= part.start + part.size);
  if (whole !== undefined && (whole.offset + offset * 8 - whole.start) % 8 === 0) {
    return whole.contents.read((whole.offset + offset * 8 - whole.start) / 8, length);
  }
  if (length > MAX_UNALIGNED) return OPTIMIZED_OUT;
  const out = new Uint8Array(length);
  let done = offset * 8;
  for (const end = (offset + length) * 8; done < end; ) {
    const part = parts.find(({ start, size }) => start <= done && done < start + size);
    if (part === undefined) return OPTIMIZED_OUT;
    const count = Math.min(end, part.start + part.size) - done;
    const from = part.offset + done - part.start;
    const first = Math.floor(from / 8);
    const bytes = part.contents.read(first, Math.ceil((from + count) / 8) - first);
    if (typeof bytes === 'string') return bytes;
    copyBits({ bytes, from: from - first * 8 }, { bytes: out, from: done - offset * 8 }, count);
    done += count;
  }
  return out;
}

/** Little-endian: bit 0 of a byte is its lowest. */
function copyBits(source: { bytes: Uint8Array; from: number }, target: { bytes: Uint8Array; from: number }, count: number): void {
  for (let at = 0; at < count; at += 1) {
    const [from, to] = [source.from + at, target.from + at];
    const bit = (source.bytes[from >> 3]! >> (from & 7)) & 1;
    target.bytes[to >> 3]! |= bit << (to & 7);
  }
}

/** A register's bytes: 16 of a vector register, else the size of an address. */
export function registerContents(name: string, value: bigint, addressSize: number): Uint8Array {
  return bytesOf(value, /^(?:xmm|v|q)\d/.test(name) ? 16 : addressSize);
}
