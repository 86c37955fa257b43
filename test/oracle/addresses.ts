// Which addresses of an image are compared: as many as are asked for, evenly over all of its code.

import { SHF_ALLOC, SHF_EXECINSTR } from '../../src/elf/constants.ts';
import type { ElfFile } from '../../src/elf/file.ts';

/** `count` link addresses, rising, at equal steps through the sections that hold instructions; every byte where there are fewer. */
export function evenAddresses(elf: ElfFile, count: number): bigint[] {
  const code = elf.sections
    .filter(({ flags, size }) => (flags & SHF_ALLOC) !== 0 && (flags & SHF_EXECINSTR) !== 0 && size > 0)
    .toSorted((a, b) => (a.address < b.address ? -1 : 1));
  const total = code.reduce((sum, { size }) => sum + size, 0);
  const step = Math.max(1, total / count);
  const addresses: bigint[] = [];
  let before = 0;
  for (const { address, size } of code) {
    for (let at = Math.ceil(addresses.length * step) - before; at < size; at = Math.ceil(addresses.length * step) - before) {
      addresses.push(address + BigInt(at));
    }
    before += size;
  }
  return addresses;
}
