// Link addresses for the sections of a relocatable file (ET_REL), which has none: a .o, a kernel module, the output of ld -r.
// Loaded sections are laid out one after the other from 0, aligned, in file order: what elfutils' libdwfl does
// (dwfl_report_elf.c, __libdwfl_elf_address_range), so that an address means the same here and to eu-addr2line.

import { toUnsigned64 } from '../model/address.ts';
import { SHF_ALLOC } from './constants.ts';
import type { ElfSection } from './header.ts';

/** No section is aligned to more; what claims it is not aligned at all. */
const MAX_ALIGNMENT = 2 ** 40;

/** The sections with a link address for each loaded one; one that has an address already keeps it. */
export function layOutSections(sections: readonly ElfSection[]): ElfSection[] {
  let end = 0n;
  return sections.map((section) => {
    if ((section.flags & SHF_ALLOC) === 0 || !Number.isFinite(section.size)) return section;
    const address = section.address === 0n ? alignUp(end, section.alignment) : section.address;
    const sectionEnd = address + BigInt(section.size);
    if (sectionEnd > end) end = sectionEnd;
    return { ...section, address: toUnsigned64(address) };
  });
}

function alignUp(address: bigint, alignment: number): bigint {
  const isPowerOfTwo = alignment > 0 && alignment <= MAX_ALIGNMENT && Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo) return address;
  const mask = BigInt(alignment) - 1n;
  return (address + mask) & ~mask;
}
