// The other files that the debug info of an image may be spread over.

import type { ElfFile } from '../elf/file.ts';

/** Finds and opens them. Each call may look on disk; what is found is kept open by its finder. Nothing found is null. */
export interface DebugCompanions {
  /** What dwz moved entries and strings into that several files share (.gnu_debugaltlink; .debug_sup of DWARF 5). */
  readonly supplementary: () => ElfFile | null;
  /** The split objects of the whole image in one (IMAGE.dwp). */
  readonly package: () => ElfFile | null;
  /** One unit's split object (.dwo), by the name and the directory its skeleton unit gives. */
  readonly splitObject: (name: string, directory: string | null) => ElfFile | null;
}

/** An image that stands alone. */
export const NO_COMPANIONS: DebugCompanions = { supplementary: () => null, package: () => null, splitObject: () => null };
