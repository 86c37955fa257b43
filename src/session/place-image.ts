// Where an ELF file is in a guest, by evidence: at its link address, where its system says it moved, in a module that the guest
// lists; and, of a dead guest whose page tables are ruined, in physical memory. Each place is verified before it is believed.

import { basename } from 'node:path';
import { PF_X, PT_LOAD } from '../elf/constants.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import type { GuestModule } from '../model/image.ts';
import type { Registers } from '../model/registers.ts';
import type { AddressSpace } from '../model/target.ts';
import type { Unikernel } from '../model/unikernel.ts';
import type { PlacedImage, SymbolImage } from '../symbolize/symbolizer.ts';
import { type Verification, verifyImage } from '../symbolize/verify.ts';
import type { FoundModule } from './guest-modules.ts';

/** How a guest is looked at: the memory of a vCPU, the same without its page tables, and its registers. */
export interface GuestView {
  readonly space: AddressSpace;
  readonly physical: AddressSpace | null;
  readonly registers: Registers;
  /** What a dump itself says is loaded. */
  readonly listed?: readonly GuestModule[];
}

/** Where a file was found, or that it was not (`match: 'mismatch'`). */
export interface Placement {
  readonly placed: PlacedImage;
  readonly diagnostic: Diagnostic | null;
  /** Something else was found where it should be. */
  readonly disproved: boolean;
  /** Where it must be, if it is anywhere and nobody can look any more; null when even that is not known. */
  readonly presumed: Pick<PlacedImage, 'loadBias' | 'placedBy'> | null;
}

const PAGE_MASK = 0xfffn;

/**
 * Where the system itself knows to be, first: while it boots it may still be at its link address too. Then the link address, since
 * most unikernels neither move nor are moved.
 */
export async function placeKernel(image: SymbolImage, system: Unikernel | null, view: GuestView): Promise<Placement> {
  const mayMove = system?.findLoadBias !== undefined;
  const linked = { loadBias: 0n, placedBy: 'link address' };
  const found = await findLoadBias(image, system, view);
  if (found !== null && found.bias !== 0n) {
    const moved = { loadBias: found.bias, placedBy: found.by };
    const there = placement(image, moved, await verify(image, found.bias, view.space));
    if (isFound(there)) return there;
  }
  const atLink = placement(image, linked, await verify(image, 0n, view.space));
  if (isFound(atLink)) return atLink;
  const isFixed = image.elf.type === 'exec' && !mayMove;
  return (await placePhysically(image, view)) ?? { ...atLink, presumed: isFixed && !atLink.disproved ? linked : null };
}

/** The module that is this file: the same build-id, or the same name or size and the same code. */
export async function placeInModules(
  before: Placement,
  modules: readonly FoundModule[],
  view: Pick<GuestView, 'space'>,
): Promise<Placement> {
  const { image } = before.placed;
  let best = before;
  for (const module of candidates(image, modules)) {
    if (isOtherBuild(image, module)) {
      best = { ...before, disproved: true, diagnostic: otherBuild(image, module), presumed: null };
      continue;
    }
    const loadBias = module.start - (image.elf.imageBase & ~PAGE_MASK);
    const at = { loadBias, placedBy: module.by };
    if (isSameBuild(image, module)) return placement(image, at, { match: 'build-id', diagnostic: null, proven: true });
    const found = placement(image, at, await verify(image, loadBias, view.space));
    if (isFound(found)) return found;
    if (isNamesake(image, module)) best = { ...found, presumed: found.disproved ? null : at };
  }
  return best;
}

/** Whether the file is there. */
export function isFound({ placed }: Placement): boolean {
  return placed.match !== 'mismatch';
}

function verify(image: SymbolImage, loadBias: bigint, space: AddressSpace): Promise<Verification> {
  return space.walk((memory) => verifyImage(image, loadBias, memory));
}

function placement(
  image: SymbolImage,
  at: Pick<PlacedImage, 'loadBias' | 'placedBy'>,
  { match, diagnostic, proven }: Verification,
): Placement {
  const disproved = match === 'mismatch' && proven;
  return { placed: { image, match, ...at }, diagnostic, disproved, presumed: null };
}

/** Where the system that `image` is says it is now. */
export async function findLoadBias(
  image: SymbolImage,
  system: Unikernel | null,
  { space, registers }: GuestView,
): Promise<{ readonly bias: bigint; readonly by: string } | null> {
  const find = system?.findLoadBias;
  const linkSymbol = (name: string): bigint | null => image.findLinkSymbol(name)?.address ?? null;
  return find === undefined ? null : space.walk((memory) => find({ registers, memory, linkSymbol }));
}

// Seen: OCaml 4.13 on Solo5 without a guard page: the stack ran down into the page tables, whereupon half of the code was somewhere
// else. The bytes are where they were loaded. Only for kernels that run where they are loaded: there an address needs no page table.
async function placePhysically(image: SymbolImage, { physical }: GuestView): Promise<Placement | null> {
  const code = image.elf.segments.filter(({ type, flags }) => type === PT_LOAD && (flags & PF_X) !== 0);
  const isIdentity = code.length > 0 && code.every((segment) => segment.physicalAddress === segment.virtualAddress);
  if (physical === null || !isIdentity) return null;
  const found = await verify(image, 0n, physical);
  if (found.match === 'mismatch' || !found.proven) return null;
  const message = `${image.elf.path} is in physical memory where it was loaded, but the page tables lead elsewhere: the guest has overwritten them`;
  const diagnostic = { code: 'page-tables-damaged', message };
  const at = { loadBias: 0n, placedBy: 'physical address' };
  return placement(image, at, { match: 'unverified', diagnostic, proven: true });
}

function isSameBuild(image: SymbolImage, module: FoundModule): boolean {
  return image.elf.buildId !== null && image.elf.buildId === module.elf?.buildId;
}

/** Two build-ids that differ settle it. */
function isOtherBuild(image: SymbolImage, module: FoundModule): boolean {
  return image.elf.buildId !== null && module.elf?.buildId != null && image.elf.buildId !== module.elf.buildId;
}

function otherBuild({ elf }: SymbolImage, module: FoundModule): Diagnostic {
  const message = `${elf.path} is not what the guest runs as ${module.title}: its build-id is ${elf.buildId ?? '?'}, the guest's is ${module.elf?.buildId ?? '?'}. No names are taken from it; give the file the guest was started from`;
  return { code: 'image-mismatch', message };
}

function isNamesake(image: SymbolImage, module: FoundModule): boolean {
  return basename(module.title) === basename(image.elf.path);
}

/** Modules that may be this file, likeliest first. */
function candidates(image: SymbolImage, modules: readonly FoundModule[]): readonly FoundModule[] {
  const size = image.elf.imageEnd - image.elf.imageBase;
  const rank = (module: FoundModule): number => {
    if (isSameBuild(image, module)) return 3;
    if (isNamesake(image, module)) return 2;
    return module.elf !== null && !isOtherBuild(image, module) && module.elf.end - module.elf.base === size ? 1 : 0;
  };
  const ranked = modules.map((module) => ({ module, rank: rank(module) })).filter((entry) => entry.rank > 0);
  return ranked.sort((a, b) => b.rank - a.rank).map(({ module }) => module);
}
