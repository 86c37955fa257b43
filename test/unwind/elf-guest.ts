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

/** Memory that is `stack` where that lies and the file's segments elsewhere. */
export function memoryOf(elf: ElfFile, stack: { readonly start: bigint; readonly bytes: Uint8Array }): Memory {
  return {
    read: (address, length) => {
      const offset = Number(address - stack.start);
      if (offset >= 0 && offset + length <= stack.bytes.length) return stack.bytes.subarray(offset, offset + length);
      return elf.readVirtual(address, length);
    },
  };
}
