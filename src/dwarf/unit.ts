// Units (DWARF 5 section 3.1): their root entry, walking their entries, and the attributes that say where code is.

import { Cursor } from '../bytes/cursor.ts';
import type { Abbrev, AbbrevTable, AttributeSpec } from './abbrev.ts';
import { AT, FORM } from './constants.ts';
import {
  type Encoding,
  type Reference,
  readAddress,
  readBigConstant,
  readConstant,
  readReference,
  readSectionOffset,
  readString,
  skipForm,
  type UnitBases,
} from './forms.ts';
import { decodeRangeList, readRangeListOffset } from './ranges.ts';
import { type DebugSections, dwarfErrors, malformed } from './section.ts';
import type { UnitHeader } from './unit-header.ts';

/** What a unit's root entry says. Addresses are offsets from the image's origin. */
export interface RootAttributes {
  readonly tag: number;
  readonly name: string | null;
  readonly directory: string | null;
  readonly language: number | null;
  readonly lineOffset: number | null;
  readonly lowPc: number | null;
  /** Name of the split object that has the unit's entries. */
  readonly splitName: string | null;
  /** GNU's form of the id in version 5 headers. */
  readonly splitId: bigint | null;
}

/** An entry: its place, its abbreviation, and where its attributes start. Offsets are section offsets. */
export interface Entry {
  readonly offset: number;
  readonly abbrev: Abbrev;
  readonly attributes: number;
}

/** An entry together with the unit it is in. */
export interface Die {
  readonly unit: Unit;
  readonly entry: Entry;
}

/** An entry's name. `isLinkerName` is false for a bare source name (`operator()`) in a language whose linker names say more. */
export interface EntryName {
  readonly name: string;
  readonly isLinkerName: boolean;
}

/** The debug info that a unit belongs to: what finds the entries that its entries refer to. */
export interface UnitHome {
  readonly follow: (unit: Unit, reference: Reference) => Die | null;
  readonly nameAt: (unit: Unit, offset: number) => EntryName | null;
}

/** What indexed forms count from, and what else a split unit has from its skeleton. Null where there is none. */
interface Bases {
  stringOffsets: number | null;
  address: number | null;
  rangeLists: number | null;
  /** GNU's split form: added to DW_AT_ranges. */
  ranges: number;
}

/** One unit. Its entries are read when asked for. */
export class Unit implements UnitBases {
  readonly header: UnitHeader;
  readonly encoding: Encoding;
  readonly sections: DebugSections;
  readonly abbrevs: AbbrevTable;
  readonly home: UnitHome;
  /** The unit of the image that this one was split from. */
  readonly skeleton: Unit | null;
  private readonly bases: Bases;
  private rootAttributes: RootAttributes | null = null;

  constructor(header: UnitHeader, sections: DebugSections, abbrevs: AbbrevTable, home: UnitHome, skeleton: Unit | null) {
    this.header = header;
    this.encoding = header.encoding;
    this.sections = sections;
    this.abbrevs = abbrevs;
    this.home = home;
    this.skeleton = skeleton;
    this.bases = this.scanRoot((cursor) => this.readBases(cursor));
  }

  get stringOffsetsBase(): number | null {
    return this.bases.stringOffsets;
  }

  get addressBase(): number | null {
    return this.bases.address;
  }

  get rangeListsBase(): number | null {
    return this.bases.rangeLists;
  }

  /** What its root entry says. Throws DWARF_*. */
  get root(): RootAttributes {
    return this.rootAttributes ?? (this.rootAttributes = this.scanRoot((cursor) => this.readRoot(cursor)));
  }

  /** The same unit, its root entry read. Throws DWARF_*. */
  withRoot(): this {
    this.rootAttributes ??= this.scanRoot((cursor) => this.readRoot(cursor));
    return this;
  }

  /** Where the unit's own code is, as start, end, …; less work than `root`. Throws DWARF_*. */
  readCode(): number[] {
    return this.scanRoot((cursor) => {
      const pc = newPcRange();
      this.visitRoot(cursor, (spec) => {
        readPcAttribute(cursor, spec, this, pc);
      });
      return piecesOf(this, pc, pc.low);
    });
  }

  /** The id that its split object must have too, where the root says it (GNU's form); `root` says whether there is one. */
  get splitId(): bigint | null {
    return this.header.splitId ?? this.root.splitId;
  }

  /** Added to the value of DW_AT_ranges. */
  get rangesBase(): number {
    return this.skeleton === null || this.encoding.version >= 5 ? 0 : this.skeleton.bases.ranges;
  }

  /** What its range lists count from. */
  get lowPc(): number | null {
    return this.skeleton === null ? this.root.lowPc : this.skeleton.root.lowPc;
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

  private scanRoot<T>(decode: (cursor: Cursor) => T): T {
    return dwarfErrors(this.describe(), () => this.header.section.scan(this.header.root, decode));
  }

  private readBases(cursor: Cursor): Bases {
    const { encoding, skeleton } = this;
    const bases: Bases = { stringOffsets: null, address: null, rangeLists: null, ranges: 0 };
    if (encoding.version < 4) return bases;
    if (skeleton !== null) {
      // A split file has one table of each kind, which starts behind its header (7.26, 7.28); GNU's tables have none.
      const isLong = encoding.offsetSize === 8;
      bases.stringOffsets = encoding.version < 5 ? 0 : isLong ? 16 : 8;
      bases.rangeLists = isLong ? 20 : 12;
      bases.address = skeleton.bases.address;
    }
    this.visitRoot(cursor, ({ name, form }) => {
      if (name === AT.str_offsets_base) bases.stringOffsets = readSectionOffset(cursor, form, encoding);
      else if (name === AT.addr_base || name === AT.GNU_addr_base) bases.address = readSectionOffset(cursor, form, encoding);
      else if (name === AT.rnglists_base) bases.rangeLists = readSectionOffset(cursor, form, encoding);
      else if (name === AT.GNU_ranges_base) bases.ranges = readSectionOffset(cursor, form, encoding) ?? 0;
    });
    return bases;
  }

  private readRoot(cursor: Cursor): RootAttributes {
    const root: { -readonly [K in keyof RootAttributes]: RootAttributes[K] } = {
      ...{ tag: 0, name: null, directory: null, language: null, lineOffset: null, lowPc: null, splitName: null, splitId: null },
    };
    const pc = newPcRange();
    const { encoding } = this;
    root.tag = this.visitRoot(cursor, (spec) => {
      const { name, form, implicitConst } = spec;
      if (name === AT.name) root.name = readString(cursor, form, this);
      else if (name === AT.comp_dir) root.directory = readString(cursor, form, this);
      else if (name === AT.language) root.language = readConstant(cursor, form, implicitConst, encoding);
      else if (name === AT.stmt_list) root.lineOffset = readSectionOffset(cursor, form, encoding);
      else if (name === AT.dwo_name || name === AT.GNU_dwo_name) root.splitName = readString(cursor, form, this);
      else if (name === AT.GNU_dwo_id) root.splitId = readBigConstant(cursor, spec, encoding, false);
      else if (name === AT.low_pc) readPcAttribute(cursor, spec, this, pc);
    });
    root.lowPc = pc.low;
    return root;
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

/** The code of an entry of `unit`, as start, end, start, end, … `base`: what its range list counts from. */
export function piecesOf(unit: Unit, pc: PcRange, base: number | null = unit.lowPc): number[] {
  const pieces: number[] = [];
  const high = highPcOf(pc);
  if (pc.rangesOffset !== null) decodeRangeList(unit, pc.rangesOffset + unit.rangesBase, base, pieces);
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
