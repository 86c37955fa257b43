// Unit headers (DWARF 5 section 7.5.1, and 7.5.1 of versions 2 to 4).

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { UT } from './constants.ts';
import { type Encoding, readOffset } from './forms.ts';
import { type DebugSection, dwarfErrors, malformed } from './section.ts';

/** A unit's header. `offset` and `end` bound the unit in its section; `root` is where its first entry starts. */
export interface UnitHeader {
  readonly section: DebugSection;
  readonly offset: number;
  readonly end: number;
  readonly root: number;
  readonly encoding: Encoding;
  readonly unitType: number;
  readonly abbrevOffset: number;
  /** Of type units: what DW_FORM_ref_sig8 names, and where in the unit the type is. */
  readonly signature: bigint | null;
  readonly typeOffset: number;
  /** Of skeleton units and the split units they stand for, from version 5 on: what both have in common. */
  readonly splitId: bigint | null;
}

/** The largest header: DWARF 5 type unit in 64-bit DWARF. */
const MAX_HEADER = 40;

/** Decodes the unit header at `offset` of .debug_info or .debug_types. Throws DWARF_TRUNCATED, DWARF_MALFORMED, DWARF_UNSUPPORTED. */
export function decodeUnitHeader(section: DebugSection, offset: number): UnitHeader {
  const what = `unit at offset 0x${offset.toString(16)} of ${section.name}`;
  return dwarfErrors(what, () => {
    const cursor = section.cursor(offset, Math.min(MAX_HEADER, section.size - offset));
    const { length, offsetSize } = readInitialLength(cursor, () => what);
    const end = offset + cursor.offset + length;
    if (end > section.size) throw truncatedUnit(what, end, section);
    const version = cursor.u16();
    if (version < 2 || version > 5) {
      throw new UnidbgError('DWARF_UNSUPPORTED', `${what}: DWARF version ${version} (2 to 5 are read)`, {
        facts: { version, offset },
      });
    }
    const unitType = version >= 5 ? cursor.u8() : section.holdsTypes ? UT.type : UT.compile;
    const early = version >= 5 ? cursor.u8() : 0;
    const abbrevOffset = readOffset(cursor, { offsetSize });
    const addressSize = version >= 5 ? early : cursor.u8();
    if (![1, 2, 4, 8].includes(addressSize)) throw malformed(what, `addresses of ${addressSize} bytes`, { offset });
    const isType = unitType === UT.type || unitType === UT.split_type;
    const isSplit = unitType === UT.skeleton || unitType === UT.split_compile;
    const id = isType || isSplit ? cursor.u64() : null;
    const typeOffset = isType ? readOffset(cursor, { offsetSize }) : 0;
    const root = offset + cursor.offset;
    if (root > end) throw malformed(what, 'its header is longer than the unit', { offset });
    const encoding: Encoding = { version, addressSize, offsetSize };
    return {
      ...{ section, offset, end, root, encoding, unitType, abbrevOffset, typeOffset },
      ...{ signature: isType ? id : null, splitId: isSplit ? id : null },
    };
  });
}

/** The unit_length field: 12 bytes starting with 0xffffffff in 64-bit DWARF. */
export function readInitialLength(cursor: Cursor, what: () => string): { length: number; offsetSize: 4 | 8 } {
  const short = cursor.u32();
  if (short < 0xffff_fff0) return { length: short, offsetSize: 4 };
  if (short === 0xffff_ffff) return { length: cursor.u64Number(), offsetSize: 8 };
  throw malformed(what(), `reserved unit length 0x${short.toString(16)}`);
}

function truncatedUnit(what: string, end: number, section: DebugSection): UnidbgError {
  return new UnidbgError('DWARF_TRUNCATED', `${what} ends at 0x${end.toString(16)}, the section has ${section.size} bytes`, {
    facts: { section: section.name, end, size: section.size },
  });
}
