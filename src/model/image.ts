// An image: an ELF file somebody gave us, and where it lies in the guest.

import type { Address } from './address.ts';
import type { Machine } from './machine.ts';

/**
 * How sure we are that this file is what the guest runs: its build-id or its text bytes were found in guest memory
 * (`build-id`, `text`), they differ (`mismatch`: no name may be printed from it), or it could not be checked (`unverified`).
 */
export type ImageMatch = 'build-id' | 'text' | 'mismatch' | 'unverified';

/** An ELF image in a guest. `base`/`end` bound its loaded segments at run time; `loadBias` = run-time − link address. */
export interface Image {
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
