// The entries of a symbol table (gABI chapter 4, "Symbol Table") decoded into typed arrays: those that have an address and a name.

import { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import * as elf from './constants.ts';
import type { ElfFile, ElfSection } from './file.ts';
import { readSectionIndices, SYMBOL_SIZE } from './symbol-entry.ts';

/** Set in `kinds` for symbols that no address may be named after: absolute, thread-local, compiler labels. */
export const UNNAMEABLE = 0x100;

/** Symbols in table order, an element each; undefined, section, file and mapping symbols are left out. */
export interface SymbolEntries {
  readonly count: number;
  /** Link address minus the file's origin. */
  readonly offsets: Float64Array;
  readonly sizes: Float64Array;
  readonly nameOffsets: Uint32Array;
  readonly sections: Uint32Array;
  /** st_info, with UNNAMEABLE. */
  readonly kinds: Uint16Array;
  /** The symbol's number in the table, which .gnu.version goes by. */
  readonly numbers: Uint32Array;
  /** Exact addresses of those further than 2^53 from the origin (a kernel's per-CPU data at 0), by element. */
  readonly farAddresses: ReadonlyMap<number, bigint>;
  readonly names: Uint8Array;
}

/** Decodes the table in `section`. Throws ELF_TRUNCATED, ELF_MALFORMED. */
export function readSymbolEntries(file: ElfFile, section: ElfSection): SymbolEntries {
  const strings = file.sections[section.link];
  if (strings?.type !== elf.SHT_STRTAB) {
    throw new UnidbgError(
      'ELF_MALFORMED',
      `section ${section.name} of ${file.path} names section ${section.link} as its strings`,
      { facts: { path: file.path, link: section.link } },
    );
  }
  return decodeEntries(file, section, file.readSection(strings));
}

function decodeEntries(file: ElfFile, section: ElfSection, names: Uint8Array): SymbolEntries {
  const entrySize = SYMBOL_SIZE[file.bits];
  const bytes = file.readSection(section);
  const cursor = new Cursor(bytes, { littleEndian: file.littleEndian });
  const total = Math.floor(bytes.length / entrySize);
  const readAddress = addressReader(file);
  const indexOf = readSectionIndices(file, section.index);
  const sectionStarts = file.type === 'rel' ? Float64Array.from(file.sections, ({ address }) => Number(address)) : null;
  const offsets = new Float64Array(total);
  const sizes = new Float64Array(total);
  const nameOffsets = new Uint32Array(total);
  const sections = new Uint32Array(total);
  const kinds = new Uint16Array(total);
  const numbers = new Uint32Array(total);
  const farAddresses = new Map<number, bigint>();
  const is32 = file.bits === 32;
  let count = 0;
  for (let number = 1; number < total; number += 1) {
    const at = number * entrySize;
    cursor.seek(at);
    const nameOffset = cursor.u32();
    cursor.seek(is32 ? at + 12 : at + 4);
    const info = cursor.u8();
    cursor.skip(1);
    const shortIndex = cursor.u16();
    if (!isKept(info & 0xf, shortIndex, names, nameOffset)) continue;
    cursor.seek(is32 ? at + 4 : at + 8);
    let offset = readAddress(cursor);
    const size = is32 ? cursor.u32() : cursor.u64Number();
    const type = info & 0xf;
    const sectionIndex = shortIndex === elf.SHN_XINDEX ? indexOf(number) : shortIndex;
    // In a relocatable file a value counts from the start of its section; a thread-local one is an offset everywhere.
    if (sectionStarts !== null && type !== elf.STT_TLS && shortIndex !== elf.SHN_ABS) offset += sectionStarts[sectionIndex] ?? 0;
    if (!Number.isSafeInteger(offset)) {
      cursor.seek(is32 ? at + 4 : at + 8);
      farAddresses.set(count, is32 ? BigInt(cursor.u32()) : cursor.u64());
    }
    offsets[count] = offset;
    sizes[count] = Number.isFinite(size) ? size : 0;
    nameOffsets[count] = nameOffset;
    sections[count] = sectionIndex;
    kinds[count] = info | (isNameable(type, shortIndex, names, nameOffset) ? 0 : UNNAMEABLE);
    numbers[count] = number;
    count += 1;
  }
  return { count, offsets, sizes, nameOffsets, sections, kinds, numbers, farAddresses, names };
}

/** Reads an address as an offset from the file's origin, in two halves: exact where it is near, with no bigint. */
function addressReader(file: ElfFile): (cursor: Cursor) => number {
  const high = Number(file.origin >> 32n);
  const low = Number(file.origin & 0xffff_ffffn);
  if (file.bits === 32) return (cursor) => cursor.u32() - low;
  return (cursor) => {
    const first = cursor.u32();
    const second = cursor.u32();
    return file.littleEndian ? (second - high) * 0x1_0000_0000 + (first - low) : (first - high) * 0x1_0000_0000 + (second - low);
  };
}

function isKept(type: number, sectionIndex: number, names: Uint8Array, nameOffset: number): boolean {
  if (type === elf.STT_SECTION || type === elf.STT_FILE || sectionIndex === elf.SHN_UNDEF) return false;
  return nameOffset < names.length && names[nameOffset] !== 0 && !isMappingSymbol(names, nameOffset);
}

/** `$x`, `$d`, `$a`, `$t`, alone or before a dot or an ISA string: marks of the ARM and RISC-V ABIs, not names. */
function isMappingSymbol(names: Uint8Array, at: number): boolean {
  if (names[at] !== 0x24 || !'xdat'.includes(String.fromCharCode(names[at + 1] ?? 0))) return false;
  const next = String.fromCharCode(names[at + 2] ?? 0);
  return next === '\0' || next === '.' || (names[at + 1] === 0x78 && next === 'r');
}

function isNameable(type: number, sectionIndex: number, names: Uint8Array, nameOffset: number): boolean {
  const absolute = sectionIndex === elf.SHN_ABS || sectionIndex === elf.SHN_COMMON;
  const compilerLabel = names[nameOffset] === 0x2e && names[nameOffset + 1] === 0x4c;
  return !absolute && !compilerLabel && type !== elf.STT_TLS;
}
