// The symbol tables of an image and its debug file as one: whichever .symtab is the fuller, else .dynsym with the packed
// mini symbols (.gnu_debugdata), which leave out what .dynsym has.

import { SHT_SYMTAB } from '../elf/constants.ts';
import { openMiniSymbols } from '../elf/debug-links.ts';
import type { ElfFile } from '../elf/file.ts';
import { type ElfSymbol, findSymbolSection, readSymbolTable, type SymbolTable } from '../elf/symtab.ts';
import { UnidbgError } from '../model/error.ts';

/** A table, and what makes addresses in it addresses in the image. */
interface PlacedTable {
  readonly table: SymbolTable;
  readonly bias: bigint;
}

/** Symbols of an image, by address and by name. Addresses are the image's link addresses. */
export interface ImageSymbols {
  readonly findByAddress: (address: bigint) => ElfSymbol | null;
  readonly findByName: (name: string) => ElfSymbol | null;
}

/** Reads the tables; one that cannot be read is left out and told to `complain`. `debugBias` = image − debug link address. */
export function readImageSymbols(
  elf: ElfFile,
  debug: ElfFile,
  debugBias: bigint,
  complain: (error: UnidbgError) => void,
): ImageSymbols {
  const attempt = <T>(body: () => T | null): T | null => {
    try {
      return body();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      complain(error);
      return null;
    }
  };
  const fullest = symbolCount(debug) > symbolCount(elf) ? debug : elf;
  const files = [{ file: fullest, bias: fullest === debug ? debugBias : 0n }];
  if (findSymbolSection(fullest)?.type !== SHT_SYMTAB) {
    const mini = attempt(() => openMiniSymbols(elf));
    if (mini !== null) files.push({ file: mini, bias: 0n });
  }
  const tables = files.flatMap(({ file, bias }): PlacedTable[] => {
    const table = attempt(() => readSymbolTable(file));
    return table === null ? [] : [{ table, bias }];
  });
  return {
    findByAddress: (address) => best(tables, address),
    findByName: (name) => firstNamed(tables, name),
  };
}

/** Entries of the file's table; any .symtab counts for more than any .dynsym. */
function symbolCount(file: ElfFile): number {
  const section = findSymbolSection(file);
  return section === null ? -1 : section.size + (section.type === SHT_SYMTAB ? 2 ** 53 : 0);
}

/** The symbol that spans the address, else the one that begins nearest before it. */
function best(tables: readonly PlacedTable[], address: bigint): ElfSymbol | null {
  let found: ElfSymbol | null = null;
  for (const { table, bias } of tables) {
    const symbol = moved(table.findByAddress(address - bias), bias);
    if (symbol === null) continue;
    if (address < symbol.address + BigInt(symbol.size)) return symbol;
    if (found === null || symbol.address > found.address) found = symbol;
  }
  return found;
}

function firstNamed(tables: readonly PlacedTable[], name: string): ElfSymbol | null {
  for (const { table, bias } of tables) {
    const symbol = moved(table.findByName(name), bias);
    if (symbol !== null) return symbol;
  }
  return null;
}

function moved(symbol: ElfSymbol | null, bias: bigint): ElfSymbol | null {
  return symbol === null || bias === 0n ? symbol : { ...symbol, address: symbol.address + bias };
}
