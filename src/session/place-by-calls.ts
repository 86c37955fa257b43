// Where an image lay, by nothing but the return addresses of a stack: behind each of them stands a call. ASLR moves images by whole
// pages, so an address has one possible place in each page of code, and only one load bias makes all of them fit.

import { getArchitecture } from '../arch/machines.ts';
import { PF_X, PT_LOAD } from '../elf/constants.ts';
import type { ReportedFrame } from '../model/console-text.ts';
import type { SymbolImage } from '../symbolize/symbolizer.ts';

const PAGE = 0x1000n;
/** Addresses asked at most. */
const MAX_ADDRESSES = 24;
/** Code looked through at most, in pages: 128 MiB. */
const MAX_PAGES = 0x8000;
/** At most so many places in code chosen at random are behind a call (counted: 1 in 25 in dense C++, 1 in 60 elsewhere). */
const CHANCE = 1 / 20;
/** How sure it must be that the addresses fit for no other reason. */
const DOUBT = 0.01;

/** The load bias that these frames tell of the image; null when they do not tell. */
export function findBiasByCalls(image: SymbolImage, frames: readonly ReportedFrame[]): bigint | null {
  const { findCallBefore, maxCallLength } = getArchitecture(image.machine);
  const isBehindCall = (link: bigint): boolean => {
    const bytes = image.elf.readVirtual(link - BigInt(maxCallLength), maxCallLength);
    return bytes !== null && findCallBefore(bytes, link) !== null;
  };
  const addresses = returnAddresses(frames);
  const pages = codePages(image);
  const votes = new Map<bigint, number>();
  for (const address of addresses) {
    for (const page of pages) {
      const link = page + (address % PAGE);
      if (isBehindCall(link)) votes.set(address - link, (votes.get(address - link) ?? 0) + 1);
    }
  }
  const [best, second] = [...votes].sort(([, a], [, b]) => b - a);
  if (best === undefined || best[1] === second?.[1]) return null;
  // So many biases were tried by the first address; each of the others speaks for a wrong one by chance.
  return pages.length * CHANCE ** best[1] < DOUBT ? best[0] : null;
}

/** Distinct return addresses; of guests that print them less one (OSv) the address itself. */
function returnAddresses(frames: readonly ReportedFrame[]): readonly bigint[] {
  const all = frames.flatMap(({ address, addressIs }) => {
    if (address === null || address < PAGE) return [];
    return addressIs === 'return' ? [address] : [address + 1n];
  });
  return [...new Set(all)].slice(0, MAX_ADDRESSES);
}

function codePages({ elf }: SymbolImage): readonly bigint[] {
  const code = elf.segments.filter(({ type, flags }) => type === PT_LOAD && (flags & PF_X) !== 0);
  return code
    .flatMap(({ virtualAddress, memorySize }) => {
      const first = virtualAddress - (virtualAddress % PAGE);
      const count = Math.min(Number((virtualAddress + BigInt(memorySize) - first + PAGE - 1n) / PAGE), MAX_PAGES);
      return Array.from({ length: count }, (_, index) => first + BigInt(index) * PAGE);
    })
    .slice(0, MAX_PAGES);
}
