// The attributes of types, members and variables (DWARF 5 sections 5 and 7.5.4), read in one pass, and the two small kinds of
// expression in them: a static address and a constant offset. What is computed at run time gives null here.

import { Cursor } from '../bytes/cursor.ts';
import { AT, OP } from './constants.ts';
import {
  findIndexedAddress,
  type Reference,
  readBigConstant,
  readBlock,
  readConstant,
  readFlag,
  readReference,
  readString,
} from './forms.ts';
import { attributesOf, type Die } from './info.ts';
import { type Unit, visitAttributes } from './unit.ts';

/** The attributes that types, members and variables are made of. */
export interface TypeAttributes {
  name: string | null;
  type: Reference | null;
  specification: Reference | null;
  abstractOrigin: Reference | null;
  signature: bigint | null;
  byteSize: number | null;
  encoding: number | null;
  declaration: boolean;
  location: Uint8Array | null;
  memberLocation: number | null;
  /** The place of a member where it is computed: a virtual base's. */
  memberExpression: Uint8Array | null;
  bitSize: number | null;
  bitOffset: number | null;
  dataBitOffset: number | null;
  containingType: Reference | null;
  virtual: boolean;
  scoped: boolean;
  artificial: boolean;
  external: boolean;
}

/** The attributes that types, members and variables are made of, in one pass. */
export function readType(die: Die): TypeAttributes {
  const { unit, entry } = die;
  const { encoding } = unit;
  const cursor = attributesOf(die);
  const out: TypeAttributes = {
    ...{
      name: null,
      type: null,
      specification: null,
      abstractOrigin: null,
      signature: null,
      byteSize: null,
      encoding: null,
      declaration: false,
    },
    ...{ location: null, memberLocation: null, memberExpression: null, bitSize: null, bitOffset: null, dataBitOffset: null },
    ...{ containingType: null, virtual: false, scoped: false, artificial: false, external: false },
  };
  visitAttributes(cursor, entry.abbrev, encoding, ({ name, form, implicitConst }) => {
    const constant = (): number | null => finite(readConstant(cursor, form, implicitConst, encoding));
    if (name === AT.name) out.name = readString(cursor, form, unit);
    else if (name === AT.type) out.type = readReference(cursor, form, encoding);
    else if (name === AT.specification) out.specification = readReference(cursor, form, encoding);
    else if (name === AT.abstract_origin) out.abstractOrigin = readReference(cursor, form, encoding);
    else if (name === AT.signature) out.signature = signatureOf(readReference(cursor, form, encoding));
    else if (name === AT.byte_size) out.byteSize = constant();
    else if (name === AT.encoding) out.encoding = constant();
    else if (name === AT.declaration) out.declaration = readFlag(cursor, form, encoding);
    else if (name === AT.location) out.location = readBlock(cursor, form, encoding);
    else if (name === AT.data_member_location) readMemberLocation(cursor, { form, implicitConst }, unit, out);
    else if (name === AT.bit_size) out.bitSize = constant();
    else if (name === AT.bit_offset) out.bitOffset = finite(signedByte(cursor, form, implicitConst, unit));
    else if (name === AT.data_bit_offset) out.dataBitOffset = constant();
    else if (name === AT.containing_type) out.containingType = readReference(cursor, form, encoding);
    else if (name === AT.virtuality) out.virtual = (constant() ?? 0) > 0;
    else if (name === AT.enum_class) out.scoped = readFlag(cursor, form, encoding);
    else if (name === AT.artificial) out.artificial = readFlag(cursor, form, encoding);
    else if (name === AT.external) out.external = readFlag(cursor, form, encoding);
  });
  return out;
}

function signatureOf(reference: Reference | null): bigint | null {
  return reference?.kind === 'signature' ? reference.signature : null;
}

/** `value` unless it is beyond 2^53. */
export function finite(value: number | null): number | null {
  return value !== null && Number.isFinite(value) ? value : null;
}

/** DW_AT_bit_offset may be negative (a bit-field that runs over its storage), which old gcc wrote as data1 to data8. */
function signedByte(cursor: Cursor, form: number, implicitConst: number, unit: Unit): number | null {
  const value = readBigConstant(cursor, { form, implicitConst }, unit.encoding, true);
  return value === null ? null : Number(value);
}

/** A constant, or (DWARF 2 and 3) the expression `DW_OP_plus_uconst n`; anything else is computed, as virtual bases are. */
function readMemberLocation(
  cursor: Cursor,
  spec: { form: number; implicitConst: number },
  unit: Unit,
  out: Pick<TypeAttributes, 'memberLocation' | 'memberExpression'>,
): void {
  const start = cursor.offset;
  const constant = readConstant(cursor, spec.form, spec.implicitConst, unit.encoding);
  if (constant !== null) {
    out.memberLocation = finite(constant);
    return;
  }
  cursor.seek(start);
  const block = readBlock(cursor, spec.form, unit.encoding);
  if (block === null || block.length === 0) return;
  const expression = new Cursor(block, { littleEndian: cursor.littleEndian });
  const offset = expression.u8() === OP.plus_uconst ? expression.uleb() : null;
  if (offset !== null && expression.remaining === 0) out.memberLocation = finite(offset);
  else out.memberExpression = block;
}

/** The link address a static variable's location names: DW_OP_addr, DW_OP_addrx, and an addend behind them. */
export function addressIn(location: Uint8Array, unit: Unit): bigint | null {
  const cursor = new Cursor(location, { littleEndian: unit.header.section.littleEndian });
  if (cursor.remaining === 0) return null;
  const address = readOperandAddress(cursor, cursor.u8(), unit);
  if (address === null || cursor.remaining === 0) return address;
  if (cursor.u8() !== OP.plus_uconst) return null;
  const sum = address + cursor.ulebBig();
  return cursor.remaining === 0 ? sum : null;
}

function readOperandAddress(cursor: Cursor, operation: number, unit: Unit): bigint | null {
  if (operation === OP.addr) {
    const { addressSize } = unit.encoding;
    if (addressSize === 8) return cursor.u64();
    return addressSize === 4 ? BigInt(cursor.u32()) : null;
  }
  if (operation !== OP.addrx && operation !== OP.GNU_addr_index) return null;
  const offset = findIndexedAddress(cursor.uleb(), unit);
  return offset === null || !Number.isSafeInteger(offset) ? null : unit.sections.base + BigInt(offset);
}

/**
 * Where a bit-field lies: in storage of its type's size where that holds it whole, else counted from its first byte. `offset`
 * counts from the least significant bit of the storage, read in the file's byte order.
 */
export function bitField(
  type: TypeAttributes,
  typeSize: () => number,
  littleEndian = true,
): { storage: number; offset: number; size: number } | null {
  if (type.bitSize === null) return null;
  const size = type.byteSize ?? typeSize();
  const first = littleEndian ? firstBit(type, size) : firstBitFromTop(type);
  const storage = size > 0 ? Math.floor(first / (size * 8)) * size : 0;
  const into = first - storage * 8;
  const fits = size > 0 && into + type.bitSize <= size * 8;
  if (!littleEndian)
    return { storage: fits ? storage : Math.floor(first / 8), offset: fromTop(type, first, fits ? size : 0), size: type.bitSize };
  if (fits) return { storage, offset: into, size: type.bitSize };
  return { storage: Math.floor(first / 8), offset: ((first % 8) + 8) % 8, size: type.bitSize };
}

/** Bits from the start of the structure to the field's least significant one. DW_AT_bit_offset counts from the storage's top. */
function firstBit({ memberLocation, bitOffset, bitSize, dataBitOffset }: TypeAttributes, size: number): number {
  const start = (memberLocation ?? 0) * 8;
  if (dataBitOffset !== null) return start + dataBitOffset;
  return bitOffset === null ? start : start + size * 8 - bitOffset - (bitSize ?? 0);
}

/** Big endian: both attributes count from the most significant bit of the first byte. */
function firstBitFromTop({ memberLocation, bitOffset, dataBitOffset }: TypeAttributes): number {
  return (memberLocation ?? 0) * 8 + (dataBitOffset ?? bitOffset ?? 0);
}

/** From the top to the least significant bit, in storage of `size` bytes, or of as many as the field touches. */
function fromTop({ bitSize }: TypeAttributes, first: number, size: number): number {
  const into = size > 0 ? first % (size * 8) : first % 8;
  const bits = size > 0 ? size * 8 : Math.ceil((into + (bitSize ?? 0)) / 8) * 8;
  return bits - into - (bitSize ?? 0);
}
