// The index of a DWARF package (.debug_cu_index and .debug_tu_index; DWARF 5 section 7.3.5, version 2 is GNU's for DWARF 4):
// which part of each section of IMAGE.dwp is of which split unit.

import { Cursor } from '../bytes/cursor.ts';
import type { ElfFile } from '../elf/file.ts';
import { type DebugSectionName, dwarfErrors, malformed, type SectionWindow } from './section.ts';

/** A unit's parts of the package's sections. */
export type Contribution = ReadonlyMap<DebugSectionName, SectionWindow>;

/** DW_SECT_* (DWARF 5 table 7.1, and GNU's of version 2). */
const SECTIONS: Readonly<Record<number, Readonly<Record<number, DebugSectionName>>>> = {
  2: { 1: 'debug_info', 2: 'debug_types', 3: 'debug_abbrev', 4: 'debug_line', 5: 'debug_loc', 6: 'debug_str_offsets' },
  5: { 1: 'debug_info', 3: 'debug_abbrev', 4: 'debug_line', 5: 'debug_loclists', 6: 'debug_str_offsets', 8: 'debug_rnglists' },
};
const MAX_COLUMNS = 16;

/** One index: a hash table from dwo ids (or type signatures) to rows. */
export class PackageIndex {
  private readonly bytes: Uint8Array;
  private readonly littleEndian: boolean;
  private readonly name: string;
  private readonly columns: readonly (DebugSectionName | undefined)[];
  private readonly units: number;
  private readonly slots: number;

  private constructor(bytes: Uint8Array, file: ElfFile, name: string) {
    this.bytes = bytes;
    this.littleEndian = file.littleEndian;
    this.name = `${name} of ${file.path}`;
    const cursor = this.cursor(0);
    const version = cursor.u16() === 5 ? 5 : 2;
    cursor.seek(0);
    const sections = SECTIONS[version === 5 ? 5 : cursor.u32()];
    if (sections === undefined) throw malformed(this.name, 'its version is none of 2 and 5');
    cursor.seek(4);
    const columns = cursor.u32();
    this.units = cursor.u32();
    this.slots = cursor.u32();
    if (columns > MAX_COLUMNS || (this.slots & (this.slots - 1)) !== 0) {
      throw malformed(this.name, `${columns} columns, ${this.slots} slots`);
    }
    cursor.seek(HEADER + this.slots * 12);
    this.columns = Array.from({ length: columns }, () => sections[cursor.u32()]);
  }

  /** Opens the index in section `name`, null without one. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
  static open(file: ElfFile, name: '.debug_cu_index' | '.debug_tu_index'): PackageIndex | null {
    const section = file.findSection(name);
    return section === null ? null : dwarfErrors(name, () => new PackageIndex(file.readSection(section), file, name));
  }

  /** The parts of the unit with that id, null when the package has none. Throws DWARF_TRUNCATED, DWARF_MALFORMED. */
  find(id: bigint): Contribution | null {
    return dwarfErrors(this.name, () => {
      const row = this.findRow(id);
      return row === 0 ? null : this.contribution(row - 1);
    });
  }

  /** The row, counted from 1; 0 without one. Open addressing with a second hash as the step. */
  private findRow(id: bigint): number {
    const mask = BigInt(this.slots - 1);
    let slot = Number(id & mask);
    const step = Number((id >> 32n) & mask) | 1;
    for (let tries = 0; tries < this.slots; tries += 1) {
      const row = this.cursor(HEADER + this.slots * 8 + slot * 4).u32();
      if (row === 0) return 0;
      if (this.cursor(HEADER + slot * 8).u64() === id) return row <= this.units ? row : 0;
      slot = (slot + step) % this.slots;
    }
    return 0;
  }

  private contribution(row: number): Contribution {
    const width = this.columns.length * 4;
    const offsets = this.cursor(HEADER + this.slots * 12 + width + row * width);
    const sizes = this.cursor(HEADER + this.slots * 12 + width + (this.units + row) * width);
    const parts = new Map<DebugSectionName, SectionWindow>();
    for (const name of this.columns) {
      const window = { offset: offsets.u32(), size: sizes.u32() };
      if (name !== undefined) parts.set(name, window);
    }
    return parts;
  }

  private cursor(offset: number): Cursor {
    return new Cursor(this.bytes, { littleEndian: this.littleEndian, offset });
  }
}

/** Version, number of columns, of units, of slots. */
const HEADER = 16;
