// Locations that change from instruction to instruction: .debug_loc (DWARF 2 to 4, section 2.6.2; GNU's split form of it) and
// .debug_loclists (DWARF 5, sections 2.6.2 and 7.29). View pairs (DW_AT_GNU_locviews, DW_LLE_GNU_view_pair) are stepped over:
// they tell apart places between two instructions, and a stopped guest is at one.

import type { Cursor } from '../bytes/cursor.ts';
import { AT, FORM, LLE } from './constants.ts';
import { findIndexedAddress, readBlock, readOffset, readSectionOffset } from './forms.ts';
import { type AddressOrigin, type DebugSection, dwarfErrors, malformed, readAddressOffset } from './section.ts';
import { type Unit, visitAttributes } from './unit.ts';

/** The value of a location attribute: one expression for everywhere, or the offset of a list in the unit's list section. */
export type LocationAttribute =
  | { readonly kind: 'expression'; readonly expression: Uint8Array }
  | { readonly kind: 'list'; readonly offset: number };

/** No list is longer; the largest seen has some thousand entries. */
const MAX_ENTRIES = 1 << 18;
const ZERO: AddressOrigin = { high: 0, low: 0 };

/** Reads a location attribute (classes exprloc, block, loclist); null when its form is of none of them. */
export function readLocationAttribute(cursor: Cursor, form: number, unit: Unit): LocationAttribute | null {
  const { encoding } = unit;
  if (form === FORM.loclistx) return listAt(findIndexedList(cursor.uleb(), unit));
  if (form === FORM.sec_offset || ((form === FORM.data4 || form === FORM.data8) && encoding.version < 4)) {
    return listAt(readSectionOffset(cursor, form, encoding));
  }
  const expression = readBlock(cursor, form, encoding);
  return expression === null ? null : { kind: 'expression', expression };
}

function listAt(offset: number | null): LocationAttribute | null {
  return offset === null ? null : { kind: 'list', offset };
}

function findIndexedList(index: number, unit: Unit): number | null {
  const base = loclistsBase(unit);
  if (base === null) return null;
  const { offsetSize } = unit.encoding;
  const entry = unit.sections.get('debug_loclists').cursor(base + index * offsetSize, offsetSize);
  return base + readOffset(entry, unit.encoding);
}

const bases = new WeakMap<Unit, { readonly base: number | null }>();

/** DW_AT_loclists_base; a split unit names none: its file has one table, whose offsets start behind the header (7.29). */
function loclistsBase(unit: Unit): number | null {
  const known = bases.get(unit);
  if (known !== undefined) return known.base;
  let base: number | null = isSplit(unit.header.section) ? (unit.encoding.offsetSize === 8 ? 20 : 12) : null;
  unit.header.section.scan(unit.header.root, (cursor) => {
    const code = cursor.uleb();
    if (code === 0) return;
    visitAttributes(cursor, unit.abbrevs.get(code), unit.encoding, ({ name, form }) => {
      if (name === AT.loclists_base) base = readSectionOffset(cursor, form, unit.encoding);
    });
  });
  bases.set(unit, { base });
  return base;
}

function isSplit({ name }: DebugSection): boolean {
  return name.endsWith('.dwo');
}

/**
 * The expression of the list at `offset` that holds at `address` (an offset from the image's origin), or null: nowhere there.
 * `isEntry` says that `address` is the first instruction of its function: only there empty ranges mean something.
 * Throws DWARF_TRUNCATED, DWARF_MALFORMED.
 */
export function findInLocationList(unit: Unit, offset: number, address: number, isEntry = false): Uint8Array | null {
  const { version } = unit.encoding;
  const section = unit.sections.get(version >= 5 ? 'debug_loclists' : 'debug_loc');
  const split = version < 5 && isSplit(unit.header.section);
  return dwarfErrors(`location list at offset 0x${offset.toString(16)} of ${section.name}`, () =>
    section.scan(offset, (cursor) => {
      const list = new LocationList(unit, cursor, address, isEntry);
      return version >= 5 ? list.findInLoclists() : split ? list.findInSplit() : list.findInLoc();
    }),
  );
}

/** One list while it is searched: the base address moves. */
class LocationList {
  private readonly unit: Unit;
  private readonly cursor: Cursor;
  private readonly address: number;
  private readonly isEntry: boolean;
  private readonly zero: number;
  private base: number;
  private elsewhere: Uint8Array | null = null;

  constructor(unit: Unit, cursor: Cursor, address: number, isEntry: boolean) {
    this.unit = unit;
    this.cursor = cursor;
    this.address = address;
    this.isEntry = isEntry;
    const { high, low } = unit.sections.origin;
    this.zero = -high * 0x1_0000_0000 + (0 - low);
    this.base = unit.lowPc ?? this.zero;
  }

  findInLoc(): Uint8Array | null {
    const { cursor } = this;
    const { addressSize } = this.unit.encoding;
    const largest = 2 ** (addressSize * 8);
    for (let count = 0; count < MAX_ENTRIES; count += 1) {
      const at = cursor.offset;
      const first = readAddressOffset(cursor, addressSize, ZERO);
      const second = readAddressOffset(cursor, addressSize, ZERO);
      if (first === 0 && second === 0) return null;
      cursor.seek(at);
      if (first === largest - 1 || first === largest) {
        cursor.skip(addressSize);
        this.base = this.readAddress();
        continue;
      }
      const [start, end] = [this.readFromBase(), this.readFromBase()];
      const expression = cursor.take(cursor.u16());
      if (this.holds(start, end)) return expression;
    }
    throw tooLong();
  }

  /** GNU's entries of .debug_loc.dwo: addresses by index, lengths of four bytes. */
  findInSplit(): Uint8Array | null {
    const { cursor } = this;
    for (let count = 0; count < MAX_ENTRIES; count += 1) {
      const kind = cursor.u8();
      if (kind === LLE.end_of_list) return null;
      if (kind === LLE.base_addressx) {
        this.base = this.indexed();
        continue;
      }
      if (kind !== LLE.startx_endx && kind !== LLE.startx_length) throw unknownEntry(cursor, kind);
      const start = this.indexed();
      const end = kind === LLE.startx_endx ? this.indexed() : start + cursor.u32();
      const expression = cursor.take(cursor.u16());
      if (this.holds(start, end)) return expression;
    }
    throw tooLong();
  }

  findInLoclists(): Uint8Array | null {
    const { cursor } = this;
    for (let count = 0; count < MAX_ENTRIES; count += 1) {
      const kind = cursor.u8();
      if (kind === LLE.end_of_list) return this.elsewhere;
      if (kind === LLE.base_addressx) this.base = this.indexed();
      else if (kind === LLE.base_address) this.base = this.readAddress();
      else if (kind === LLE.GNU_view_pair) this.skipViews();
      else if (kind === LLE.default_location) this.elsewhere = this.readExpression();
      else {
        const [start, end] = this.readRange(kind);
        const expression = this.readExpression();
        if (this.holds(start, end)) return expression;
      }
    }
    throw tooLong();
  }

  private readRange(kind: number): [number, number] {
    const { cursor } = this;
    switch (kind) {
      case LLE.startx_endx:
        return [this.indexed(), this.indexed()];
      case LLE.startx_length:
        return lengthened(this.indexed(), cursor.uleb());
      case LLE.offset_pair:
        return [this.base + cursor.uleb(), this.base + cursor.uleb()];
      case LLE.start_end:
        return [this.readAddress(), this.readAddress()];
      case LLE.start_length:
        return lengthened(this.readAddress(), cursor.uleb());
      default:
        throw unknownEntry(cursor, kind);
    }
  }

  private skipViews(): void {
    this.cursor.uleb();
    this.cursor.uleb();
  }

  private readExpression(): Uint8Array {
    return this.cursor.take(this.cursor.uleb());
  }

  // gdb's rule (dwarf2_find_location_expression): an empty range at a function's entry is what holds before its first instruction.
  private holds(start: number, end: number): boolean {
    const { address } = this;
    return (start <= address && address < end) || (this.isEntry && start === end && start === address);
  }

  private readAddress(): number {
    return readAddressOffset(this.cursor, this.unit.encoding.addressSize, this.unit.sections.origin);
  }

  /** With a base of 0 entries are whole addresses, which only counted from the origin are exact numbers. */
  private readFromBase(): number {
    if (this.base === this.zero) return this.readAddress();
    return this.base + readAddressOffset(this.cursor, this.unit.encoding.addressSize, ZERO);
  }

  private indexed(): number {
    return findIndexedAddress(this.cursor.uleb(), this.unit) ?? NaN;
  }
}

function lengthened(start: number, length: number): [number, number] {
  return [start, start + length];
}

function unknownEntry(cursor: Cursor, kind: number): Error {
  const at = (cursor.base + cursor.offset).toString(16);
  return malformed('location list', `unknown entry ${kind} before offset 0x${at}`);
}

function tooLong(): Error {
  return malformed('location list', `more than ${MAX_ENTRIES} entries`);
}
