// .debug_aranges (DWARF 5 section 6.1.2): which unit covers which addresses, where the compiler wrote it.
// The first look-ups scan the tables as they lie in the file, since one address is often all that is asked; then they are
// indexed.

import { endianness } from 'node:os';
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
    const section = sections.find('debug_aranges');
    // Units of big-endian files are found by their root entries: no machine of ours is big-endian.
    this.section = section?.littleEndian === true ? section : null;
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
    const { words } = tables;
    const { high: originHigh, low: originLow } = this.origin;
    while (tables.next()) {
      const { end, addressSize } = tables;
      const step = addressSize >>> 1;
      const isWide = addressSize === 8;
      for (let at = tables.start; at < end; at += step) {
        const start = ((isWide ? words[at + 1]! : 0) - originHigh) * WORD + words[at]! - originLow;
        if (start > address) continue;
        const length = isWide ? words[at + 3]! * WORD + words[at + 2]! : words[at + 1]!;
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

  private collect({ words, start, end, addressSize, unit }: Tables, triples: number[]): void {
    const { high, low } = this.origin;
    const isWide = addressSize === 8;
    for (let at = start; at < end; at += addressSize >>> 1) {
      const from = ((isWide ? words[at + 1]! : 0) - high) * WORD + words[at]! - low;
      const length = isWide ? words[at + 3]! * WORD + words[at + 2]! : words[at + 1]!;
      if (length > 0 && this.code.isCode(from)) triples.push(from, from + length, unit);
    }
  }
}

const WORD = 0x1_0000_0000;

/**
 * Moves over the tables: one unit's tuples are at [start, end) of `words`, each an address and a length, low half first. All of
 * it is made of aligned 32-bit words, and reading words costs a fifth of reading by DataView while nothing is compiled yet.
 */
class Tables {
  readonly words: Uint32Array;
  start = 0;
  end = 0;
  addressSize = 8;
  unit = 0;
  private readonly section: DebugSection;
  /** In words, as `start` and `end`. */
  private offset = 0;

  constructor(section: DebugSection) {
    this.section = section;
    this.words = alignedWords(section);
  }

  /** False behind the last. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
  next(): boolean {
    const { words, offset } = this;
    if (offset >= words.length) return false;
    // In 64-bit DWARF the length and the unit's offset take eight bytes.
    const isLong = words[offset]! === 0xffff_ffff;
    const header = isLong ? 6 : 3;
    if (offset + header > words.length) throw this.truncated();
    const bytes = isLong ? words[offset + 2]! * WORD + words[offset + 1]! : words[offset]!;
    const next = offset + (isLong ? 3 : 1) + bytes / 4;
    if (next > words.length || next < offset + header) throw this.truncated();
    // Version, offset of the unit, sizes of addresses and of segments: 16, 32 (or 64), 8 and 8 bits.
    const at = offset + (isLong ? 3 : 1);
    const version = words[at]! & 0xffff;
    const last = words[at + (isLong ? 2 : 1)]!;
    const sizes = last >>> 16;
    this.unit = ((words[at]! >>> 16) | (words[at + 1]! << 16)) >>> 0;
    if (isLong) this.unit += ((words[at + 1]! >>> 16) | (last << 16)) * WORD;
    this.addressSize = sizes & 0xff;
    if (version !== 2 || sizes >>> 8 !== 0 || (this.addressSize !== 4 && this.addressSize !== 8) || next % 1 !== 0) {
      const why = `version ${version}, ${bytes} bytes, ${this.addressSize}-byte addresses, ${sizes >>> 8}-byte segments`;
      throw malformed(this.describe(), why);
    }
    const tuple = this.addressSize >>> 1;
    this.start = offset + Math.ceil(header / tuple) * tuple;
    this.end = this.start + Math.max(0, Math.floor((next - this.start) / tuple)) * tuple;
    this.offset = next;
    return true;
  }

  private describe(): string {
    return `.debug_aranges table at offset 0x${(this.offset * 4).toString(16)}`;
  }

  private truncated(): UnidbgError {
    const { size } = this.section;
    return new UnidbgError('DWARF_TRUNCATED', `${this.describe()} is longer than the section, which has ${size} bytes`, {
      facts: { offset: this.offset * 4, size },
    });
  }
}

function alignedWords(section: DebugSection): Uint32Array {
  const copy = Buffer.from(section.slice(0, section.size - (section.size % 4)));
  if (endianness() === 'BE') copy.swap32();
  return new Uint32Array(copy.buffer, copy.byteOffset, copy.length / 4);
}
