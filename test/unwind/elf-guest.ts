// A guest made of an ELF file and pieces of memory: what unwinder tests walk over.

import type { ElfFile } from '../../src/elf/file.ts';
import { readSymbolTable } from '../../src/elf/symtab.ts';
import type { Symbolizer } from '../../src/model/symbolizer.ts';
import type { Memory } from '../../src/model/target.ts';

/** Names and function offsets from the symbol table alone. */
export function symtabSymbolizer(elf: ElfFile, loadBias = 0n): Symbolizer {
  const symbols = readSymbolTable(elf);
  return {
    images: [],
    symbolize: (address, options = {}) => {
      const symbol = symbols.findByAddress(address - loadBias - (options.isReturnAddress === true ? 1n : 0n));
      return [
        {
          function: symbol?.name ?? null,
          functionOffset: symbol === null ? null : Number(address - loadBias - symbol.address),
          file: null,
          line: null,
          column: null,
          inlined: false,
          module: 'guest',
          status: symbol === null ? 'no-symbol' : 'symbolicated',
        },
      ];
    },
    findSymbol: (name) => {
      const symbol = symbols.findByName(name);
      return symbol === null ? null : { address: symbol.address + loadBias, size: symbol.size };
    },
    findCode: () => null,
  };
}

/** Knows no address. */
export const symbolizerOfNothing: Symbolizer = {
  images: [],
  symbolize: () => [
    {
      ...{ function: null, functionOffset: null, file: null, line: null, column: null, inlined: false },
      ...{ module: null, status: 'no-image' },
    },
  ],
  findSymbol: () => null,
  findCode: () => null,
};

/** A piece of memory. */
export interface Piece {
  readonly start: bigint;
  readonly bytes: Uint8Array;
}

/** Memory that is made of `pieces` where those lie and the file's segments elsewhere. */
export function memoryOf(elf: ElfFile, pieces: readonly Piece[]): Memory {
  return {
    read: (address, length) => {
      for (const { start, bytes } of pieces) {
        const offset = Number(address - start);
        if (offset >= 0 && offset + length <= bytes.length) return bytes.subarray(offset, offset + length);
      }
      return elf.readVirtual(address, length);
    },
  };
}
