// The signal between a synchronous reading function and the asynchronous reader behind it (model/target.ts, AddressSpace.walk).

import type { PhysicalAddress } from '../model/address.ts';

/** Thrown by `AddressSpace.read` when a page must be fetched first. Only `walk` catches it; it is no failure. */
export class PageAbsent extends Error {
  readonly page: PhysicalAddress;

  constructor(page: PhysicalAddress) {
    super(`physical page 0x${page.toString(16)} is not here yet: read inside AddressSpace.walk`);
    this.name = 'PageAbsent';
    this.page = page;
  }
}
