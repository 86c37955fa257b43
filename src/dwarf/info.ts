// .debug_info as a whole: its units, found by offset, by address or by type signature, and the references between entries.
// Units are decoded when asked for and kept by an LRU, so that memory stays flat however many addresses are looked up.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { type AbbrevPool, AbbrevTable } from './abbrev.ts';
import { AddressRanges } from './aranges.ts';
import { LruCache } from './cache.ts';
import type { CodeMap } from './code-map.ts';
import { AT, LANG } from './constants.ts';
import { type Reference, readReference, readString } from './forms.ts';
import { IntervalIndex } from './intervals.ts';
import { decodeRangeList } from './ranges.ts';
import { type DebugSection, type DebugSections, dwarfErrors } from './section.ts';
import { decodeUnitHeader, type Entry, Unit, type UnitHeader, visitAttributes } from './unit.ts';

/** Units kept decoded: their headers and roots, some hundred bytes each. */
const UNITS = 8192;
const ABBREV_TABLES = 8192;
/** Names kept, by the entry they are of. */
const NAMES = 1 << 18;
/** Added to offsets of .debug_types, so that they are keys of their own beside those of .debug_info. */
export const IN_DEBUG_TYPES = 2 ** 50;
/** Entries that refer to each other in a row; real chains are three long (inlined → abstract → declaration). */
const MAX_HOPS = 16;

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

/** Something that could not be read, and why: one unit's damage does not spoil the others. */
export type Complain = (error: UnidbgError) => void;

/** The units of one file. */
export class DebugInfo {
  readonly sections: DebugSections;
  private readonly code: CodeMap;
  private readonly complain: Complain;
  private readonly units = new LruCache<number, Unit>(UNITS);
  private readonly abbrevTables = new LruCache<string, AbbrevTable>(ABBREV_TABLES);
  private readonly abbrevPools = new Map<string, AbbrevPool>();
  private readonly names = new LruCache<number, KnownName>(NAMES);
  private infoOffsets: Float64Array | null = null;
  private signatures: ReadonlyMap<bigint, UnitHeader> | null = null;
  private aranges: AddressRanges | null = null;
  private roots: IntervalIndex | null = null;

  constructor(sections: DebugSections, code: CodeMap, complain: Complain) {
    this.sections = sections;
    this.code = code;
    this.complain = complain;
  }

  /** Units that may cover `address`, the likeliest first. Those that .debug_aranges does not list are known by their root entries. */
  *unitsAt(address: number): Generator<Unit> {
    const likeliest = this.likeliestUnitAt(address);
    if (likeliest !== null) yield likeliest;
    const others = [...(this.attempt(() => this.ranges().findUnits(address)) ?? []), ...candidates(this.readRoots(), address)];
    for (const offset of others) {
      const unit = offset === likeliest?.header.offset ? null : this.tryUnit(offset);
      if (unit !== null) yield unit;
    }
  }

  /** The unit that .debug_aranges gives the smallest range around `address`, or null. */
  likeliestUnitAt(address: number): Unit | null {
    const offset = this.attempt(() => this.ranges().findUnit(address)) ?? -1;
    return offset < 0 ? null : this.tryUnit(offset);
  }

  /** All units of .debug_info in file order, those that cannot be read left out. */
  *allUnits(): Generator<Unit> {
    for (const offset of this.unitOffsets()) {
      const unit = this.tryUnit(offset);
      if (unit !== null) yield unit;
    }
  }

  /** The units of .debug_types, which DWARF 4 types are referred to by signature in. */
  *typeUnits(): Generator<Unit> {
    for (const header of this.readSignatures().values()) {
      const unit = header.section.name === '.debug_types' ? this.attempt(() => this.unitOf(header)) : null;
      if (unit !== null) yield unit;
    }
  }

  /** The unit whose header is at `offset` of `section`. Throws DWARF_*. */
  unitAt(section: DebugSection, offset: number): Unit {
    return this.units.get(keyOf(section, offset), () => this.decodeUnit(decodeUnitHeader(section, offset)));
  }

  /** The entry at offset `offset` of .debug_info, in whichever unit it is; null when there is none. */
  findEntry(offset: number): Die | null {
    const starts = this.unitOffsets();
    const section = this.sections.find('debug_info');
    const start = starts[upperBound(starts, offset) - 1];
    return section === null || start === undefined ? null : entryIn(this.unitAt(section, start), offset);
  }

  /** The entry at offset `offset` of .debug_types. */
  findTypesEntry(offset: number): Die | null {
    for (const header of this.readSignatures().values()) {
      if (header.section.name !== '.debug_types' || offset < header.offset || offset >= header.end) continue;
      return entryIn(this.unitOf(header), offset);
    }
    return null;
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

  /** The entry that `reference`, read in `unit`, means; null when it leads nowhere (or into a supplementary file). */
  follow(unit: Unit, reference: Reference): Die | null {
    switch (reference.kind) {
      case 'unit':
        return entryIn(unit, unit.header.offset + reference.offset);
      case 'info':
        return this.findEntry(reference.offset);
      case 'signature':
        return this.followSignature(reference.signature);
      case 'sup':
        return null;
    }
  }

  /**
   * Name of the entry at `offset` of `unit`'s section: the linker's where the producer gives one, else the source's; looked
   * for along DW_AT_abstract_origin and DW_AT_specification. Throws DWARF_*.
   */
  nameAt(unit: Unit, offset: number): EntryName | null {
    const key = keyOf(unit.header.section, offset);
    return this.names.get(key, () => ({ name: this.readName(unit, offset) })).name;
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

  private unitOf(header: UnitHeader): Unit {
    return this.unitAt(header.section, header.offset);
  }

  private decodeUnit(header: UnitHeader): Unit {
    const { version, addressSize, offsetSize } = header.encoding;
    const encoding = `${version}:${addressSize}:${offsetSize}`;
    const table = this.abbrevTables.get(`${header.abbrevOffset}:${encoding}`, () => {
      const pool = this.abbrevPools.get(encoding) ?? (new Map() as AbbrevPool);
      this.abbrevPools.set(encoding, pool);
      return new AbbrevTable(this.sections.get('debug_abbrev'), header.abbrevOffset, header.encoding, pool);
    });
    return new Unit(header, this.sections, table);
  }

  private tryUnit(offset: number): Unit | null {
    const section = this.sections.find('debug_info');
    return section === null ? null : this.attempt(() => this.unitAt(section, offset));
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

  private *headersOf(name: 'debug_info' | 'debug_types'): Generator<UnitHeader> {
    const section = this.sections.find(name);
    if (section === null) return;
    for (let offset = 0; offset < section.size; ) {
      const header = this.attempt(() => decodeUnitHeader(section, offset));
      if (header === null) return;
      yield header;
      offset = header.end;
    }
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

  private ranges(): AddressRanges {
    this.aranges ??= new AddressRanges(this.sections, this.code);
    return this.aranges;
  }

  private readRoots(): IntervalIndex {
    if (this.roots !== null) return this.roots;
    const listed = this.attempt(() => this.ranges().units);
    const triples: number[] = [];
    for (const offset of this.unitOffsets()) {
      const unit = listed?.has(offset) === true ? null : this.tryUnit(offset);
      if (unit === null) continue;
      this.attempt(() => {
        appendRootRanges(unit, triples);
      });
    }
    this.roots = new IntervalIndex(this.code.keepCode(triples));
    return this.roots;
  }
}

/** A name as remembered: null is remembered too. */
interface KnownName {
  readonly name: EntryName | null;
}

/** One number for an entry of .debug_info or .debug_types. */
function keyOf(section: DebugSection, offset: number): number {
  return section.name === '.debug_types' ? offset + IN_DEBUG_TYPES : offset;
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

function candidates(index: IntervalIndex, address: number): number[] {
  const positions = index.findAll(address);
  if (positions.length < 2) return positions.map((position) => index.valueAt(position));
  const size = (position: number): number => index.endAt(position) - index.startAt(position);
  positions.sort((a, b) => size(a) - size(b) || a - b);
  return positions.map((position) => index.valueAt(position));
}

function appendRootRanges(unit: Unit, triples: number[]): void {
  const { lowPc, highPc, rangesOffset } = unit.root;
  if (rangesOffset !== null) {
    const pairs: number[] = [];
    decodeRangeList(unit, rangesOffset, lowPc, pairs);
    for (let at = 0; at + 1 < pairs.length; at += 2) triples.push(pairs[at]!, pairs[at + 1]!, unit.header.offset);
  } else if (lowPc !== null && highPc !== null) {
    triples.push(lowPc, highPc, unit.header.offset);
  }
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
