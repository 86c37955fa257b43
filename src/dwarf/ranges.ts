// Ranges of code that is not in one piece: .debug_ranges (DWARF 3 and 4, section 2.17.3) and .debug_rnglists (DWARF 5, section 7.25).
// Addresses are offsets from the image's origin. Lists are appended to `out` as start, end, start, end, …

import type { Cursor } from '../bytes/cursor.ts';
import { FORM, RLE } from './constants.ts';
import { type Encoding, findIndexedAddress, readOffset, readSectionOffset, type UnitBases } from './forms.ts';
import { type AddressOrigin, dwarfErrors, malformed, readAddressOffset } from './section.ts';

/** A unit as far as range lists care. */
export interface RangeUnit extends UnitBases {
  readonly rangeListsBase: number | null;
}

/** No list is longer; the largest seen (a kernel's unit with a section per function) has some ten thousand. */
const MAX_RANGES = 1 << 20;
const ZERO: AddressOrigin = { high: 0, low: 0 };

/** The value of DW_AT_ranges as an offset into the unit's range section; null when the form makes no sense. */
export function readRangeListOffset(cursor: Cursor, form: number, unit: RangeUnit): number | null {
  const { encoding, sections, rangeListsBase } = unit;
  if (form !== FORM.rnglistx) return readSectionOffset(cursor, form, encoding);
  const index = cursor.uleb();
  if (rangeListsBase === null) return null;
  const entry = sections.get('debug_rnglists').cursor(rangeListsBase + index * encoding.offsetSize, encoding.offsetSize);
  return rangeListsBase + readOffset(entry, encoding);
}

/** Appends the list at `offset` to `out`. `base` is the unit's low_pc. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
export function decodeRangeList(unit: RangeUnit, offset: number, base: number | null, out: number[]): void {
  const before = out.length;
  const section = unit.sections.get(unit.encoding.version >= 5 ? 'debug_rnglists' : 'debug_ranges');
  const list = new RangeList(unit, base, out);
  dwarfErrors(`range list at offset 0x${offset.toString(16)} of ${section.name}`, () => {
    section.scan(offset, (cursor) => {
      out.length = before;
      list.restart(base);
      if (unit.encoding.version >= 5) list.decodeRnglist(cursor);
      else list.decodeRanges(cursor);
    });
  });
}

/** One list while it is decoded: the base address moves. */
class RangeList {
  private readonly unit: RangeUnit;
  private readonly encoding: Encoding;
  private readonly out: number[];
  private readonly zero: number;
  private base: number;
  private count = 0;

  constructor(unit: RangeUnit, base: number | null, out: number[]) {
    this.unit = unit;
    this.encoding = unit.encoding;
    this.out = out;
    const { high, low } = unit.sections.origin;
    this.zero = -high * 0x1_0000_0000 + (0 - low);
    this.base = base ?? this.zero;
  }

  restart(base: number | null): void {
    this.base = base ?? this.zero;
    this.count = 0;
  }

  decodeRanges(cursor: Cursor): void {
    const { addressSize } = this.encoding;
    const largest = 2 ** (addressSize * 8);
    while (true) {
      const at = cursor.offset;
      const first = readAddressOffset(cursor, addressSize, ZERO);
      const second = readAddressOffset(cursor, addressSize, ZERO);
      if (first === 0 && second === 0) return;
      cursor.seek(at);
      if (first === largest - 1 || first === largest) {
        cursor.skip(addressSize);
        this.base = this.address(cursor);
      } else {
        this.add(this.fromBase(cursor), this.fromBase(cursor));
      }
    }
  }

  decodeRnglist(cursor: Cursor): void {
    while (true) {
      const kind = cursor.u8();
      if (kind === RLE.end_of_list) return;
      this.decodeEntry(cursor, kind);
    }
  }

  private decodeEntry(cursor: Cursor, kind: number): void {
    switch (kind) {
      case RLE.base_addressx:
        this.base = this.indexed(cursor);
        return;
      case RLE.base_address:
        this.base = this.address(cursor);
        return;
      case RLE.startx_endx:
        this.add(this.indexed(cursor), this.indexed(cursor));
        return;
      case RLE.startx_length:
        this.addLength(this.indexed(cursor), cursor.uleb());
        return;
      case RLE.offset_pair:
        this.add(this.base + cursor.uleb(), this.base + cursor.uleb());
        return;
      case RLE.start_end:
        this.add(this.address(cursor), this.address(cursor));
        return;
      case RLE.start_length:
        this.addLength(this.address(cursor), cursor.uleb());
        return;
      default:
        throw malformed(
          '.debug_rnglists',
          `unknown range list entry ${kind} before offset 0x${(cursor.base + cursor.offset).toString(16)}`,
        );
    }
  }

  private address(cursor: Cursor): number {
    return readAddressOffset(cursor, this.encoding.addressSize, this.unit.sections.origin);
  }

  /** With a base of 0 entries are whole addresses, which only counted from the origin are exact numbers. */
  private fromBase(cursor: Cursor): number {
    if (this.base === this.zero) return this.address(cursor);
    return this.base + readAddressOffset(cursor, this.encoding.addressSize, ZERO);
  }

  private indexed(cursor: Cursor): number {
    return findIndexedAddress(cursor.uleb(), this.unit) ?? NaN;
  }

  private addLength(start: number, length: number): void {
    this.add(start, start + length);
  }

  private add(start: number, end: number): void {
    this.count += 1;
    if (this.count > MAX_RANGES) throw malformed('range list', `more than ${MAX_RANGES} ranges`);
    if (start < end) this.out.push(start, end);
  }
}
