// An image: an ELF file somebody gave us, and where it lies in the guest.

import type { Address } from './address.ts';
import type { Machine } from './machine.ts';

/**
 * How sure we are that this file is what the guest runs: its build-id or its text bytes were found in guest memory
 * (`build-id`, `text`), they differ (`mismatch`: no name may be printed from it), or it could not be checked (`unverified`).
 * `no-file`: the guest has loaded it, and we have no file of it.
 */
export type ImageMatch = 'build-id' | 'text' | 'mismatch' | 'unverified' | 'no-file';

/** An ELF image in a guest. `base`/`end` bound its loaded segments at run time; `loadBias` = run-time − link address. */
export interface Image {
  /** The file; of `no-file` the guest's own name for it. */
  readonly path: string;
  readonly machine: Machine;
  readonly buildId: string | null;
  readonly base: Address;
  readonly end: Address;
  readonly loadBias: bigint;
  readonly match: ImageMatch;
  /** How the load bias was found: `link address`, `IDT base`, `kernel load offset`, … */
  readonly placedBy: string;
}

/** Code that a guest's own tables say it has loaded: a program, a library, a kernel module. */
export interface GuestModule {
  /** As the guest names it, often by a path; null where it keeps no name. */
  readonly name: string | null;
  /** The page where its lowest segment lies. */
  readonly start: Address;
  /** Null where the guest only knows where it starts. */
  readonly end: Address | null;
  /** Where a copy of its ELF header can be read: `start`, unless the guest keeps it elsewhere. */
  readonly header: Address;
  /** What says so: `elf::program::s_objs`, `AT_PHDR`, `klib_loaded`. */
  readonly by: string;
}
