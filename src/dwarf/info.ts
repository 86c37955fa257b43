// .debug_info as a whole: its units, found by offset, by address or by type signature, and the references between entries, into
// other files too. Units are decoded when asked for and kept by an LRU, so that memory stays flat however many are looked at.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { type AbbrevPool, AbbrevTable } from './abbrev.ts';
import { LruCache } from './cache.ts';
import type { CodeMap } from './code-map.ts';
import { type DebugCompanions, NO_COMPANIONS } from './companions.ts';
import { AT, LANG } from './constants.ts';
import { type Reference, readReference, readString } from './forms.ts';
import { type FunctionPiece, readFunctions, type UnitFunctions } from './functions.ts';
import { GdbIndex } from './gdb-index.ts';
import type { DebugSections } from './section.ts';
import { type DebugSection, dwarfErrors } from './section.ts';
import { SplitObjects } from './split.ts';
import { type Die, type EntryName, Unit, type UnitHome, visitAttributes } from './unit.ts';
import { decodeUnitHeader, type UnitHeader } from './unit-header.ts';
import { UnitIndex } from './unit-index.ts';

export type { Die, EntryName } from './unit.ts';

/** Units kept decoded: their headers and roots, some hundred bytes each. */
const UNITS = 8192;
const ABBREV_TABLES = 8192;
/** Names kept, by the entry they are of. */
const NAMES = 1 << 18;
const FUNCTION_BYTES = 64 * 1024 * 1024;
/** Entries that refer to each other in a row; real chains are three long (inlined → abstract → declaration). */
const MAX_HOPS = 16;

/** Something that could not be read, and why: one unit's damage does not spoil the others. */
export type Complain = (error: UnidbgError) => void;

/** One number for each entry of an image, whatever file and section it is in; see `keyOf`. */
export type EntryKey = number;

/** An offset in a section takes 36 bits, one tells .debug_types from .debug_info, the rest is the file. */
const OF_TYPES = 2 ** 36;
const FILE = 2 ** 37;
const IMAGE_FILE = 0;
const SUPPLEMENTARY_FILE = 1;
const FIRST_SPLIT_FILE = 2;

/** The units of one file, and through it those of its companions. */
export class DebugInfo implements UnitHome {
  readonly sections: DebugSections;
  private readonly code: CodeMap;
  private readonly complain: Complain;
  private readonly index: UnitIndex;
  private readonly splits: SplitObjects<SplitInfo>;
  private readonly units = new LruCache<EntryKey, Unit>(UNITS);
  private readonly abbrevTables = new LruCache<string, AbbrevTable>(ABBREV_TABLES);
  private readonly abbrevPools = new Map<string, AbbrevPool>();
  private readonly names = new LruCache<EntryKey, { readonly name: EntryName | null }>(NAMES);
  private readonly outerFunctions = new LruCache<EntryKey, UnitFunctions>(FUNCTION_BYTES, (functions) => functions.cost);
  private readonly allFunctions = new LruCache<EntryKey, UnitFunctions>(FUNCTION_BYTES, (functions) => functions.cost);
  private infoOffsets: Float64Array | null = null;
  private debuggerIndex: GdbIndex | null | undefined;
  private signatures: ReadonlyMap<bigint, UnitHeader> | null = null;
  private supplementaryInfo: DebugInfo | null = null;

  constructor(sections: DebugSections, code: CodeMap, complain: Complain, companions: DebugCompanions = NO_COMPANIONS) {
    this.sections = sections;
    this.code = code;
    this.complain = complain;
    this.index = new UnitIndex(sections, code, {
      offsets: () => this.unitOffsets(),
      listedCode: () => this.gdbIndex?.readAddresses() ?? [],
      findUnit: (offset) => this.tryUnit(offset),
      readCode: (offset) => this.unitAt(this.sections.get('debug_info'), offset).readCode(),
      complain,
    });
    this.splits = new SplitObjects(
      sections,
      companions,
      (split, skeleton, types) => new SplitInfo(split, code, complain, skeleton, types),
    );
  }

  /** Units of .debug_info that may cover `address`, the likeliest first. */
  unitsAt(address: number): Generator<Unit> {
    return this.index.all(address);
  }

  /** The first of `unitsAt`, if .debug_aranges lists it; found without looking for the others. */
  likeliestUnitAt(address: number): Unit | null {
    return this.index.likeliest(address);
  }

  /** The unit that has the entries of `unit`: the split unit that a skeleton stands for, else itself. */
  fullUnit(unit: Unit): Unit {
    if (unit.skeleton !== null || unit.root.splitName === null) return unit;
    return this.attempt(() => this.splits.find(unit)) ?? unit;
  }

  /** All units of .debug_info in file order, those that cannot be read left out. A skeleton gives way to what it stands for. */
  *allUnits(): Generator<Unit> {
    for (const offset of this.unitOffsets()) {
      const unit = this.findFullUnit(offset);
      if (unit !== null) yield unit;
    }
  }

  /** Offsets of the units of .debug_info, in file order. */
  get offsets(): Float64Array {
    return this.unitOffsets();
  }

  /** gdb's index of the file; null without one, or when it is damaged. */
  get gdbIndex(): GdbIndex | null {
    if (this.debuggerIndex === undefined) {
      this.debuggerIndex = this.attempt(() => GdbIndex.open(this.sections, this.unitOffsets()));
    }
    return this.debuggerIndex;
  }

  /** The unit at an offset of `offsets`, or what it stands for; null when it cannot be read. */
  findFullUnit(offset: number): Unit | null {
    const unit = this.tryUnit(offset);
    return unit === null ? null : this.fullUnit(unit);
  }

  /** The units of .debug_types, which DWARF 4 types are referred to by signature in. */
  *typeUnits(): Generator<Unit> {
    for (const header of this.readSignatures().values()) {
      const unit = header.section.holdsTypes ? this.attempt(() => this.unitOf(header)) : null;
      if (unit !== null) yield unit;
    }
  }

  /** The unit whose header is at `offset` of `section`. Throws DWARF_*. */
  unitAt(section: DebugSection, offset: number): Unit {
    const key = section.holdsTypes ? offset + OF_TYPES : offset;
    return this.units.get(key, () => this.decodeUnit(decodeUnitHeader(section, offset)));
  }

  /** A number for the entry at `offset` of the section that `unit` is in, for use as a key. */
  keyOf(unit: Unit, offset: number): EntryKey {
    const within = unit.header.section.holdsTypes ? offset + OF_TYPES : offset;
    return unit.home === this ? within : within + this.fileOf(unit) * FILE;
  }

  /** The entry that a number of `keyOf` is of. Throws DWARF_*. */
  findKey(key: EntryKey): Die | null {
    const file = Math.floor(key / FILE);
    const info = this.infoOf(file);
    const offset = key % OF_TYPES;
    if (info === null) return null;
    return key % FILE >= OF_TYPES ? info.findTypesEntry(offset) : info.findEntry(offset);
  }

  /** The entry at offset `offset` of .debug_info, in whichever unit it is; null when there is none. */
  findEntry(offset: number): Die | null {
    const starts = this.unitOffsets();
    const section = this.sections.find('debug_info');
    const start = starts[upperBound(starts, offset) - 1];
    return section === null || start === undefined ? null : entryIn(this.unitAt(section, start), offset);
  }

  /** The type that a DW_FORM_ref_sig8 names. */
  followSignature(signature: bigint): Die | null {
    const header = this.readSignatures().get(signature);
    return header === undefined ? null : entryIn(this.unitOf(header), header.offset + header.typeOffset);
  }

  /** The entry at section offset `offset` of `unit`, or null outside of it. */
  findEntryIn(unit: Unit, offset: number): Die | null {
    return entryIn(unit, offset);
  }

  /** The entry that `reference`, read in `unit` (of whichever file), means; null when it leads nowhere. Throws DWARF_*. */
  follow(unit: Unit, reference: Reference): Die | null {
    if (unit.home !== this) return unit.home.follow(unit, reference);
    switch (reference.kind) {
      case 'unit':
        return entryIn(unit, unit.header.offset + reference.offset);
      case 'info':
        return this.findEntry(reference.offset);
      case 'signature':
        return this.followSignature(reference.signature);
      case 'sup':
        return this.supplementary()?.findEntry(reference.offset) ?? null;
    }
  }

  /** The function of `unit` (of whichever file) whose code holds `address`, the innermost; null without one. Throws DWARF_*. */
  functionAt(unit: Unit, address: number): FunctionPiece | null {
    const key = this.keyOf(unit, unit.header.offset);
    const known = this.outerFunctions.find(key)?.find(address);
    if (known != null) return known;
    const read = (everywhere: boolean): UnitFunctions => readFunctions(unit, this.code.isCode, everywhere);
    // Functions nested in functions or types (GNU C, Rust, D) are read when an address is in none on the outer levels.
    const outer = this.outerFunctions.get(key, () => read(false)).find(address);
    return outer ?? this.allFunctions.get(key, () => read(true)).find(address);
  }

  /**
   * Name of the entry at `offset` of the section that `unit` is in: the linker's where the producer gives one, else the
   * source's; looked for along DW_AT_abstract_origin and DW_AT_specification. Throws DWARF_*.
   */
  nameAt(unit: Unit, offset: number): EntryName | null {
    const key = this.keyOf(unit, offset);
    const known = this.names.find(key) ?? this.names.get(key, () => ({ name: this.readName(unit, offset) }));
    return known.name;
  }

  /** Name of an entry, as `nameAt`. */
  nameOf({ unit, entry }: Die): EntryName | null {
    return this.nameAt(unit, entry.offset);
  }

  /** Name of the entry that `reference`, read in `unit`, means. */
  nameOfReference(unit: Unit, reference: Reference): EntryName | null {
    if (reference.kind === 'unit') return this.nameAt(unit, unit.header.offset + reference.offset);
    const die = this.follow(unit, reference);
    return die === null ? null : this.nameAt(die.unit, die.entry.offset);
  }

  /** What decodes a unit of this file from its header. */
  protected decodeUnit(header: UnitHeader, skeleton: Unit | null = null): Unit {
    const { version, addressSize, offsetSize } = header.encoding;
    const encoding = `${version}:${addressSize}:${offsetSize}`;
    const table = this.abbrevTables.get(`${header.abbrevOffset}:${encoding}`, () => {
      const pool = this.abbrevPools.get(encoding) ?? (new Map() as AbbrevPool);
      this.abbrevPools.set(encoding, pool);
      return new AbbrevTable(this.sections.get('debug_abbrev'), header.abbrevOffset, header.encoding, pool);
    });
    return new Unit(header, this.sections, table, this, skeleton);
  }

  protected *headersOf(name: 'debug_info' | 'debug_types'): Generator<UnitHeader> {
    const section = this.sections.find(name);
    if (section === null) return;
    for (let offset = 0; offset < section.size; ) {
      const header = this.attempt(() => decodeUnitHeader(section, offset));
      if (header === null) return;
      yield header;
      offset = header.end;
    }
  }

  private readName(unit: Unit, offset: number): EntryName | null {
    return dwarfErrors(unit.describe(), () => {
      let name: string | null = null;
      let [inUnit, at] = [unit, offset];
      for (let hops = 0; hops < MAX_HOPS; hops += 1) {
        const names = readNames(inUnit, at);
        if (names?.linkage != null) return { name: names.linkage, isLinkerName: true };
        name ??= names?.plain ?? null;
        if (names?.origin == null) break;
        const next = this.place(inUnit, names.origin);
        if (next === null) break;
        [inUnit, at] = next;
      }
      return name === null ? null : { name, isLinkerName: !mangles(unit.root.language) };
    });
  }

  /** Unit and offset of the entry that `reference`, read in `unit`, means. */
  private place(unit: Unit, reference: Reference): [Unit, number] | null {
    const offset = reference.kind === 'unit' ? unit.header.offset + reference.offset : -1;
    if (offset >= unit.header.root && offset < unit.header.end) return [unit, offset];
    const die = this.follow(unit, reference);
    return die === null ? null : [die.unit, die.entry.offset];
  }

  private fileOf(unit: Unit): number {
    if (unit.home === this.supplementaryInfo) return SUPPLEMENTARY_FILE;
    const skeleton = unit.skeleton?.header.offset ?? 0;
    return FIRST_SPLIT_FILE + upperBound(this.unitOffsets(), skeleton);
  }

  private infoOf(file: number): DebugInfo | null {
    if (file === IMAGE_FILE) return this;
    if (file === SUPPLEMENTARY_FILE) return this.supplementary();
    const skeleton = this.tryUnit(this.unitOffsets()[file - FIRST_SPLIT_FILE - 1] ?? 0);
    const full = skeleton === null ? null : this.fullUnit(skeleton);
    return full?.home instanceof DebugInfo && full.home !== this ? full.home : null;
  }

  private supplementary(): DebugInfo | null {
    const { supplementary } = this.sections;
    if (supplementary === null) return null;
    this.supplementaryInfo ??= new DebugInfo(supplementary, this.code, this.complain);
    return this.supplementaryInfo;
  }

  private findTypesEntry(offset: number): Die | null {
    for (const header of this.readSignatures().values()) {
      if (!header.section.holdsTypes || offset < header.offset || offset >= header.end) continue;
      return entryIn(this.unitOf(header), offset);
    }
    return null;
  }

  private unitOf(header: UnitHeader): Unit {
    return this.unitAt(header.section, header.offset);
  }

  private tryUnit(offset: number): Unit | null {
    const section = this.sections.find('debug_info');
    // A root that cannot be read is found out here, once, and not wherever something of it is asked for.
    return section === null ? null : this.attempt(() => this.unitAt(section, offset).withRoot());
  }

  private attempt<T>(body: () => T): T | null {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.complain(error);
      return null;
    }
  }

  /** Offsets of all unit headers; what follows a damaged one cannot be found and is left out. */
  private unitOffsets(): Float64Array {
    this.infoOffsets ??= Float64Array.from(this.headersOf('debug_info'), (header) => header.offset);
    return this.infoOffsets;
  }

  private readSignatures(): ReadonlyMap<bigint, UnitHeader> {
    if (this.signatures !== null) return this.signatures;
    const signatures = new Map<bigint, UnitHeader>();
    for (const header of [...this.headersOf('debug_types'), ...this.headersOf('debug_info')]) {
      if (header.signature !== null && !signatures.has(header.signature)) signatures.set(header.signature, header);
    }
    this.signatures = signatures;
    return signatures;
  }
}

/** The units of one split object, or of one unit's part of a package. */
class SplitInfo extends DebugInfo {
  private readonly skeleton: Unit;
  private readonly open: (signature: bigint) => SplitInfo | null;

  constructor(
    sections: DebugSections,
    code: CodeMap,
    complain: Complain,
    skeleton: Unit,
    typeSections: (signature: bigint) => DebugSections | null,
  ) {
    super(sections, code, complain);
    this.skeleton = skeleton;
    this.open = (signature) => {
      const found = typeSections(signature);
      return found === null ? null : new SplitInfo(found, code, complain, skeleton, () => null);
    };
  }

  /** The unit with that id, or null. */
  findSplitUnit(id: bigint): Unit | null {
    for (const header of this.headersOf('debug_info')) {
      if (header.signature !== null) continue;
      const unit = this.unitAt(header.section, header.offset);
      if (unit.splitId === id) return unit;
    }
    return null;
  }

  override followSignature(signature: bigint): Die | null {
    return super.followSignature(signature) ?? this.open(signature)?.followSignature(signature) ?? null;
  }

  protected override decodeUnit(header: UnitHeader): Unit {
    return super.decodeUnit(header, this.skeleton);
  }
}

const PLAIN_LANGUAGES: ReadonlySet<number> = new Set(Object.values(LANG));

function mangles(language: number | null): boolean {
  return language !== null && !PLAIN_LANGUAGES.has(language);
}

function upperBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function entryIn(unit: Unit, offset: number): Die | null {
  if (offset < unit.header.root || offset >= unit.header.end) return null;
  const entry = dwarfErrors(unit.describe(), () => unit.entryAt(offset));
  return entry === null ? null : { unit, entry };
}

/** A cursor at the entry's attributes. */
export function attributesOf(die: Die): Cursor {
  const cursor = die.unit.cursor();
  cursor.seek(die.entry.attributes - die.unit.header.offset);
  return cursor;
}

interface Names {
  linkage: string | null;
  plain: string | null;
  origin: Reference | null;
}

function readNames(unit: Unit, offset: number): Names | null {
  return unit.scanEntry(offset, (cursor, abbrev) => {
    const names: Names = { linkage: null, plain: null, origin: null };
    visitAttributes(cursor, abbrev, unit.encoding, ({ name, form }) => {
      if (name === AT.linkage_name || name === AT.MIPS_linkage_name) names.linkage = readString(cursor, form, unit);
      else if (name === AT.name) names.plain = readString(cursor, form, unit);
      else if (name === AT.abstract_origin || name === AT.specification) {
        names.origin = readReference(cursor, form, unit.encoding);
      }
    });
    return names;
  });
}
