// .gdb_index, versions 7 to 9 ("Index Section Format" in gdb's manual): written by gdb-add-index, gold and lld. Lists of units, an
// address area, and a hash table from names to the units that define them. Always little-endian: that of a big-endian file is not read.

import type { Cursor } from '../bytes/cursor.ts';
import { type DebugSection, type DebugSections, dwarfErrors, malformed, readAddressOffset } from './section.ts';
import { areUnits, type NameKind, spellingsOf, type UnitsByName } from './units-by-name.ts';

const UNIT_SIZE = 16;
const TYPE_UNIT_SIZE = 24;
const RANGE_SIZE = 20;
const SLOT_SIZE = 8;
/** Bits 0 to 23 of an entry are the unit's number, 28 to 30 the kind of symbol: 3 are functions. */
const UNIT_MASK = 0xff_ffff;
const KIND_SHIFT = 28;
const FUNCTION = 3;

/** Where its parts start. */
interface Parts {
  readonly units: number;
  readonly typeUnits: number;
  readonly addresses: number;
  readonly symbols: number;
  readonly symbolsEnd: number;
  readonly pool: number;
}

/** The index of one file. */
export class GdbIndex implements UnitsByName {
  private readonly section: DebugSection;
  private readonly sections: DebugSections;
  private readonly parts: Parts;
  /** Units by number; those of .debug_types are −1. */
  private readonly starts: Float64Array;
  private readonly slots: Uint32Array;
  private named: ReadonlySet<number> | null = null;

  private constructor(section: DebugSection, sections: DebugSections, parts: Parts) {
    this.section = section;
    this.sections = sections;
    this.parts = parts;
    this.starts = this.readUnits();
    this.slots = readWords(section, parts.symbols, (parts.symbolsEnd - parts.symbols) / 4);
  }

  /** The index of a file whose units are at `offsets`; null without one, or of a version that is not read. Throws DWARF_*. */
  static open(sections: DebugSections, offsets: Float64Array): GdbIndex | null {
    const section = sections.find('gdb_index');
    if (section === null) return null;
    return dwarfErrors('.gdb_index', () => {
      const parts = readParts(section.cursor(0, Math.min(28, section.size)), section.size);
      if (parts === null) return null;
      const index = new GdbIndex(section, sections, parts);
      if (
        !areUnits(
          index.starts.filter((start) => start >= 0),
          offsets,
        )
      )
        throw malformed('.gdb_index', 'it is of another file');
      return index;
    });
  }

  /** Units that some name is defined in. Linkers list units of which they know no names (compiled without -ggnu-pubnames) too. */
  get units(): ReadonlySet<number> {
    this.named ??= dwarfErrors('.gdb_index', () => this.readNamedUnits());
    return this.named;
  }

  find(_kind: NameKind, name: string): number[] {
    return dwarfErrors('.gdb_index', () => {
      // gdb separates the namespaces of some languages by dots.
      const names = name.includes('::') ? [...spellingsOf(name), name.replaceAll('::', '.')] : spellingsOf(name);
      return names.flatMap((spelling) => {
        const vector = this.findVector(Buffer.from(spelling));
        return vector < 0 ? [] : this.unitsIn(vector);
      });
    });
  }

  /** Where the code of units is: start, end (offsets from the image's origin), unit, … Throws DWARF_*. */
  readAddresses(): number[] {
    const { parts, section, sections, starts } = this;
    return dwarfErrors('.gdb_index', () => {
      const triples: number[] = [];
      const cursor = section.cursor(parts.addresses, parts.symbols - parts.addresses);
      while (cursor.remaining >= RANGE_SIZE) {
        const low = readAddressOffset(cursor, 8, sections.origin);
        const high = readAddressOffset(cursor, 8, sections.origin);
        const unit = starts[cursor.u32()];
        if (unit === undefined) throw malformed('.gdb_index', 'an address range of a unit that it does not list');
        if (unit >= 0 && high > low) triples.push(low, high, unit);
      }
      return triples;
    });
  }

  private readUnits(): Float64Array {
    const { parts, section, sections } = this;
    const cursor = section.cursor(parts.units, parts.addresses - parts.units);
    const starts: number[] = [];
    while (starts.length * UNIT_SIZE < parts.typeUnits - parts.units) {
      starts.push(cursor.u64Number());
      cursor.skip(8);
    }
    const inTypes = sections.find('debug_types') !== null;
    while (cursor.remaining >= TYPE_UNIT_SIZE) {
      const start = cursor.u64Number();
      starts.push(inTypes ? -1 : start);
      cursor.skip(16);
    }
    return Float64Array.from(starts);
  }

  private readNamedUnits(): ReadonlySet<number> {
    const { slots, starts } = this;
    const isNamed = new Uint8Array(starts.length);
    // Names that are defined in the same units share a vector. Vectors that overlap are a hostile file's.
    const seen = new Set<number>();
    let left = this.section.size / 4;
    for (let slot = 0; slot < slots.length; slot += 2) {
      const vector = slots[slot + 1]!;
      if ((slots[slot] === 0 && vector === 0) || seen.has(vector)) continue;
      seen.add(vector);
      const entries = this.vectorAt(vector);
      left -= entries.length;
      if (left < 0) throw malformed('.gdb_index', 'its lists of units overlap');
      for (const entry of entries) isNamed[entry & UNIT_MASK] = 1;
    }
    return new Set(starts.filter((start, number) => start >= 0 && isNamed[number] === 1));
  }

  /** The open-addressed table of the manual: the second hash is the step. −1 without that name. */
  private findVector(name: Uint8Array): number {
    const { slots } = this;
    const mask = slots.length / 2 - 1;
    const hash = hashOf(name);
    const step = (Math.imul(hash, 17) & mask) | 1;
    for (let slot = hash & mask, tried = 0; tried <= mask; slot = (slot + step) & mask, tried += 1) {
      const [at, vector] = [slots[slot * 2]!, slots[slot * 2 + 1]!];
      if (at === 0 && vector === 0) return -1;
      if (this.isNameAt(at, name)) return vector;
    }
    return -1;
  }

  private isNameAt(offset: number, name: Uint8Array): boolean {
    const { parts, section } = this;
    const at = parts.pool + offset;
    if (at + name.length + 1 > section.size) return false;
    const bytes = section.slice(at, name.length + 1);
    return bytes[name.length] === 0 && name.every((byte, index) => byte === bytes[index]);
  }

  private unitsIn(vector: number): number[] {
    const units: number[] = [];
    for (const entry of this.vectorAt(vector)) {
      const unit = this.starts[entry & UNIT_MASK];
      if (unit === undefined) throw malformed('.gdb_index', 'a name in a unit that it does not list');
      if (unit >= 0 && ((entry >>> KIND_SHIFT) & 7) !== FUNCTION) units.push(unit);
    }
    return units;
  }

  private vectorAt(offset: number): Uint32Array {
    const { parts, section } = this;
    const at = parts.pool + offset;
    const [count] = readWords(section, at, 1);
    return readWords(section, at + 4, count!);
  }
}

function readParts(cursor: Cursor, size: number): Parts | null {
  const version = cursor.u32();
  // Older ones lack the kinds of symbols; a later one may mean anything.
  if (version < 7 || version > 9) return null;
  const [units, typeUnits, addresses, symbols] = [cursor.u32(), cursor.u32(), cursor.u32(), cursor.u32()];
  // Version 9 has the name of main between the symbols and the pool.
  const symbolsEnd = cursor.u32();
  const pool = version >= 9 ? cursor.u32() : symbolsEnd;
  const bounds = [cursor.offset, units, typeUnits, addresses, symbols, symbolsEnd, pool, size];
  const slots = (symbolsEnd - symbols) / SLOT_SIZE;
  const isOrdered = bounds.every((bound, index) => index === 0 || bounds[index - 1]! <= bound);
  if (!isOrdered || (typeUnits - units) % UNIT_SIZE !== 0 || !Number.isInteger(slots) || (slots & (slots - 1)) !== 0) {
    throw malformed('.gdb_index', `its parts are at ${bounds.slice(1).join(', ')}`);
  }
  return { units, typeUnits, addresses, symbols, symbolsEnd, pool };
}

function readWords(section: DebugSection, offset: number, count: number): Uint32Array {
  const cursor = section.cursor(offset, count * 4);
  const words = new Uint32Array(count);
  for (let at = 0; at < count; at += 1) words[at] = cursor.u32();
  return words;
}

/** Of a name in ASCII; case does not matter. */
function hashOf(name: Uint8Array): number {
  let hash = 0;
  for (const byte of name) hash = (Math.imul(hash, 67) + (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte) - 113) | 0;
  return hash;
}
