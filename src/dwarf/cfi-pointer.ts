// Encoded pointers of .eh_frame: LSB Core 10.5.1 (DWARF extensions, DW_EH_PE_*). Addresses come out as numbers:
// offsets from the image's base, so that the index can be typed arrays; only 8-byte absolute ones are read as bigint.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';

/** Everything that an encoded pointer may be relative to. Addresses are link addresses. */
export interface PointerBases {
  /** The image's base: results count from here. */
  readonly base: bigint;
  /** 4 or 8. */
  readonly addressSize: number;
  /** Where the section lies that is being read. */
  readonly sectionAddress: bigint;
  /** What textrel and datarel count from; null where the image has no such thing. */
  readonly textAddress: bigint | null;
  readonly dataAddress: bigint | null;
}

/** "There is no pointer here." */
export const DW_EH_PE_OMIT = 0xff;
/** A plain address: what .debug_frame uses throughout. */
export const DW_EH_PE_ABSPTR = 0x00;

const INDIRECT = 0x80;
const ALIGNED = 0x50;

/** A CFI_MALFORMED error that names the offset in its section. */
export function malformedCfi(message: string, offset: number): UnidbgError {
  return new UnidbgError('CFI_MALFORMED', `call frame information at offset 0x${offset.toString(16)}: ${message}`, {
    facts: { offset },
  });
}

/** Reads one encoded address as an offset from `bases.base`. The cursor's `base + offset` must be offsets into the section. */
export function readPointer(cursor: Cursor, encoding: number, bases: PointerBases, functionStart = 0): number {
  const at = cursor.base + cursor.offset;
  if ((encoding & INDIRECT) !== 0) throw malformedCfi('an indirect code address, which only memory could resolve', at);
  if (encoding === ALIGNED) return alignedPointer(cursor, bases);
  const application = encoding & 0x70;
  if (application === 0) return absolute(readInteger(cursor, encoding & 0x0f, bases.addressSize), bases, at);
  const origin = originOf(application, at, bases, functionStart);
  const distance = Number(signedDistance(readInteger(cursor, encoding & 0x0f, bases.addressSize)));
  return checked(origin + distance, bases, at);
}

/** Reads the second half of a pair (a range's length): the same format, relative to nothing. */
export function readLength(cursor: Cursor, encoding: number, addressSize: number): number {
  const at = cursor.base + cursor.offset;
  const format = encoding === ALIGNED ? 0 : encoding & 0x0f;
  const value = Number(readInteger(cursor, format === 0x09 ? format : format & 0x07, addressSize));
  if (!Number.isSafeInteger(value) || value < 0) throw malformedCfi(`an address range of ${value} bytes`, at);
  return value;
}

/** Moves past one encoded pointer whose value nobody needs (personality routines may be indirect). */
export function skipPointer(cursor: Cursor, encoding: number, bases: PointerBases): void {
  if (encoding === ALIGNED) alignedPointer(cursor, bases);
  else readInteger(cursor, encoding & 0x0f, bases.addressSize);
}

function readInteger(cursor: Cursor, format: number, addressSize: number): number | bigint {
  switch (format) {
    case 0x00:
      return addressSize === 4 ? cursor.u32() : cursor.u64();
    case 0x01:
      return cursor.uleb();
    case 0x02:
      return cursor.u16();
    case 0x03:
      return cursor.u32();
    case 0x04:
      return cursor.u64();
    case 0x08:
      return addressSize === 4 ? cursor.i32() : cursor.i64();
    case 0x09:
      return cursor.sleb();
    case 0x0a:
      return cursor.i16();
    case 0x0b:
      return cursor.i32();
    case 0x0c:
      return cursor.i64();
    default:
      throw malformedCfi(`unknown pointer format 0x${format.toString(16)}`, cursor.base + cursor.offset);
  }
}

/** A distance of 8 bytes is negative when its top bit is set, whatever the format calls it. */
function signedDistance(value: number | bigint): number | bigint {
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) : value;
}

function absolute(value: number | bigint, bases: PointerBases, at: number): number {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw malformedCfi('an address beyond 64 bits', at);
  return checked(Number(BigInt.asIntN(64, BigInt(value) - bases.base)), bases, at);
}

function alignedPointer(cursor: Cursor, bases: PointerBases): number {
  const address = bases.sectionAddress + BigInt(cursor.base + cursor.offset);
  cursor.skip(Number(-address & BigInt(bases.addressSize - 1)));
  const at = cursor.base + cursor.offset;
  return absolute(readInteger(cursor, 0, bases.addressSize), bases, at);
}

function originOf(application: number, at: number, bases: PointerBases, functionStart: number): number {
  const toOffset = (address: bigint): number => Number(BigInt.asIntN(64, address - bases.base));
  switch (application) {
    case 0x10:
      return toOffset(bases.sectionAddress) + at;
    case 0x20:
      if (bases.textAddress !== null) return toOffset(bases.textAddress);
      break;
    case 0x30:
      if (bases.dataAddress !== null) return toOffset(bases.dataAddress);
      break;
    case 0x40:
      return functionStart;
    default:
      break;
  }
  throw malformedCfi(`a pointer relative to something this image does not have (encoding 0x${application.toString(16)})`, at);
}

function checked(offset: number, bases: PointerBases, at: number): number {
  if (!Number.isSafeInteger(offset)) throw malformedCfi('an address that is nowhere near the image', at);
  return bases.addressSize === 4 ? wrap32(offset) : offset;
}

/** Addresses of 32-bit code wrap at 4 GiB. */
function wrap32(offset: number): number {
  return ((offset % 0x1_0000_0000) + 0x1_0000_0000) % 0x1_0000_0000;
}
