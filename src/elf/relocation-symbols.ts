// The symbol values that relocations add (gABI chapter 4, "Symbol Values": in a relocatable file a value is an offset into the
// symbol's section), as typed arrays: a table of a hundred thousand symbols is asked a million times.

import { Cursor } from '../bytes/cursor.ts';
import * as elf from './constants.ts';
import type { ElfSection } from './header.ts';
import { readSectionIndices, type SectionReader, SYMBOL_SIZE } from './symbol-entry.ts';

/** Values of symbols by their number in the table. */
export interface RelocationSymbols {
  /** The link address of symbol `index` (a thread-local's offset); null when it is defined elsewhere. */
  valueOf(index: number): bigint | null;
}

const NO_SYMBOLS: RelocationSymbols = { valueOf: (index) => (index === 0 ? 0n : null) };

const cache = new WeakMap<ElfSection, RelocationSymbols>();

/** The symbols of section `index`; none when that is no symbol table. Throws ELF_TRUNCATED. */
export function readRelocationSymbols(file: SectionReader, index: number): RelocationSymbols {
  const section = file.sections[index];
  if (section === undefined || (section.type !== elf.SHT_SYMTAB && section.type !== elf.SHT_DYNSYM)) return NO_SYMBOLS;
  const known = cache.get(section) ?? decodeValues(file, section);
  cache.set(section, known);
  return known;
}

function decodeValues(file: SectionReader, section: ElfSection): RelocationSymbols {
  const entrySize = SYMBOL_SIZE[file.bits];
  const bytes = file.readSectionAt(section, 0, section.size);
  const count = Math.floor(bytes.length / entrySize);
  const cursor = new Cursor(bytes, { littleEndian: file.littleEndian });
  const far = readSectionIndices(file, section.index);
  const values = new BigUint64Array(count);
  const defined = new Uint8Array(count);
  // Symbol 0 stands for "no symbol": its value is 0.
  defined[0] = 1;
  for (let index = 1; index < count; index += 1) {
    cursor.seek(index * entrySize + 4);
    const early = file.bits === 32 ? BigInt(cursor.u32()) : null;
    if (early !== null) cursor.skip(4);
    const type = cursor.u8() & 0xf;
    cursor.skip(1);
    const shortIndex = cursor.u16();
    const value = early ?? cursor.u64();
    const sectionIndex = shortIndex === elf.SHN_XINDEX ? far(index) : shortIndex;
    if (sectionIndex === elf.SHN_UNDEF || shortIndex === elf.SHN_COMMON) continue;
    const place = shortIndex === elf.SHN_ABS || type === elf.STT_TLS ? undefined : file.sections[sectionIndex];
    values[index] = value + (place?.address ?? 0n);
    defined[index] = 1;
  }
  return { valueOf: (index) => (defined[index] === 1 ? values[index]! : null) };
}
