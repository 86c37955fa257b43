// What the layers above symbolize/ and unwind/ need from them.

import type { Address } from './address.ts';
import type { SymbolizedLocation } from './frame.ts';
import type { Image } from './image.ts';

/** From an address to names and lines, over all images of a guest. */
export interface Symbolizer {
  readonly images: readonly Image[];
  /**
   * What `address` means: innermost inlined call first, the real function last; never empty. `isReturnAddress` looks up
   * address − 1 (and keeps the answer's offsets relative to `address`). Cheap once warm; the first look-up in an image reads its tables.
   */
  symbolize(address: Address, options?: { readonly isReturnAddress?: boolean }): readonly SymbolizedLocation[];
  /** Run-time address and size of a symbol by its linker name (`counter`, `runtime.memstats`), or null. Size 0 when unknown. */
  findSymbol(name: string): { readonly address: Address; readonly size: number } | null;
  /** The symbol of data that holds a run-time address, by its linker name, or null. Left out where nothing knows. */
  findObject?(address: Address): { readonly name: string; readonly address: Address; readonly size: number } | null;
  /** Run-time address of the first row of `file:line` (a suffix of the path suffices) or of a function; null when unknown. */
  findCode(location: string): Address | null;
}
