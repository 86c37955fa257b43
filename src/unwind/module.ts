// An image as the unwinder sees it: where its code lies at run time, and its CFI.

import { getArchitecture } from '../arch/machines.ts';
import { type CfiIndex, openCfiIndex } from '../dwarf/cfi-index.ts';
import { PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';
import type { Address } from '../model/address.ts';
import type { CodeTable } from '../model/code-table.ts';

/** A stretch of run-time addresses: [start, end). */
export interface AddressRange {
  readonly start: Address;
  readonly end: Address;
}

/** An image in the guest. Addresses are run-time addresses; `cfi` wants link addresses (run time − `loadBias`). */
export interface UnwindModule {
  readonly base: Address;
  readonly end: Address;
  readonly loadBias: bigint;
  /** Where code lies: only there may a return address lead. */
  readonly text: readonly AddressRange[];
  /** Null when the image has no call frame information at all. */
  readonly cfi: CfiIndex | null;
  /** What a language runtime's own tables say of the code. */
  readonly codeTable?: CodeTable | null;
}

/** The same of a file, at link addresses: read once, placed as often as the image is. */
export type UnwindTables = Omit<UnwindModule, 'loadBias'>;

/** The unwinding side of an open ELF file; `debug` is where .debug_frame is if not in it. Reads .eh_frame and .debug_frame; throws what ElfFile throws. */
export function openUnwindTables(elf: ElfFile, debug: ElfFile = elf, codeTable: CodeTable | null = null): UnwindTables {
  return { base: elf.imageBase, end: elf.imageEnd, text: textOf(elf), cfi: openCfi(elf, debug), codeTable };
}

/** Tables as they are where the image is loaded. */
export function placeUnwindTables({ base, end, text, ...tables }: UnwindTables, loadBias: bigint): UnwindModule {
  const moved = text.map((range) => ({ start: range.start + loadBias, end: range.end + loadBias }));
  return { base: base + loadBias, end: end + loadBias, loadBias, text: moved, ...tables };
}

/** An open ELF file placed at `loadBias`. */
export function openUnwindModule(elf: ElfFile, loadBias: bigint): UnwindModule {
  return placeUnwindTables(openUnwindTables(elf), loadBias);
}

function openCfi(elf: ElfFile, debug: ElfFile): CfiIndex | null {
  const addressSize = elf.machine === null ? elf.bits / 8 : getArchitecture(elf.machine).addressSize;
  const text = elf.findSection('.text');
  const got = elf.findSection('.got.plt') ?? elf.findSection('.got');
  const sections = (['eh_frame', 'debug_frame'] as const).flatMap((kind) => {
    const file = kind === 'debug_frame' && elf.findSection('.debug_frame') === null ? debug : elf;
    const section = file.findSection(`.${kind}`);
    if (section === null) return [];
    return [
      {
        kind,
        bytes: file.readSection(section),
        address: section.address,
        ...(text === null ? {} : { textAddress: text.address }),
        ...(got === null ? {} : { dataAddress: got.address }),
      },
    ];
  });
  const header = elf.findSection('.eh_frame_hdr');
  return openCfiIndex({
    base: elf.origin,
    addressSize,
    sections,
    header: header === null ? null : { bytes: elf.readSection(header), address: header.address },
  });
}

/** Sections of code; the executable segments where there are no section headers. */
function textOf(elf: ElfFile): AddressRange[] {
  const sections = elf.sections.filter((section) => (section.flags & SHF_EXECINSTR) !== 0 && (section.flags & SHF_ALLOC) !== 0);
  if (sections.length > 0) return sections.map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  return elf.segments
    .filter((segment) => segment.type === PT_LOAD && (segment.flags & PF_X) !== 0)
    .map(({ virtualAddress, memorySize }) => ({ start: virtualAddress, end: virtualAddress + BigInt(memorySize) }));
}

/** The module that `address` lies in, or null. */
export function findModule(modules: readonly UnwindModule[], address: bigint): UnwindModule | null {
  for (const module of modules) if (address >= module.base && address < module.end) return module;
  return null;
}

/** Whether `address` lies in code of one of the modules. */
export function isText(modules: readonly UnwindModule[], address: bigint): boolean {
  const module = findModule(modules, address);
  return module?.text.some(({ start, end }) => address >= start && address < end) ?? false;
}
