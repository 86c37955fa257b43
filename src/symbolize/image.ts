// An ELF file as a source of names: its symbol table and its DWARF, read when first asked for, from the file itself or from one
// its debug info was moved to (open-image.ts finds that). Addresses here are link addresses; symbolizer.ts places images in a guest.

import { DwarfLocations } from '../dwarf/locations.ts';
import type { DwarfTypes } from '../dwarf/types.ts';
import { DwarfVariables } from '../dwarf/variables.ts';
import { type ElfFile, openElf } from '../elf/file.ts';
import type { ElfSymbol } from '../elf/symtab.ts';
import type { CodeLocation, CodeTable } from '../model/code-table.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { UnidbgError } from '../model/error.ts';
import type { Layout } from '../model/layout.ts';
import type { Machine } from '../model/machine.ts';
import { type CodeTableOpener, openRuntimeTable } from './code-image.ts';
import { type LocalCompanions, localCompanions } from './debug-files.ts';
import { type ImageSymbols, readImageSymbols } from './image-symbols.ts';
import { linkBias } from './link-bias.ts';

/** What is at a link address: one entry per activation, innermost first. */
export type LinkLocation = CodeLocation;

const NOWHERE = { function: null, file: null, line: null, column: null, inlined: false } as const;

/**
 * Opens an image with the debug info that is in it (open-image.ts looks elsewhere too); `tables` are asked for a runtime's tables in
 * it. Throws FILE_UNREADABLE, ELF_*; damage behind the headers is a diagnostic of the image, not an error.
 */
export function openImage(path: string, tables: readonly CodeTableOpener[] = []): SymbolImage {
  const { elf, machine } = openImageFile(path);
  return new SymbolImage(elf, machine, elf, { tables });
}

/** Opens the file of an image. Throws FILE_UNREADABLE, ELF_*. */
export function openImageFile(path: string): { readonly elf: ElfFile; readonly machine: Machine } {
  const elf = openElf(path);
  const { machine } = elf;
  if (machine !== null) return { elf, machine };
  elf.close();
  throw new UnidbgError('ELF_UNSUPPORTED', `${path} is for e_machine ${elf.machineNumber}; x86, aarch64 and riscv64 are known`, {
    facts: { path, machine: elf.machineNumber },
  });
}

/** What an image may be given beside its files. */
export interface ImageExtras {
  /** Openers that are asked for a runtime's tables in it. */
  readonly tables?: readonly CodeTableOpener[];
  /** Where the other files of its debug info are; beside the image, unless told. */
  readonly companions?: LocalCompanions;
  /** What was looked for in vain. */
  readonly remarks?: readonly Diagnostic[];
}

const MAX_DAMAGE = 64;

/** An open image; `close` closes its files. */
export class SymbolImage {
  readonly elf: ElfFile;
  readonly machine: Machine;
  /** The file its debug info is in: the image itself, or one made from it by `objcopy --only-keep-debug`. */
  readonly debug: ElfFile;
  /** Link address in the image minus link address in `debug`: 0 unless the image was moved (prelinked) after they were parted. */
  readonly debugBias: bigint;
  private readonly companions: LocalCompanions;
  private readonly remarks: readonly Diagnostic[];
  private linkSymbols: ImageSymbols | null = null;
  private locations: DwarfLocations | null = null;
  private frameVariables: DwarfVariables | null = null;
  private readonly damage: UnidbgError[] = [];
  private readonly tables: readonly CodeTableOpener[];
  private runtimeTable: CodeTable | null | undefined;

  constructor(elf: ElfFile, machine: Machine, debug: ElfFile = elf, extras: ImageExtras = {}) {
    this.elf = elf;
    this.machine = machine;
    this.debug = debug;
    this.debugBias = linkBias(elf, debug);
    this.companions = extras.companions ?? localCompanions(elf, debug);
    this.remarks = extras.remarks ?? [];
    this.tables = extras.tables ?? [];
  }

  /** What could not be found or read so far, each thing once. */
  get diagnostics(): readonly Diagnostic[] {
    const damage = [...this.damage, ...(this.locations?.damage ?? [])].map(({ message }) => message);
    const files = new Set([this.elf, this.debug]);
    const all = [...damage, ...[...files].flatMap((file) => file.damage)];
    return [...this.remarks, ...all.map((message) => ({ code: 'symbols-damaged', message }))];
  }

  /** The symbol of that linker name, or null. */
  findLinkSymbol(name: string): ElfSymbol | null {
    const symbol = this.symbols().findByName(name);
    if (symbol !== null) return symbol;
    const found = this.codeTable?.findSymbol(name) ?? null;
    return found === null
      ? null
      : { ...found, name, version: null, kind: found.size > 0 ? 'function' : 'label', binding: 'local' };
  }

  /** The symbol of data that holds link address `address`, or null. */
  findLinkObject(address: bigint): ElfSymbol | null {
    const symbol = this.symbols().findByAddress(address);
    return symbol === null || symbol.kind === 'function' ? null : symbol;
  }

  /** What a language runtime's own tables say of the image's code; null when it has none. */
  get codeTable(): CodeTable | null {
    if (this.runtimeTable === undefined) this.runtimeTable = openRuntimeTable(this.elf, this.machine, this.tables, this.complain);
    return this.runtimeTable;
  }

  /** What is at link address `address`, innermost inlined call first; empty when the image has no name and no line for it. */
  locate(address: bigint): readonly LinkLocation[] {
    const origin = this.debug.origin + this.debugBias;
    const frames = this.dwarf().find(Number(address - origin)) ?? [];
    const outer = frames.at(-1);
    // All frames of one address are inside of one function.
    const entry = outer?.entry == null ? null : origin + BigInt(outer.entry);
    const located = frames.map(
      ({ function: name, file, line, column, inlined }): LinkLocation => ({ function: name, entry, file, line, column, inlined }),
    );
    if (outer?.isLinkerName === true) return located;
    const byRuntime = outer?.function == null ? (this.codeTable?.locate(address) ?? []) : [];
    if (byRuntime.length > 0) return byRuntime;
    const symbol = this.symbols().findByAddress(address);
    const place = located.at(-1) ?? { ...NOWHERE, entry: null };
    // Assembly often has lines but no functions; gcc gives C++ instances over local types no linker name (as binutils does here).
    const named = symbol !== null && (place.function === null || place.entry === symbol.address);
    return named ? [...located.slice(0, -1), { ...place, function: symbol.name, entry: symbol.address }] : located;
  }

  /** Link address of the first row of `file:line`, or of a function by its linker name; null when unknown. */
  findLinkCode(location: string): bigint | null {
    const match = /^(.+):(\d{1,9})$/.exec(location);
    const symbol = this.findLinkSymbol(location);
    if (symbol !== null) return symbol.address;
    if (match === null) return null;
    const offset = this.dwarf().findLine(match[1]!, Number(match[2]));
    return offset === null ? null : this.debug.origin + this.debugBias + BigInt(offset);
  }

  /** A variable's link address and layout, from DWARF. */
  findLinkVariable(name: string, unit?: string): { readonly address: bigint; readonly layout: Layout } | null {
    const found = this.dwarf().types.findVariable(name, unit);
    return found === null ? null : { ...found, address: found.address + this.debugBias };
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
    this.companions.close();
    this.elf.close();
    if (this.debug !== this.elf) this.debug.close();
  }

  private dwarf(): DwarfLocations {
    this.locations ??= new DwarfLocations(this.debug, this.companions);
    return this.locations;
  }

  private symbols(): ImageSymbols {
    this.linkSymbols ??= readImageSymbols(this.elf, this.debug, this.debugBias, this.complain);
    return this.linkSymbols;
  }
}
