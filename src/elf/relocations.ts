// Relocations of a relocatable file's sections (gABI chapter 4, "Relocation"), applied to what is read of them when it is read.
// A table is passed over once for the places where each page's entries begin, and is otherwise read by position: an `ld -r`
// kernel has ten million entries. Linked files keep tables too (--emit-relocs); there the linker has applied them already.

import { Cursor } from '../bytes/cursor.ts';
import type { Machine } from '../model/machine.ts';
import * as elf from './constants.ts';
import type { ElfSection } from './header.ts';
import { type RelocationSymbols, readRelocationSymbols } from './relocation-symbols.ts';
import { findRelocationType, type RelocationType } from './relocation-types.ts';
import type { SectionReader } from './symbol-entry.ts';

/** A field may begin this many bytes before what is read, or end as many behind it: the longest is a ULEB128 of 64 bits. */
export const FIELD_REACH = 10;
/** Entries are indexed by this many bytes of the section they apply to. */
const PAGE = 4096;
const CHUNK_ENTRIES = 64 * 1024;

/** The relocation tables of the file, per index of the section they apply to. Code is left alone. */
export function findRelocationTables(sections: readonly ElfSection[]): ReadonlyMap<number, readonly ElfSection[]> {
  const tables = new Map<number, ElfSection[]>();
  for (const table of sections) {
    if (table.type !== elf.SHT_RELA && table.type !== elf.SHT_REL) continue;
    const target = sections[table.info];
    if (target === undefined || UNRELOCATED.has(target.type) || (target.flags & elf.SHF_EXECINSTR) !== 0) continue;
    const known = tables.get(table.info);
    if (known === undefined) tables.set(table.info, [table]);
    else known.push(table);
  }
  return tables;
}

/** Tables that relocations are read with are never relocated themselves. */
const UNRELOCATED = new Set([elf.SHT_REL, elf.SHT_RELA, elf.SHT_SYMTAB, elf.SHT_DYNSYM, elf.SHT_SYMTAB_SHNDX, elf.SHT_NOBITS]);

/** One relocation table. */
export class Relocations {
  /** Types met that no debug section should have; their fields are left as they are. */
  readonly unknownTypes = new Set<number>();
  private readonly file: SectionReader;
  private readonly machine: Machine;
  private readonly table: ElfSection;
  private readonly target: ElfSection;
  private readonly entrySize: number;
  private readonly count: number;
  /** Of each page of the target section, the position in `order` of its first entry; one more for the end. */
  private readonly firstOfPage: Uint32Array;
  /** Entries by place; null when the table lies sorted, as assemblers and linkers write it. */
  private readonly order: Uint32Array | null;
  private readonly symbols: RelocationSymbols;

  /** `targetSize` is the section's size as it is read (unpacked). Throws ELF_TRUNCATED, ELF_MALFORMED. */
  constructor(file: SectionReader, machine: Machine, table: ElfSection, targetSize: number) {
    this.file = file;
    this.machine = machine;
    this.table = table;
    this.target = file.sections[table.info]!;
    this.entrySize = (file.bits / 8) * (table.type === elf.SHT_RELA ? 3 : 2);
    this.count = table.size < 2 ** 32 * this.entrySize ? Math.floor(table.size / this.entrySize) : 0;
    this.symbols = readRelocationSymbols(file, table.link);
    this.firstOfPage = new Uint32Array(Math.ceil(targetSize / PAGE) + 1);
    this.order = this.index();
  }

  /** Relocates `bytes`, which are the target section's from `start` on; fields that are not wholly inside are left alone. */
  apply(bytes: Uint8Array, start: number): void {
    const { firstOfPage, file } = this;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const firstPage = Math.min(Math.floor(start / PAGE), firstOfPage.length - 1);
    const endPage = Math.min(Math.ceil((start + bytes.length) / PAGE), firstOfPage.length - 1);
    const end = firstOfPage[endPage]!;
    for (let at = firstOfPage[firstPage]!; at < end; at += CHUNK_ENTRIES) {
      const many = Math.min(CHUNK_ENTRIES, end - at);
      const entries = this.order === null ? this.entries(at, many) : null;
      for (let index = 0; index < many; index += 1) {
        const cursor = entries ?? this.entries(this.order![at + index]!, 1);
        if (entries !== null) cursor.seek(index * this.entrySize);
        this.applyEntry(cursor, view, start, file.littleEndian);
      }
    }
  }

  private applyEntry(cursor: Cursor, view: DataView, start: number, littleEndian: boolean): void {
    const wide = this.file.bits === 64;
    const place = (wide ? cursor.u64Number() : cursor.u32()) - start;
    if (!(place >= 0 && place < view.byteLength)) return;
    const [symbol, number] = wide ? infoOf64(cursor) : infoOf32(cursor.u32());
    const type = findRelocationType(this.machine, number);
    if (type === undefined) this.unknownTypes.add(number);
    if (type == null || place + Math.max(type.width, 1) > view.byteLength) return;
    const value = this.symbols.valueOf(symbol);
    if (value === null) return;
    const isRela = this.table.type === elf.SHT_RELA;
    let addend = 0n;
    if (isRela) addend = wide ? cursor.i64() : BigInt(cursor.i32());
    else if (type.action === 'set' || type.action === 'pc') addend = readField(view, place, type, littleEndian);
    let result = value + addend;
    if (type.action === 'pc') result -= this.target.address + BigInt(place + start);
    if (type.action === 'add') result = readField(view, place, type, littleEndian) + result;
    if (type.action === 'subtract') result = readField(view, place, type, littleEndian) - result;
    writeField(view, place, type, littleEndian, result);
  }

  private entries(first: number, count: number): Cursor {
    const bytes = this.file.readSectionAt(this.table, first * this.entrySize, count * this.entrySize);
    return new Cursor(bytes, { littleEndian: this.file.littleEndian });
  }

  /** Fills `firstOfPage`; gives the entries' order where they do not lie sorted. */
  private index(): Uint32Array | null {
    const { firstOfPage } = this;
    const pages = firstOfPage.length - 1;
    let page = 0;
    let last = 0;
    const sorted = this.everyPlace((place, index) => {
      if (place < last) return false;
      last = place;
      for (const reached = Math.min(Math.floor(place / PAGE), pages); page < reached; ) firstOfPage[++page] = index;
      return true;
    });
    if (!sorted) return this.sort();
    while (page < pages) firstOfPage[++page] = this.count;
    return null;
  }

  private sort(): Uint32Array {
    const places = new Float64Array(this.count);
    this.everyPlace((place, index) => {
      places[index] = place;
      return true;
    });
    // In table order where places are equal: RISC-V sets a field, then subtracts from it.
    const order = Uint32Array.from(places, (_, index) => index).sort((a, b) => places[a]! - places[b]! || a - b);
    let at = 0;
    for (let page = 0; page < this.firstOfPage.length; page += 1) {
      while (at < order.length && places[order[at]!]! < page * PAGE) at += 1;
      this.firstOfPage[page] = at;
    }
    return order;
  }

  private everyPlace(visit: (place: number, index: number) => boolean): boolean {
    const wide = this.file.bits === 64;
    for (let first = 0; first < this.count; first += CHUNK_ENTRIES) {
      const many = Math.min(CHUNK_ENTRIES, this.count - first);
      const cursor = this.entries(first, many);
      for (let index = 0; index < many; index += 1) {
        cursor.seek(index * this.entrySize);
        // What no section reaches counts as far behind all of them.
        const place = Math.min(wide ? cursor.u64Number() : cursor.u32(), Number.MAX_SAFE_INTEGER);
        if (!visit(place, first + index)) return false;
      }
    }
    return true;
  }
}

function infoOf64(cursor: Cursor): [symbol: number, type: number] {
  const first = cursor.u32();
  const second = cursor.u32();
  return cursor.littleEndian ? [second, first] : [first, second];
}

function infoOf32(info: number): [symbol: number, type: number] {
  return [info >>> 8, info & 0xff];
}

function readField(view: DataView, at: number, type: RelocationType, littleEndian: boolean): bigint {
  if (type.width === 8) return view.getBigUint64(at, littleEndian);
  if (type.width === 4) return BigInt(view.getUint32(at, littleEndian));
  if (type.width === 2) return BigInt(view.getUint16(at, littleEndian));
  if (type.width === 1) return BigInt(view.getUint8(at) & (type.mask ?? 0xff));
  let value = 0n;
  for (let index = 0; index < FIELD_REACH && at + index < view.byteLength; index += 1) {
    const byte = view.getUint8(at + index);
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) break;
  }
  return value;
}

function writeField(view: DataView, at: number, type: RelocationType, littleEndian: boolean, value: bigint): void {
  if (type.width === 8) view.setBigUint64(at, BigInt.asUintN(64, value), littleEndian);
  else if (type.width === 4) view.setUint32(at, Number(BigInt.asUintN(32, value)), littleEndian);
  else if (type.width === 2) view.setUint16(at, Number(BigInt.asUintN(16, value)), littleEndian);
  else if (type.width === 1) writeByte(view, at, type.mask ?? 0xff, value);
  else writeUleb(view, at, value);
}

function writeByte(view: DataView, at: number, mask: number, value: bigint): void {
  view.setUint8(at, (view.getUint8(at) & ~mask) | (Number(BigInt.asUintN(8, value)) & mask));
}

/** Overwrites a ULEB128 with another of the same length. */
function writeUleb(view: DataView, at: number, value: bigint): void {
  let rest = BigInt.asUintN(64, value);
  for (let index = 0; index < FIELD_REACH && at + index < view.byteLength; index += 1) {
    const more = view.getUint8(at + index) & 0x80;
    view.setUint8(at + index, Number(rest & 0x7fn) | more);
    rest >>= 7n;
    if (more === 0) break;
  }
}
