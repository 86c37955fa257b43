// .debug_aranges (DWARF 5 section 6.1.2): which unit covers which addresses, where the compiler wrote it.
// The first look-ups scan the tables as they lie in the file, since one address is often all that is asked; then they are
// indexed.

import { UnidbgError } from '../model/error.ts';
import type { CodeMap } from './code-map.ts';
import { IntervalIndex } from './intervals.ts';
import { type AddressOrigin, type DebugSection, type DebugSections, malformed } from './section.ts';

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
    return at < 0 ? -1 : index.valueAt(at);
  }

  /** Offsets of all units with a range around `address`. Throws as `findUnit`. */
  findUnits(address: number): number[] {
    const index = this.indexed();
    return index.findAll(address).map((at) => index.valueAt(at));
  }

  /** Offsets of the units that the tables speak of, those without code among them. Throws as `findUnit`. */
  get units(): ReadonlySet<number> {
    this.indexed();
    return this.listed;
  }

  private scan(section: DebugSection, address: number): number {
    let unit = -1;
    let size = Infinity;
    const tables = new Tables(section);
    const { view, littleEndian } = tables;
    const { high: originHigh, low: originLow } = this.origin;
    // Of eight bytes, where the low and the high half are.
    const [low, high] = littleEndian ? [0, 4] : [4, 0];
    while (tables.next()) {
      const { end, addressSize } = tables;
      for (let at = tables.start; at < end; at += addressSize * 2) {
        const isWide = addressSize === 8;
        const top = isWide ? view.getUint32(at + high, littleEndian) : 0;
        const start = (top - originHigh) * WORD + view.getUint32(isWide ? at + low : at, littleEndian) - originLow;
        if (start > address) continue;
        const length = isWide
          ? view.getUint32(at + 8 + high, littleEndian) * WORD + view.getUint32(at + 8 + low, littleEndian)
          : view.getUint32(at + 4, littleEndian);
        if (address >= start + length || length > size || !this.code.isCode(start)) continue;
        unit = tables.unit;
        size = length;
      }
    }
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
      const tables = new Tables(this.section);
      while (tables.next()) {
        listed.add(tables.unit);
        this.collect(tables, triples);
      }
    } finally {
      this.index = new IntervalIndex(triples);
    }
    return this.index;
  }

  private collect({ view, littleEndian, start, end, addressSize, unit }: Tables, triples: number[]): void {
    const read = (at: number, origin: AddressOrigin): number => {
      if (addressSize === 4) return -origin.high * WORD + view.getUint32(at, littleEndian) - origin.low;
      const [low, high] = littleEndian ? [at, at + 4] : [at + 4, at];
      return (view.getUint32(high, littleEndian) - origin.high) * WORD + view.getUint32(low, littleEndian) - origin.low;
    };
    for (let at = start; at < end; at += addressSize * 2) {
      const from = read(at, this.origin);
      const length = read(at + addressSize, ZERO);
      if (length > 0 && this.code.isCode(from)) triples.push(from, from + length, unit);
    }
  }
}

const WORD = 0x1_0000_0000;
const ZERO: AddressOrigin = { high: 0, low: 0 };

/** Moves over the tables: one unit's tuples are at [start, end) of `view`. */
class Tables {
  readonly view: DataView;
  readonly littleEndian: boolean;
  start = 0;
  end = 0;
  addressSize = 8;
  unit = 0;
  private offset = 0;
  private readonly size: number;

  constructor(section: DebugSection) {
    const bytes = section.slice(0, section.size);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.littleEndian = section.littleEndian;
    this.size = bytes.length;
  }

  /** False behind the last. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
  next(): boolean {
    const { view, littleEndian, offset, size } = this;
    if (offset === size) return false;
    if (offset + 12 > size) throw this.truncated();
    const short = view.getUint32(offset, littleEndian);
    // 64-bit DWARF has 8 more bytes of length and 4 more of offset.
    const isLong = short === 0xffff_ffff;
    const length = isLong && offset + 24 <= size ? this.longAt(offset + 4) : short;
    const body = isLong ? offset + 12 : offset + 4;
    const next = body + length;
    if (next > size || length < (isLong ? 12 : 8)) throw this.truncated();
    const version = view.getUint16(body, littleEndian);
    this.unit = isLong ? this.longAt(body + 2) : view.getUint32(body + 2, littleEndian);
    const sizes = isLong ? body + 10 : body + 6;
    this.addressSize = view.getUint8(sizes);
    const segmentSize = view.getUint8(sizes + 1);
    if (version !== 2 || segmentSize !== 0 || (this.addressSize !== 4 && this.addressSize !== 8)) {
      throw malformed(this.describe(), `version ${version}, ${this.addressSize}-byte addresses, ${segmentSize}-byte segments`);
    }
    const tuple = this.addressSize * 2;
    this.start = offset + Math.ceil((sizes + 2 - offset) / tuple) * tuple;
    this.end = this.start + Math.max(0, Math.floor((next - this.start) / tuple)) * tuple;
    this.offset = next;
    return true;
  }

  private longAt(at: number): number {
    const [low, high] = this.littleEndian ? [at, at + 4] : [at + 4, at];
    return this.view.getUint32(high, this.littleEndian) * WORD + this.view.getUint32(low, this.littleEndian);
  }

  private describe(): string {
    return `.debug_aranges table at offset 0x${this.offset.toString(16)}`;
  }

  private truncated(): UnidbgError {
    return new UnidbgError('DWARF_TRUNCATED', `${this.describe()} is longer than the section, which has ${this.size} bytes`, {
      facts: { offset: this.offset, size: this.size },
    });
  }
}
