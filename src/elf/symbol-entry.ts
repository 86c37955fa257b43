// What the readers of symbol tables share: the size of an entry, and section numbers that do not fit one (SHT_SYMTAB_SHNDX).

import * as elf from './constants.ts';
import type { ElfSection } from './header.ts';

/** What readers of tables need of the file they are in. */
export interface SectionReader {
  readonly bits: 32 | 64;
  readonly littleEndian: boolean;
  readonly sections: readonly ElfSection[];
  readSectionAt(section: ElfSection, offset: number, length: number): Uint8Array;
}

/** Bytes of an Elf32_Sym and an Elf64_Sym. */
export const SYMBOL_SIZE = { 32: 16, 64: 24 } as const;

/**
 * The section numbers of those symbols of the table in section `tableIndex` whose `st_shndx` is SHN_XINDEX, by symbol number; 0
 * (undefined) where the file does not say. Throws ELF_TRUNCATED.
 */
export function readSectionIndices(file: SectionReader, tableIndex: number): (symbol: number) => number {
  const section = file.sections.find((s) => s.type === elf.SHT_SYMTAB_SHNDX && s.link === tableIndex);
  if (section === undefined) return () => elf.SHN_UNDEF;
  const bytes = file.readSectionAt(section, 0, section.size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return (symbol) => (symbol * 4 + 4 <= bytes.length ? view.getUint32(symbol * 4, file.littleEndian) : elf.SHN_UNDEF);
}
