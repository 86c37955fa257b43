// An image as the unwinder sees it: where its code lies at run time, and its CFI.

import { getArchitecture } from '../arch/machines.ts';
import { type CfiIndex, openCfiIndex } from '../dwarf/cfi-index.ts';
import { PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';
import type { Address } from '../model/address.ts';

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
}

/** The unwinding side of an open ELF file placed at `loadBias`. Reads .eh_frame and .debug_frame; throws what ElfFile throws. */
export function openUnwindModule(elf: ElfFile, loadBias: bigint): UnwindModule {
  return {
    base: elf.imageBase + loadBias,
    end: elf.imageEnd + loadBias,
    loadBias,
    text: textOf(elf).map(({ start, end }) => ({ start: start + loadBias, end: end + loadBias })),
    cfi: openCfi(elf),
  };
}

function openCfi(elf: ElfFile): CfiIndex | null {
  const addressSize = elf.machine === null ? elf.bits / 8 : getArchitecture(elf.machine).addressSize;
  const text = elf.findSection('.text');
  const got = elf.findSection('.got.plt') ?? elf.findSection('.got');
  const sections = (['eh_frame', 'debug_frame'] as const).flatMap((kind) => {
    const section = elf.findSection(`.${kind}`);
    if (section === null) return [];
    return [
      {
        kind,
        bytes: elf.readSection(section),
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
