// .debug_names (DWARF 5 section 6.1.1): one table for all units of a file (gdb, new lld), or one for each object file of clang's that
// a linker laid side by side. A hash table leads to a name, its entries say in which unit it is defined. What entries say beside that
// (where in the unit, under which parent) differs between producers and is left alone.

import type { Cursor } from '../bytes/cursor.ts';
import { IDX } from './constants.ts';
import { type Encoding, readConstant, readOffset, skipForm } from './forms.ts';
import { type DebugSection, type DebugSections, dwarfErrors, malformed } from './section.ts';
import { readInitialLength } from './unit-header.ts';
import { kindOfTag } from './unit-names.ts';
import { areUnits, type NameKind, spellingsOf, type UnitsByName } from './units-by-name.ts';

/** From a length to the augmentation: at most 12 + 2 + 2 + 7 · 4 bytes. */
const HEADER_SIZE = 44;
/** Attributes of an entry; the standard has five. */
const MAX_ATTRIBUTES = 64;

/** One table. Where its parts start in the section; sizes in entries. */
interface Table {
  readonly encoding: Encoding;
  /** Of units by number: compile units, then those type units that are in this file. */
  readonly starts: readonly number[];
  readonly unitCount: number;
  readonly buckets: number;
  readonly bucketCount: number;
  readonly hashes: number;
  readonly nameCount: number;
  readonly strings: number;
  readonly entries: number;
  readonly abbrevs: ReadonlyMap<number, IndexAbbrev>;
  readonly pool: number;
  readonly end: number;
}

interface IndexAbbrev {
  readonly tag: number;
  readonly attributes: readonly { readonly index: number; readonly form: number }[];
}

/** The tables of one file. */
export class DebugNames implements UnitsByName {
  readonly units: ReadonlySet<number>;
  private readonly section: DebugSection;
  private readonly strings: DebugSection;
  private readonly tables: readonly Table[];
  /** Hashes of a table's names, where it has none itself. */
  private readonly computed = new Map<Table, Uint32Array>();

  private constructor(section: DebugSection, strings: DebugSection, tables: readonly Table[]) {
    this.section = section;
    this.strings = strings;
    this.tables = tables;
    this.units = new Set(tables.flatMap(({ starts }) => starts.filter((start) => start >= 0)));
  }

  /** The tables of a file whose units are at `offsets`; null without any, or of another version. Throws DWARF_*. */
  static open(sections: DebugSections, offsets: Float64Array): DebugNames | null {
    const section = sections.find('debug_names');
    if (section === null) return null;
    return dwarfErrors('.debug_names', () => {
      const typesAreHere = sections.find('debug_types') === null;
      const tables: Table[] = [];
      for (let offset = 0; offset < section.size; ) {
        const table = decodeTable(section, offset, typesAreHere);
        if (table === null) return null;
        tables.push(table);
        offset = table.end;
      }
      const index = new DebugNames(section, sections.get('debug_str'), tables);
      if (!areUnits([...index.units], offsets)) throw malformed('.debug_names', 'it is of another file');
      return index;
    });
  }

  find(kind: NameKind, name: string): number[] {
    // The standard has the entry's own name; gdb before version 15 wrote the full one.
    const own = name.slice(name.lastIndexOf('::') + 1).replace(/^:/, '');
    const spellings = [...new Set([own, ...spellingsOf(name)])].map((spelling) => {
      const bytes = Buffer.from(spelling);
      return { bytes, hash: hashOf(bytes) };
    });
    return dwarfErrors('.debug_names', () => {
      const units: number[] = [];
      for (const table of this.tables) {
        for (const { bytes, hash } of spellings) {
          for (const at of this.namesOf(table, bytes, hash)) this.readEntries(table, at, kind, units);
        }
      }
      return units;
    });
  }

  /** Positions of that name in the table, from 0. */
  private *namesOf(table: Table, name: Uint8Array, hash: number): Generator<number> {
    const { bucketCount, buckets, hashes, nameCount } = table;
    if (bucketCount === 0) {
      const all = this.hashesOf(table);
      for (let at = all.indexOf(hash); at >= 0; at = all.indexOf(hash, at + 1)) if (this.isName(table, at, name)) yield at;
      return;
    }
    const bucket = hash % bucketCount;
    const first = this.wordAt(buckets + bucket * 4);
    if (first === 0) return;
    for (let at = first - 1; at < nameCount; at += 1) {
      const other = this.wordAt(hashes + at * 4);
      if (other % bucketCount !== bucket) return;
      if (other === hash && this.isName(table, at, name)) yield at;
    }
  }

  private hashesOf(table: Table): Uint32Array {
    const known = this.computed.get(table);
    if (known !== undefined) return known;
    const hashes = Uint32Array.from({ length: table.nameCount }, (_, at) => hashOf(this.nameAt(table, at)));
    this.computed.set(table, hashes);
    return hashes;
  }

  private isName(table: Table, at: number, name: Uint8Array): boolean {
    return Buffer.compare(this.nameAt(table, at), name) === 0;
  }

  private nameAt(table: Table, at: number): Uint8Array {
    return this.strings.stringBytes(this.offsetAt(table.strings, at, table.encoding));
  }

  private readEntries(table: Table, name: number, kind: NameKind, units: number[]): void {
    const start = table.pool + this.offsetAt(table.entries, name, table.encoding);
    if (start > table.end) throw malformed('.debug_names', 'the entries of a name are outside of its table');
    this.section.scan(start, (cursor) => {
      // Read again from the start when they do not end in what was read at once.
      const found: number[] = [];
      for (let code = cursor.uleb(); code !== 0; code = cursor.uleb()) {
        const abbrev = table.abbrevs.get(code);
        if (abbrev === undefined) throw malformed('.debug_names', `no abbreviation ${code}`, { code });
        const unit = readUnit(cursor, table, abbrev);
        if (unit >= 0 && kindOfTag(abbrev.tag) === kind) found.push(unit);
      }
      for (const unit of found) units.push(unit);
    });
  }

  private wordAt(offset: number): number {
    return this.section.cursor(offset, 4).u32();
  }

  private offsetAt(start: number, at: number, encoding: Encoding): number {
    return readOffset(this.section.cursor(start + at * encoding.offsetSize, encoding.offsetSize), encoding);
  }
}

/** Reads an entry's attributes and gives the offset of its unit, −1 for a type unit in another file. */
function readUnit(cursor: Cursor, { encoding, starts, unitCount }: Table, { attributes }: IndexAbbrev): number {
  let unit = -1;
  let typeUnit = -1;
  for (const { index, form } of attributes) {
    if (index === IDX.compile_unit) unit = readConstant(cursor, form, 0, encoding) ?? -1;
    else if (index === IDX.type_unit) typeUnit = readConstant(cursor, form, 0, encoding) ?? -1;
    else skipForm(cursor, form, encoding);
  }
  // A type unit in another file comes with the unit that this file has in its place, if with anything.
  if (typeUnit >= 0 && unitCount + typeUnit < starts.length) return starts[unitCount + typeUnit]!;
  if (typeUnit >= 0 && unit < 0) return -1;
  const number = unit < 0 && unitCount === 1 ? 0 : unit;
  if (!(number >= 0 && number < unitCount)) throw malformed('.debug_names', 'a name in a unit that it does not list');
  return starts[number]!;
}

/** Decodes the table at `offset`; null when it is of a version that is not read. */
function decodeTable(section: DebugSection, offset: number, typesAreHere: boolean): Table | null {
  const what = (): string => `.debug_names table at offset 0x${offset.toString(16)}`;
  const start = section.cursor(offset, Math.min(HEADER_SIZE, section.size - offset));
  const { length, offsetSize } = readInitialLength(start, what);
  const end = offset + start.offset + length;
  if (end > section.size) throw malformed(what(), `it ends at 0x${end.toString(16)}, behind the section`);
  const version = start.u16();
  if (version !== 5) return null;
  start.skip(2);
  const [unitCount, typeCount, foreignCount, bucketCount, nameCount] = [
    start.u32(),
    start.u32(),
    start.u32(),
    start.u32(),
    start.u32(),
  ];
  const abbrevSize = start.u32();
  const augmentationSize = start.u32();
  const encoding: Encoding = { version, addressSize: 8, offsetSize };
  const units = offset + start.offset + Math.ceil(augmentationSize / 4) * 4;
  const buckets = units + (unitCount + typeCount) * offsetSize + foreignCount * 8;
  const hashes = buckets + bucketCount * 4;
  const strings = hashes + (bucketCount === 0 ? 0 : nameCount * 4);
  const entries = strings + nameCount * offsetSize;
  const abbrevs = entries + nameCount * offsetSize;
  const pool = abbrevs + abbrevSize;
  if (pool > end) throw malformed(what(), `${unitCount} units and ${nameCount} names do not fit into it`);
  return {
    ...{ encoding, starts: readStarts(section, units, { unitCount, typeCount, encoding, typesAreHere }), unitCount },
    ...{ buckets, bucketCount, hashes, nameCount, strings, entries, pool, end },
    abbrevs: decodeAbbrevs(section.cursor(abbrevs, abbrevSize)),
  };
}

function readStarts(
  section: DebugSection,
  offset: number,
  lists: { unitCount: number; typeCount: number; encoding: Encoding; typesAreHere: boolean },
): number[] {
  const { unitCount, typeCount, encoding, typesAreHere } = lists;
  const count = unitCount + typeCount;
  const cursor = section.cursor(offset, count * encoding.offsetSize);
  return Array.from({ length: count }, (_, number) => {
    const start = readOffset(cursor, encoding);
    return number < unitCount || typesAreHere ? start : -1;
  });
}

function decodeAbbrevs(cursor: Cursor): ReadonlyMap<number, IndexAbbrev> {
  const abbrevs = new Map<number, IndexAbbrev>();
  while (!cursor.atEnd) {
    const code = cursor.uleb();
    if (code === 0) break;
    const tag = cursor.uleb();
    const attributes: { index: number; form: number }[] = [];
    for (;;) {
      const index = cursor.uleb();
      const form = cursor.uleb();
      if (index === 0 && form === 0) break;
      if (attributes.length >= MAX_ATTRIBUTES) throw malformed('.debug_names', `more than ${MAX_ATTRIBUTES} attributes in one`);
      attributes.push({ index, form });
    }
    if (!abbrevs.has(code)) abbrevs.set(code, { tag, attributes });
  }
  return abbrevs;
}

/** Bernstein's hash of a name in ASCII, case folded (7.33). */
function hashOf(name: Uint8Array): number {
  let hash = 5381;
  for (const byte of name) hash = (Math.imul(hash, 33) + (byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte)) >>> 0;
  return hash;
}
