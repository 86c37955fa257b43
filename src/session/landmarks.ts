// What stands where in a guest's memory, by its images: the page tables of a dump without registers are recognised by it.

import { PF_X, PT_LOAD } from '../elf/constants.ts';
import type { SymbolImage } from '../symbolize/symbolizer.ts';
import type { Landmark } from '../targets/dump/format.ts';

/** So many bytes stand at a landmark, so many landmarks an image gives. */
const BYTES = 64;
const PER_IMAGE = 8;

/** Pieces of each image's code, spread over it, at their link addresses. Kernels that move themselves are not where they were linked. */
export function landmarksOf(images: readonly SymbolImage[]): readonly Landmark[] {
  return images.flatMap(({ elf }) =>
    elf.segments
      .filter(({ type, flags, fileSize }) => type === PT_LOAD && (flags & PF_X) !== 0 && fileSize >= BYTES)
      .flatMap(({ virtualAddress, fileSize }) => {
        const step = Math.max(BYTES, Math.floor((fileSize - BYTES) / PER_IMAGE));
        const count = Math.min(PER_IMAGE, Math.floor(fileSize / step));
        return Array.from({ length: count }, (_, index) => virtualAddress + BigInt(index * step));
      })
      .flatMap((address) => {
        const bytes = elf.readVirtual(address, BYTES);
        return bytes?.some((byte) => byte !== 0) === true ? [{ address, bytes }] : [];
      }),
  );
}
