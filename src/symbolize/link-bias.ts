// A debug file is linked where its image is, unless the image was moved since: prelink gives libraries new addresses and leaves
// their debug files alone. The program headers, which both have, say by how much.

import { PF_X, PT_LOAD, SHF_ALLOC, SHF_EXECINSTR } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';

/** Link address of the image's code minus that of the debug file's. */
export function linkBias(image: ElfFile, debug: ElfFile): bigint {
  if (image === debug) return 0n;
  const [theirs, ours] = [codeAddress(debug), codeAddress(image)];
  return theirs === null || ours === null ? 0n : ours - theirs;
}

/** Where the first executable segment begins; without segments, the first section of code. */
function codeAddress({ segments, sections }: ElfFile): bigint | null {
  const segment = segments.find(({ type, flags }) => type === PT_LOAD && (flags & PF_X) !== 0);
  if (segment !== undefined) return segment.virtualAddress;
  const code = SHF_ALLOC | SHF_EXECINSTR;
  return sections.find(({ flags }) => (flags & code) === code)?.address ?? null;
}
