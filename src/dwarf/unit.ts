// Units (DWARF 5 section 7.5.1, and 7.5.1 of versions 2 to 4): their headers, their root entry, and walking their entries.

import { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import type { Abbrev, AbbrevTable, AttributeSpec } from './abbrev.ts';
import { AT, FORM, UT } from './constants.ts';
import {
  type Encoding,
  readAddress,
  readConstant,
  readOffset,
  readReference,
  readSectionOffset,
  readString,
  skipForm,
  type UnitBases,
} from './forms.ts';
import { decodeRangeList, readRangeListOffset } from './ranges.ts';
import { type DebugSection, type DebugSections, dwarfErrors, malformed } from './section.ts';

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
    const unitType = version >= 5 ? cursor.u8() : section.name === '.debug_types' ? UT.type : UT.compile;
    const early = version >= 5 ? cursor.u8() : 0;
    const abbrevOffset = readOffset(cursor, { offsetSize });
    const addressSize = version >= 5 ? early : cursor.u8();
    if (![1, 2, 4, 8].includes(addressSize)) throw malformed(what, `addresses of ${addressSize} bytes`, { offset });
    const isType = unitType === UT.type || unitType === UT.split_type;
    const signature = isType || unitType === UT.skeleton || unitType === UT.split_compile ? cursor.u64() : null;
    const typeOffset = isType ? readOffset(cursor, { offsetSize }) : 0;
    const root = offset + cursor.offset;
    if (root > end) throw malformed(what, 'its header is longer than the unit', { offset });
    const encoding: Encoding = { version, addressSize, offsetSize };
    return { section, offset, end, root, encoding, unitType, abbrevOffset, signature: isType ? signature : null, typeOffset };
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

/** What a unit's root entry says. Addresses are offsets from the image's origin. */
export interface RootAttributes {
  readonly tag: number;
  readonly name: string | null;
  readonly directory: string | null;
  readonly language: number | null;
  readonly lineOffset: number | null;
  readonly lowPc: number | null;
  readonly highPc: number | null;
  readonly rangesOffset: number | null;
}

/** An entry: its place, its abbreviation, and where its attributes start. Offsets are section offsets. */
export interface Entry {
  readonly offset: number;
  readonly abbrev: Abbrev;
  readonly attributes: number;
}

/** One unit: `root` is read at once and cheaply, its other entries when asked for. */
export class Unit implements UnitBases {
  readonly header: UnitHeader;
  readonly encoding: Encoding;
  readonly sections: DebugSections;
  readonly abbrevs: AbbrevTable;
  readonly stringOffsetsBase: number | null;
  readonly addressBase: number | null;
  readonly rangeListsBase: number | null;
  readonly root: RootAttributes;

  constructor(header: UnitHeader, sections: DebugSections, abbrevs: AbbrevTable) {
    this.header = header;
    this.encoding = header.encoding;
    this.sections = sections;
    this.abbrevs = abbrevs;
    const scan = <T>(decode: (cursor: Cursor) => T): T =>
      dwarfErrors(this.describe(), () => header.section.scan(header.root, decode));
    const bases = scan((cursor) => this.readBases(cursor));
    this.stringOffsetsBase = bases.stringOffsets;
    this.addressBase = bases.address;
    this.rangeListsBase = bases.rangeLists;
    this.root = scan((cursor) => this.readRoot(cursor));
  }

  /** `unit at offset 0x… of .debug_info`. */
  describe(): string {
    return `unit at offset 0x${this.header.offset.toString(16)} of ${this.header.section.name}`;
  }

  /** A cursor of its own over the unit's bytes; its offset 0 is the unit's header. */
  cursor(): Cursor {
    const { section, offset, end } = this.header;
    return new Cursor(section.body(offset, end - offset), { littleEndian: section.littleEndian, base: offset });
  }

  /** Runs `decode` on the entry at section offset `offset`, behind its code; gives null for a null entry. */
  scanEntry<T>(offset: number, decode: (cursor: Cursor, abbrev: Abbrev) => T): T | null {
    return this.header.section.scan(offset, (cursor) => {
      const code = cursor.uleb();
      return code === 0 ? null : decode(cursor, this.abbrevs.get(code));
    });
  }

  /** The entry at section offset `offset`, or null for the null entry that ends a list of children. */
  entryAt(offset: number, cursor: Cursor = this.cursor()): Entry | null {
    cursor.seek(offset - this.header.offset);
    const code = cursor.uleb();
    if (code === 0) return null;
    return { offset, abbrev: this.abbrevs.get(code), attributes: this.header.offset + cursor.offset };
  }

  private readBases(cursor: Cursor): { stringOffsets: number | null; address: number | null; rangeLists: number | null } {
    const bases = { stringOffsets: null as number | null, address: null as number | null, rangeLists: null as number | null };
    if (this.encoding.version < 4) return bases;
    this.visitRoot(cursor, ({ name, form }) => {
      if (name === AT.str_offsets_base) bases.stringOffsets = readSectionOffset(cursor, form, this.encoding);
      else if (name === AT.addr_base || name === AT.GNU_addr_base) bases.address = readSectionOffset(cursor, form, this.encoding);
      else if (name === AT.rnglists_base) bases.rangeLists = readSectionOffset(cursor, form, this.encoding);
    });
    return bases;
  }

  private readRoot(cursor: Cursor): RootAttributes {
    const root = { name: null, directory: null, language: null, lineOffset: null, rangesOffset: null } as {
      -readonly [K in keyof RootAttributes]: RootAttributes[K];
    };
    const pc = newPcRange();
    const { encoding } = this;
    root.tag = this.visitRoot(cursor, (spec) => {
      const { name, form, implicitConst } = spec;
      if (name === AT.name) root.name = readString(cursor, form, this);
      else if (name === AT.comp_dir) root.directory = readString(cursor, form, this);
      else if (name === AT.language) root.language = readConstant(cursor, form, implicitConst, encoding);
      else if (name === AT.stmt_list) root.lineOffset = readSectionOffset(cursor, form, encoding);
      else readPcAttribute(cursor, spec, this, pc);
    });
    return { ...root, lowPc: pc.low, highPc: highPcOf(pc), rangesOffset: pc.rangesOffset };
  }

  /** Visits the root's attributes and gives its tag. An empty unit (nothing but a null entry) has tag 0. */
  private visitRoot(cursor: Cursor, visit: (spec: AttributeSpec) => void): number {
    const code = cursor.uleb();
    if (code === 0) return 0;
    const abbrev = this.abbrevs.get(code);
    visitAttributes(cursor, abbrev, this.encoding, visit);
    return abbrev.tag;
  }
}

/** Visits an entry's attributes in order; the cursor stands at the first. What `visit` does not read is skipped. */
export function visitAttributes(cursor: Cursor, abbrev: Abbrev, encoding: Encoding, visit: (spec: AttributeSpec) => void): void {
  for (const spec of abbrev.attributes) {
    const actual = spec.form === FORM.indirect ? indirectSpec(cursor, spec) : spec;
    const start = cursor.offset;
    visit(actual);
    if (cursor.offset === start) skipForm(cursor, actual.form, encoding);
  }
}

/** Moves over an entry's attributes. */
export function skipAttributes(cursor: Cursor, abbrev: Abbrev, encoding: Encoding): void {
  if (abbrev.fixedSize >= 0) {
    cursor.skip(abbrev.fixedSize);
    return;
  }
  for (const spec of abbrev.attributes) {
    if (spec.size >= 0) cursor.skip(spec.size);
    else skipForm(cursor, spec.form === FORM.indirect ? indirectSpec(cursor, spec).form : spec.form, encoding);
  }
}

/** Reads DW_AT_sibling of an entry, as an offset in the unit's section, and moves behind it; 0 when the entry has none. */
export function readSibling(cursor: Cursor, abbrev: Abbrev, unit: Unit): number {
  const { encoding, header } = unit;
  if (abbrev.siblingAt >= 0) {
    cursor.skip(abbrev.siblingAt);
    return header.offset + cursor.u32();
  }
  for (const spec of abbrev.attributes) {
    if (spec.name === AT.sibling) {
      const reference = readReference(cursor, spec.form, encoding);
      return reference?.kind === 'unit' ? header.offset + reference.offset : 0;
    }
    if (spec.size >= 0) cursor.skip(spec.size);
    else skipForm(cursor, spec.form === FORM.indirect ? indirectSpec(cursor, spec).form : spec.form, encoding);
  }
  return 0;
}

function indirectSpec(cursor: Cursor, spec: AttributeSpec): AttributeSpec {
  const form = cursor.uleb();
  if (form === FORM.indirect || form === FORM.implicit_const) {
    throw malformed(`entry before offset 0x${(cursor.base + cursor.offset).toString(16)}`, `DW_FORM_indirect names form ${form}`);
  }
  return { ...spec, form, size: -1 };
}

/** The attributes that say where an entry's code is, while they are gathered. */
export interface PcRange {
  low: number | null;
  high: number | null;
  highIsLength: boolean;
  rangesOffset: number | null;
}

export function newPcRange(): PcRange {
  return { low: null, high: null, highIsLength: false, rangesOffset: null };
}

/** Takes DW_AT_low_pc, high_pc and ranges into `pc`; leaves the cursor alone for any other attribute. */
export function readPcAttribute(
  cursor: Cursor,
  spec: AttributeSpec,
  unit: UnitBases & { readonly rangeListsBase: number | null },
  pc: PcRange,
): void {
  if (spec.name === AT.low_pc) pc.low = readAddress(cursor, spec.form, unit);
  else if (spec.name === AT.ranges) pc.rangesOffset = readRangeListOffset(cursor, spec.form, unit);
  else if (spec.name === AT.high_pc) {
    pc.highIsLength = isConstantForm(spec.form);
    pc.high = pc.highIsLength
      ? readConstant(cursor, spec.form, spec.implicitConst, unit.encoding)
      : readAddress(cursor, spec.form, unit);
  }
}

/** The code of an entry of `unit`, as start, end, start, end, … */
export function piecesOf(unit: Unit, pc: PcRange): number[] {
  const pieces: number[] = [];
  const high = highPcOf(pc);
  if (pc.rangesOffset !== null) decodeRangeList(unit, pc.rangesOffset, unit.root.lowPc, pieces);
  else if (pc.low !== null && high !== null) pieces.push(pc.low, high);
  return pieces;
}

/** The end of [low, high), or null. */
export function highPcOf(pc: PcRange): number | null {
  if (pc.low === null || pc.high === null) return null;
  return pc.highIsLength ? pc.low + pc.high : pc.high;
}

const CONSTANT_FORMS: ReadonlySet<number> = new Set([
  FORM.data1,
  FORM.data2,
  FORM.data4,
  FORM.data8,
  FORM.udata,
  FORM.sdata,
  FORM.implicit_const,
]);

function isConstantForm(form: number): boolean {
  return CONSTANT_FORMS.has(form);
}
