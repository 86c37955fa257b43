// .debug_info as a whole: its units, found by offset, by address or by type signature, and the references between entries.
// Units are decoded when asked for and kept by an LRU, so that memory stays flat however many addresses are looked up.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import { AbbrevTable } from './abbrev.ts';
import { decodeAddressRanges } from './aranges.ts';
import { LruCache } from './cache.ts';
import type { CodeMap } from './code-map.ts';
import { AT, LANG } from './constants.ts';
import { type Reference, readReference, readString } from './forms.ts';
import { IntervalIndex } from './intervals.ts';
import { decodeRangeList } from './ranges.ts';
import { type DebugSection, type DebugSections, dwarfErrors } from './section.ts';
import { decodeUnitHeader, type Entry, Unit, type UnitHeader, visitAttributes } from './unit.ts';

/** Bytes of units kept decoded. */
const UNIT_BYTES = 64 * 1024 * 1024;
const ABBREV_TABLES = 512;
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
  private readonly units = new LruCache<number, Unit>(UNIT_BYTES, (unit) => unit.cost);
  private readonly abbrevTables = new LruCache<string, AbbrevTable>(ABBREV_TABLES);
  private infoOffsets: Float64Array | null = null;
  private signatures: ReadonlyMap<bigint, UnitHeader> | null = null;
  private aranges: IntervalIndex | null = null;
  private roots: IntervalIndex | null = null;

  constructor(sections: DebugSections, code: CodeMap, complain: Complain) {
    this.sections = sections;
    this.code = code;
    this.complain = complain;
  }

  /** Units that may cover `address`, the likeliest first. What .debug_aranges leaves out is looked for in the units' root entries. */
  *unitsAt(address: number): Generator<Unit> {
    const section = this.sections.find('debug_info');
    const listed = candidates(this.readAranges(), address);
    for (const offset of listed) {
      const unit = this.tryUnit(section, offset);
      if (unit !== null) yield unit;
    }
    for (const offset of candidates(this.readRoots(), address)) {
      const unit = listed.includes(offset) ? null : this.tryUnit(section, offset);
      if (unit !== null) yield unit;
    }
  }

  /** All units of .debug_info in file order, those that cannot be read left out. */
  *allUnits(): Generator<Unit> {
    const section = this.sections.find('debug_info');
    for (const offset of this.unitOffsets()) {
      const unit = this.tryUnit(section, offset);
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
    const key = section.name === '.debug_types' ? offset + IN_DEBUG_TYPES : offset;
    return this.units.get(key, () => this.decodeUnit(decodeUnitHeader(section, offset)));
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
   * Name of an entry: the linker's where the producer gives one, else the source's; looked for along
   * DW_AT_abstract_origin and DW_AT_specification.
   */
  nameOf(die: Die): EntryName | null {
    return dwarfErrors(die.unit.describe(), () => {
      let name: string | null = null;
      let current: Die | null = die;
      for (let hops = 0; current !== null && hops < MAX_HOPS; hops += 1) {
        const names = readNames(current);
        if (names.linkage !== null) return { name: names.linkage, isLinkerName: true };
        name ??= names.plain;
        current = names.origin === null ? null : this.follow(current.unit, names.origin);
      }
      return name === null ? null : { name, isLinkerName: !mangles(die.unit.root.language) };
    });
  }

  private unitOf(header: UnitHeader): Unit {
    return this.unitAt(header.section, header.offset);
  }

  private decodeUnit(header: UnitHeader): Unit {
    const { version, addressSize, offsetSize } = header.encoding;
    const key = `${header.abbrevOffset}:${version}:${addressSize}:${offsetSize}`;
    const table = this.abbrevTables.get(
      key,
      () => new AbbrevTable(this.sections.get('debug_abbrev'), header.abbrevOffset, header.encoding),
    );
    return new Unit(header, this.sections, table);
  }

  private tryUnit(section: DebugSection | null, offset: number): Unit | null {
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

  private readAranges(): IntervalIndex {
    this.aranges ??= new IntervalIndex(this.code.keepCode(this.attempt(() => decodeAddressRanges(this.sections)) ?? []));
    return this.aranges;
  }

  private readRoots(): IntervalIndex {
    if (this.roots !== null) return this.roots;
    const triples: number[] = [];
    for (const unit of this.allUnits())
      this.attempt(() => {
        appendRootRanges(unit, triples);
      });
    this.roots = new IntervalIndex(this.code.keepCode(triples));
    return this.roots;
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

function candidates(index: IntervalIndex, address: number): number[] {
  const positions: number[] = [];
  index.visit(address, (position) => positions.push(position));
  if (positions.length < 2) return positions.map((position) => index.values[position]!);
  const size = (position: number): number => index.ends[position]! - index.starts[position]!;
  positions.sort((a, b) => size(a) - size(b) || a - b);
  return positions.map((position) => index.values[position]!);
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

function readNames({ unit, entry }: Die): { linkage: string | null; plain: string | null; origin: Reference | null } {
  const names = { linkage: null as string | null, plain: null as string | null, origin: null as Reference | null };
  const cursor = attributesOf({ unit, entry });
  visitAttributes(cursor, entry.abbrev, unit.encoding, ({ name, form }) => {
    if (name === AT.linkage_name || name === AT.MIPS_linkage_name) names.linkage = readString(cursor, form, unit);
    else if (name === AT.name) names.plain = readString(cursor, form, unit);
    else if (name === AT.abstract_origin || name === AT.specification) {
      names.origin = readReference(cursor, form, unit.encoding);
    }
  });
  return names;
}
