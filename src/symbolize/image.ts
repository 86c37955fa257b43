// An ELF file as a source of names: its symbol table and its DWARF, read when first asked for. Addresses here are link
// addresses; symbolizer.ts places images in a guest.

import { DwarfLocations } from '../dwarf/locations.ts';
import type { DwarfTypes } from '../dwarf/types.ts';
import { DwarfVariables } from '../dwarf/variables.ts';
import { type ElfFile, openElf } from '../elf/file.ts';
import { type ElfSymbol, emptySymbolTable, readSymbolTable, type SymbolTable } from '../elf/symtab.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { UnidbgError } from '../model/error.ts';
import type { Layout } from '../model/layout.ts';
import type { Machine } from '../model/machine.ts';

/** What is at a link address: one entry per activation, innermost first. */
export interface LinkLocation {
  readonly function: string | null;
  /** Link address where the outer, real function begins; null where unknown. */
  readonly entry: bigint | null;
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
  readonly inlined: boolean;
}

const NOWHERE = { function: null, file: null, line: null, column: null, inlined: false } as const;

/** Opens an image. Throws FILE_UNREADABLE, ELF_*; damage behind the headers is a diagnostic of the image, not an error. */
export function openImage(path: string): SymbolImage {
  const elf = openElf(path);
  if (elf.machine !== null) return new SymbolImage(elf, elf.machine);
  elf.close();
  throw new UnidbgError('ELF_UNSUPPORTED', `${path} is for e_machine ${elf.machineNumber}; x86, aarch64 and riscv64 are known`, {
    facts: { path, machine: elf.machineNumber },
  });
}

const MAX_DAMAGE = 64;

/** An open image; `close` closes its file. */
export class SymbolImage {
  readonly elf: ElfFile;
  readonly machine: Machine;
  /** The file its symbols and debug info are in: the image itself, or one made from it by `objcopy --only-keep-debug`. */
  readonly debug: ElfFile;
  private table: SymbolTable | null = null;
  private locations: DwarfLocations | null = null;
  private frameVariables: DwarfVariables | null = null;
  private readonly damage: UnidbgError[] = [];

  constructor(elf: ElfFile, machine: Machine, debug: ElfFile = elf) {
    this.elf = elf;
    this.machine = machine;
    this.debug = debug;
  }

  /** What could not be read so far, each thing once. */
  get diagnostics(): readonly Diagnostic[] {
    const damage = [...this.damage, ...(this.locations?.damage ?? [])];
    return damage.map(({ message }) => ({ code: 'symbols-damaged', message }));
  }

  /** The symbol of that linker name, or null. */
  findLinkSymbol(name: string): ElfSymbol | null {
    return this.symbols().findByName(name);
  }

  /** What is at link address `address`, innermost inlined call first; empty when the image has no name and no line for it. */
  locate(address: bigint): readonly LinkLocation[] {
    const { origin } = this.debug;
    const frames = this.dwarf().find(Number(address - origin)) ?? [];
    const located = frames.map(({ function: name, entry, file, line, column, inlined }) => ({
      ...{ function: name, entry: entry === null ? null : origin + BigInt(entry), file, line, column, inlined },
    }));
    const outer = frames.at(-1);
    if (outer?.isLinkerName === true) return located;
    const symbol = this.symbols().findByAddress(address);
    const place = located.at(-1) ?? { ...NOWHERE, entry: null };
    // Assembly often has lines but no functions; gcc gives C++ instances over local types no linker name (as binutils does here).
    const named = symbol !== null && (place.function === null || place.entry === symbol.address);
    return named ? [...located.slice(0, -1), { ...place, function: symbol.name, entry: symbol.address }] : located;
  }

  /** Link address of the first row of `file:line`, or of a function by its linker name; null when unknown. */
  findLinkCode(location: string): bigint | null {
    const match = /^(.+):(\d{1,9})$/.exec(location);
    const symbol = this.symbols().findByName(location);
    if (symbol !== null) return symbol.address;
    if (match === null) return null;
    const offset = this.dwarf().findLine(match[1]!, Number(match[2]));
    return offset === null ? null : this.debug.origin + BigInt(offset);
  }

  /** A variable's link address and layout, from DWARF. */
  findLinkVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null {
    return this.dwarf().types.findVariable(name, unit);
  }

  /** A type's layout, from DWARF. */
  findType(name: string): Layout | null {
    return this.dwarf().types.findType(name);
  }

  /** The variables of its functions. */
  get variables(): DwarfVariables {
    this.frameVariables ??= new DwarfVariables(this.dwarf().info, this.complain);
    return this.frameVariables;
  }

  /** The types of its variables. */
  get types(): DwarfTypes {
    return this.dwarf().types;
  }

  /** Remembers damage that a reader of this image met, each thing once. */
  readonly complain = (error: UnidbgError): void => {
    if (this.damage.length < MAX_DAMAGE && this.damage.every(({ message }) => message !== error.message)) this.damage.push(error);
  };

  close(): void {
    this.elf.close();
    if (this.debug !== this.elf) this.debug.close();
  }

  private dwarf(): DwarfLocations {
    this.locations ??= new DwarfLocations(this.debug);
    return this.locations;
  }

  private symbols(): SymbolTable {
    this.table ??= this.readSymbols();
    return this.table;
  }

  private readSymbols(): SymbolTable {
    try {
      return readSymbolTable(this.debug);
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      this.damage.push(error);
      return emptySymbolTable(this.debug);
    }
  }
}
