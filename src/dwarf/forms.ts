// Attribute forms (DWARF 5 sections 7.5.4 to 7.5.6): sizes, and one reader per attribute class. Each reader leaves the cursor
// behind the value and gives null when the form is not of its class, so that odd producers cost an answer, never a parse.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { FORM } from './constants.ts';
import { type DebugSections, readAddressOffset } from './section.ts';

/** How a unit writes its entries. */
export interface Encoding {
  readonly version: number;
  readonly addressSize: number;
  /** 4 in 32-bit DWARF, 8 in 64-bit DWARF. */
  readonly offsetSize: 4 | 8;
}

/** What indexed forms (strx, addrx, rnglistx) count from: the unit's own bases, null where it names none. */
export interface UnitBases {
  readonly sections: DebugSections;
  readonly encoding: Encoding;
  readonly stringOffsetsBase: number | null;
  readonly addressBase: number | null;
}

/** A reference to another entry. `sup`: at that offset of .debug_info in the supplementary file (dwz). */
export type Reference =
  | { readonly kind: 'unit'; readonly offset: number }
  | { readonly kind: 'info'; readonly offset: number }
  | { readonly kind: 'signature'; readonly signature: bigint }
  | { readonly kind: 'sup'; readonly offset: number };

/** Bytes of a form that never vary, else −1. */
export function fixedFormSize(form: number, encoding: Encoding): number {
  switch (form) {
    case FORM.flag_present:
    case FORM.implicit_const:
      return 0;
    case FORM.data1:
    case FORM.ref1:
    case FORM.flag:
    case FORM.strx1:
    case FORM.addrx1:
      return 1;
    case FORM.data2:
    case FORM.ref2:
    case FORM.strx2:
    case FORM.addrx2:
      return 2;
    case FORM.strx3:
    case FORM.addrx3:
      return 3;
    case FORM.data4:
    case FORM.ref4:
    case FORM.ref_sup4:
    case FORM.strx4:
    case FORM.addrx4:
      return 4;
    case FORM.data8:
    case FORM.ref8:
    case FORM.ref_sup8:
    case FORM.ref_sig8:
      return 8;
    case FORM.data16:
      return 16;
    case FORM.addr:
      return encoding.addressSize;
    case FORM.ref_addr:
      // DWARF 2 gave a section reference the size of an address.
      return encoding.version <= 2 ? encoding.addressSize : encoding.offsetSize;
    case FORM.strp:
    case FORM.line_strp:
    case FORM.sec_offset:
    case FORM.strp_sup:
    case FORM.GNU_ref_alt:
    case FORM.GNU_strp_alt:
      return encoding.offsetSize;
    default:
      return -1;
  }
}

/** Moves past a value. Throws DWARF_UNKNOWN_FORM: what follows an unknown form cannot be found. */
export function skipForm(cursor: Cursor, form: number, encoding: Encoding): void {
  const size = fixedFormSize(form, encoding);
  if (size >= 0) {
    cursor.skip(size);
    return;
  }
  switch (form) {
    case FORM.udata:
    case FORM.sdata:
    case FORM.ref_udata:
    case FORM.strx:
    case FORM.addrx:
    case FORM.loclistx:
    case FORM.rnglistx:
    case FORM.GNU_addr_index:
    case FORM.GNU_str_index:
      cursor.skipLeb();
      return;
    case FORM.LLVM_addrx_offset:
      cursor.uleb();
      cursor.skip(4);
      return;
    case FORM.string:
      while (cursor.u8() !== 0);
      return;
    default:
      cursor.skip(blockLength(cursor, form));
  }
}

function blockLength(cursor: Cursor, form: number): number {
  if (form === FORM.exprloc || form === FORM.block) return cursor.uleb();
  if (form === FORM.block1) return cursor.u8();
  if (form === FORM.block2) return cursor.u16();
  if (form === FORM.block4) return cursor.u32();
  throw new UnidbgError(
    'DWARF_UNKNOWN_FORM',
    `unknown attribute form 0x${form.toString(16)} before offset 0x${(cursor.base + cursor.offset).toString(16)}`,
    {
      facts: { form, offset: cursor.base + cursor.offset },
    },
  );
}

/** Class constant: unsigned for data1…8 and udata, signed for sdata and implicit_const; Infinity beyond 2^53. */
export function readConstant(cursor: Cursor, form: number, implicitConst: number, encoding: Encoding): number | null {
  switch (form) {
    case FORM.data1:
      return cursor.u8();
    case FORM.data2:
      return cursor.u16();
    case FORM.data4:
      return cursor.u32();
    case FORM.data8:
      return cursor.u64Number();
    case FORM.udata:
      return cursor.uleb();
    case FORM.sdata:
      return cursor.sleb();
    case FORM.implicit_const:
      return implicitConst;
    default:
      skipForm(cursor, form, encoding);
      return null;
  }
}

/** Class constant, all 64 bits, data1…8 sign-extended when `signed`. */
export function readBigConstant(
  cursor: Cursor,
  { form, implicitConst }: { form: number; implicitConst: number },
  encoding: Encoding,
  signed: boolean,
): bigint | null {
  if (form === FORM.sdata) return cursor.slebBig();
  if (form === FORM.udata) return cursor.ulebBig();
  if (form === FORM.data8) return signed ? cursor.i64() : cursor.u64();
  const value = readConstant(cursor, form, implicitConst, encoding);
  if (value === null || !Number.isFinite(value)) return null;
  const bits = fixedFormSize(form, encoding) * 8;
  return signed && bits > 0 ? BigInt.asIntN(bits, BigInt(value)) : BigInt(value);
}

/** Class flag. */
export function readFlag(cursor: Cursor, form: number, encoding: Encoding): boolean {
  if (form === FORM.flag) return cursor.u8() !== 0;
  skipForm(cursor, form, encoding);
  return form === FORM.flag_present;
}

/** Classes lineptr, rnglist, stroffsetsptr, …: an offset into another section. DWARF 2 and 3 wrote them as data4 or data8. */
export function readSectionOffset(cursor: Cursor, form: number, encoding: Encoding): number | null {
  if (form === FORM.sec_offset) return encoding.offsetSize === 8 ? cursor.u64Number() : cursor.u32();
  if (form === FORM.data4) return cursor.u32();
  if (form === FORM.data8) return cursor.u64Number();
  skipForm(cursor, form, encoding);
  return null;
}

/** Class reference. */
export function readReference(cursor: Cursor, form: number, encoding: Encoding): Reference | null {
  switch (form) {
    case FORM.ref1:
      return { kind: 'unit', offset: cursor.u8() };
    case FORM.ref2:
      return { kind: 'unit', offset: cursor.u16() };
    case FORM.ref4:
      return { kind: 'unit', offset: cursor.u32() };
    case FORM.ref8:
      return { kind: 'unit', offset: cursor.u64Number() };
    case FORM.ref_udata:
      return { kind: 'unit', offset: cursor.uleb() };
    case FORM.ref_addr:
      return { kind: 'info', offset: fixedFormSize(form, encoding) === 8 ? cursor.u64Number() : cursor.u32() };
    case FORM.ref_sig8:
      return { kind: 'signature', signature: cursor.u64() };
    case FORM.ref_sup4:
      return { kind: 'sup', offset: cursor.u32() };
    case FORM.ref_sup8:
      return { kind: 'sup', offset: cursor.u64Number() };
    case FORM.GNU_ref_alt:
      return { kind: 'sup', offset: readOffset(cursor, encoding) };
    default:
      skipForm(cursor, form, encoding);
      return null;
  }
}

/** Class block or exprloc: its bytes, not copied. */
export function readBlock(cursor: Cursor, form: number, encoding: Encoding): Uint8Array | null {
  switch (form) {
    case FORM.exprloc:
    case FORM.block:
    case FORM.block1:
    case FORM.block2:
    case FORM.block4:
      return cursor.take(blockLength(cursor, form));
    default:
      skipForm(cursor, form, encoding);
      return null;
  }
}

/** Class string. Null also for a string of a supplementary file that was not found. */
export function readString(cursor: Cursor, form: number, unit: UnitBases): string | null {
  const { encoding, sections } = unit;
  switch (form) {
    case FORM.string:
      return cursor.cString();
    case FORM.strp:
      return sections.get('debug_str').string(readOffset(cursor, encoding));
    case FORM.line_strp:
      return sections.get('debug_line_str').string(readOffset(cursor, encoding));
    case FORM.strp_sup:
    case FORM.GNU_strp_alt: {
      const offset = readOffset(cursor, encoding);
      return sections.supplementary?.get('debug_str').string(offset) ?? null;
    }
    default: {
      const index = readStringIndex(cursor, form);
      if (index !== null) return findIndexedString(index, unit);
      skipForm(cursor, form, encoding);
      return null;
    }
  }
}

/** An offset of the unit's DWARF format. */
export function readOffset(cursor: Cursor, encoding: { readonly offsetSize: 4 | 8 }): number {
  return encoding.offsetSize === 8 ? cursor.u64Number() : cursor.u32();
}

function readStringIndex(cursor: Cursor, form: number): number | null {
  if (form === FORM.strx || form === FORM.GNU_str_index) return cursor.uleb();
  if (form === FORM.strx1) return cursor.u8();
  if (form === FORM.strx2) return cursor.u16();
  if (form === FORM.strx3) return readU24(cursor);
  if (form === FORM.strx4) return cursor.u32();
  return null;
}

function findIndexedString(index: number, unit: UnitBases): string | null {
  const offset = findIndexedStringOffset(index, unit);
  return offset === null ? null : unit.sections.get('debug_str').string(offset);
}

function findIndexedStringOffset(index: number, { sections, encoding, stringOffsetsBase }: UnitBases): number | null {
  if (stringOffsetsBase === null) return null;
  const at = stringOffsetsBase + index * encoding.offsetSize;
  return readOffset(sections.get('debug_str_offsets').cursor(at, encoding.offsetSize), encoding);
}

/** Class string, as an offset of the unit's .debug_str; null, and the cursor not moved, when it is not there. */
export function findStringOffset(cursor: Cursor, form: number, unit: UnitBases): number | null {
  if (form === FORM.strp) return readOffset(cursor, unit.encoding);
  const start = cursor.offset;
  const index = readStringIndex(cursor, form);
  const offset = index === null ? null : findIndexedStringOffset(index, unit);
  if (offset === null) cursor.seek(start);
  return offset;
}

/** Class address, as an offset from the image's origin (see readAddressOffset). */
export function readAddress(cursor: Cursor, form: number, unit: UnitBases): number | null {
  const { encoding, sections } = unit;
  if (form === FORM.addr) return readAddressOffset(cursor, encoding.addressSize, sections.origin);
  const index = readAddressIndex(cursor, form);
  if (index === null) {
    skipForm(cursor, form, encoding);
    return null;
  }
  const addend = form === FORM.LLVM_addrx_offset ? cursor.u32() : 0;
  const address = findIndexedAddress(index, unit);
  return address === null ? null : address + addend;
}

function readAddressIndex(cursor: Cursor, form: number): number | null {
  if (form === FORM.addrx || form === FORM.GNU_addr_index || form === FORM.LLVM_addrx_offset) return cursor.uleb();
  if (form === FORM.addrx1) return cursor.u8();
  if (form === FORM.addrx2) return cursor.u16();
  if (form === FORM.addrx3) return readU24(cursor);
  if (form === FORM.addrx4) return cursor.u32();
  return null;
}

/** Entry `index` of the unit's part of .debug_addr, as an offset from the image's origin; null when the unit names no part. */
export function findIndexedAddress(index: number, { sections, encoding, addressBase }: UnitBases): number | null {
  if (addressBase === null) return null;
  const at = addressBase + index * encoding.addressSize;
  return readAddressOffset(sections.get('debug_addr').cursor(at, encoding.addressSize), encoding.addressSize, sections.origin);
}

function readU24(cursor: Cursor): number {
  const [first, second, third] = [cursor.u8(), cursor.u8(), cursor.u8()];
  return cursor.littleEndian ? first + second * 0x100 + third * 0x10000 : third + second * 0x100 + first * 0x10000;
}
