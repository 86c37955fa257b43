// .debug_aranges (DWARF 5 section 6.1.2): which unit covers which addresses, where the compiler wrote it.
// The first look-ups scan the tables as they lie in the file, since one address is often all that is asked; then they are
// indexed.

import type { CodeMap } from './code-map.ts';
import { IntervalIndex } from './intervals.ts';
import { type AddressOrigin, type DebugSection, type DebugSections, dwarfErrors, malformed } from './section.ts';
import { readInitialLength } from './unit.ts';

/** Look-ups that scan before an index is made: it costs about four of them. */
const SCANS = 4;
const NONE: ReadonlySet<number> = new Set();

/** The tables of one image. Addresses are offsets from its origin. */
export class AddressRanges {
  private readonly section: DebugSection | null;
  private readonly origin: AddressOrigin;
  private readonly code: CodeMap;
  private scans = 0;
  private index: IntervalIndex | null = null;
  private listed: ReadonlySet<number> = NONE;

  constructor(sections: DebugSections, code: CodeMap) {
    this.section = sections.find('debug_aranges');
    this.origin = sections.origin;
    this.code = code;
  }

  /** Offset of the unit that has the smallest range around `address`, −1 without one. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
  findUnit(address: number): number {
    if (this.section === null || !this.code.isCode(address)) return -1;
    if (this.index === null && this.scans < SCANS) {
      this.scans += 1;
      return this.scan(this.section, address);
    }
    const index = this.indexed();
    const at = index.findSmallest(address);
    return at < 0 ? -1 : index.values[at]!;
  }

  /** Offsets of all units with a range around `address`. Throws as `findUnit`. */
  findUnits(address: number): number[] {
    const index = this.indexed();
    return index.findAll(address).map((at) => index.values[at]!);
  }

  /** Offsets of the units that the tables speak of, those without code among them. Throws as `findUnit`. */
  get units(): ReadonlySet<number> {
    this.indexed();
    return this.listed;
  }

  private scan(section: DebugSection, address: number): number {
    let unit = -1;
    let size = Infinity;
    visitTables(section, (table) => {
      const { view, littleEndian, end } = table;
      const isWide = table.addressSize === 8;
      // Of eight bytes, where the low half is.
      const [low, high] = littleEndian ? [0, 4] : [4, 0];
      const tuple = table.addressSize * 2;
      for (let at = table.start; at + tuple <= end; at += tuple) {
        const top = isWide ? view.getUint32(at + high, littleEndian) : 0;
        const start = (top - this.origin.high) * WORD + view.getUint32(at + (isWide ? low : 0), littleEndian) - this.origin.low;
        if (start > address) continue;
        const length = isWide
          ? view.getUint32(at + 8 + high, littleEndian) * WORD + view.getUint32(at + 8 + low, littleEndian)
          : view.getUint32(at + 4, littleEndian);
        if (address >= start + length || length > size || !this.code.isCode(start)) continue;
        unit = table.unit;
        size = length;
      }
    });
    return unit;
  }

  private indexed(): IntervalIndex {
    if (this.index !== null) return this.index;
    const triples: number[] = [];
    const listed = new Set<number>();
    this.listed = listed;
    // Kept also when damage ends the reading: what came before it is good.
    this.index = new IntervalIndex([]);
    if (this.section === null) return this.index;
    try {
      visitTables(this.section, (table) => {
        listed.add(table.unit);
        this.collect(table, triples);
      });
    } finally {
      this.index = new IntervalIndex(triples);
    }
    return this.index;
  }

  private collect({ view, littleEndian, start, end, addressSize, unit }: Table, triples: number[]): void {
    const read = (at: number, origin: AddressOrigin): number => {
      if (addressSize === 4) return -origin.high * WORD + view.getUint32(at, littleEndian) - origin.low;
      const [low, high] = littleEndian ? [at, at + 4] : [at + 4, at];
      return (view.getUint32(high, littleEndian) - origin.high) * WORD + view.getUint32(low, littleEndian) - origin.low;
    };
    for (let at = start; at + addressSize * 2 <= end; at += addressSize * 2) {
      const from = read(at, this.origin);
      const length = read(at + addressSize, ZERO);
      if (length > 0 && this.code.isCode(from)) triples.push(from, from + length, unit);
    }
  }
}

const WORD = 0x1_0000_0000;
const ZERO: AddressOrigin = { high: 0, low: 0 };

/** One unit's tuples: [start, end) in `view`. */
interface Table {
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly start: number;
  readonly end: number;
  readonly addressSize: number;
  readonly unit: number;
}

function visitTables(section: DebugSection, visit: (table: Table) => void): void {
  dwarfErrors('.debug_aranges', () => {
    const cursor = section.cursor(0, section.size);
    const { bytes, littleEndian } = cursor;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (!cursor.atEnd) {
      const offset = cursor.offset;
      const what = (): string => `.debug_aranges table at offset 0x${offset.toString(16)}`;
      const { length, offsetSize } = readInitialLength(cursor, what);
      const end = cursor.offset + length;
      const version = cursor.u16();
      const unit = offsetSize === 8 ? cursor.u64Number() : cursor.u32();
      const addressSize = cursor.u8();
      const segmentSize = cursor.u8();
      if (version !== 2 || segmentSize !== 0 || (addressSize !== 4 && addressSize !== 8)) {
        throw malformed(what(), `version ${version}, ${addressSize}-byte addresses, ${segmentSize}-byte segments`);
      }
      const tuple = addressSize * 2;
      const start = offset + Math.ceil((cursor.offset - offset) / tuple) * tuple;
      cursor.seek(end);
      visit({ view, littleEndian, start, end, addressSize, unit });
    }
  });
}
