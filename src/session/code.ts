// What is known of the code in a guest: its images, placed and checked, the modules it has loaded, and what reads stacks and types
// through them. Rebuilt when a guest resets or loads something; no name is printed from an image that is not what the guest runs.

import type { Diagnostic } from '../model/diagnostic.ts';
import { UnidbgError } from '../model/error.ts';
import type { Unikernel } from '../model/unikernel.ts';
import { openImageWithLocalDebug } from '../symbolize/open-image.ts';
import type { SourceMaps } from '../symbolize/source-maps.ts';
import { createSymbolizer, type PlacedImage, type SymbolImage } from '../symbolize/symbolizer.ts';
import { type Code, CodeBuilder } from './build-code.ts';
import { findBeside } from './find-symbols.ts';
import { type FoundModule, findModules, keyOfModules } from './guest-modules.ts';
import { findLoadBias, type GuestView, isFound, type Placement, placeInModules, placeKernel } from './place-image.ts';
import { codeTables, faceOf, recogniseImage, type Systems } from './systems.ts';

export type { Code } from './build-code.ts';

/** What a guest that is gone said last: the load offset of its kernel, and addresses of code. */
export interface LastWords {
  readonly loadOffset: bigint | null;
  readonly addresses: readonly bigint[];
}

/** The ELF files given or found, opened once; `place` is called whenever the guest may have moved or loaded them. */
export class CodeReader {
  private readonly systems: Systems;
  private readonly builder: CodeBuilder;
  readonly images: readonly SymbolImage[];
  private readonly folders: readonly string[];
  private readonly maps: SourceMaps | null;
  /** Files found for modules, by path; null = not an ELF file. */
  private readonly beside = new Map<string, SymbolImage | null>();
  private last: {
    readonly code: Code;
    readonly placements: readonly Placement[];
    readonly modules: readonly FoundModule[];
  } | null = null;

  /** As the constructor, from files, with what debug info this machine has for them. Throws ELF_* and FILE_UNREADABLE with the path. */
  static open(paths: readonly string[], systems: Systems, folders: readonly string[] = []): CodeReader {
    const tables = codeTables(systems);
    return new CodeReader(
      paths.map((path) => openImageWithLocalDebug(path, {}, { tables })),
      systems,
      folders,
    );
  }

  /** `images` and `maps` are closed with it. `folders` are where files of modules that the guest names may lie. */
  constructor(images: readonly SymbolImage[], systems: Systems, folders: readonly string[] = [], maps: SourceMaps | null = null) {
    this.systems = systems;
    this.maps = maps;
    this.builder = new CodeBuilder(systems, maps);
    this.images = images;
    this.folders = folders;
  }

  /** Nothing placed yet: what there is before the guest can be read, or when it cannot. `trust` uses link addresses. */
  unplaced(options: { readonly trust: boolean }): Code {
    this.last = null;
    const placed = this.images.map(
      (image): PlacedImage => ({ image, loadBias: 0n, match: 'unverified', placedBy: 'link address' }),
    );
    const diagnostics = placed.map(({ image }) => ({
      code: 'image-unverified',
      message: `${image.elf.path} is taken on trust: guest memory cannot be read to check it`,
    }));
    if (!options.trust) return this.builder.build({ placed: [], refused: [], modules: [], diagnostics: [], settled: false });
    return this.builder.build({ placed, refused: [], modules: [], diagnostics, settled: false });
  }

  /** Finds each image in guest memory, and what the guest has loaded. The same object as before while nothing has changed. */
  async place(view: GuestView): Promise<Code> {
    const known = await this.knownStill(view);
    if (known !== null) return known;
    const atFirst = await Promise.all(this.images.map((image) => placeKernel(image, recognise(image, this.systems), view)));
    const kernel = atFirst.filter(isFound).map(({ placed }) => placed);
    const modules = await findModules(systemOf(kernel, this.systems), view.space, createSymbolizer(kernel), view.listed);
    const placements = await Promise.all(
      atFirst.map(async (placement) => (isFound(placement) ? placement : placeInModules(placement, modules, view))),
    );
    const placed = placements.filter(isFound).map((placement) => placement.placed);
    const beside = await this.placeBeside(
      modules.filter((module) => !placed.some((image) => holds(image, module))),
      view,
    );
    const code = this.assemble(placements, [...placed, ...beside], modules);
    this.last = { code, placements, modules };
    return code;
  }

  /**
   * The same for a guest that ended before all could be compared: what was never disproved is taken where it must have been,
   * unverified. What was found before stays.
   */
  presume(words: LastWords): Code {
    const before = this.last?.placements ?? [];
    const placements = this.images.map((image): Placement => {
      const known = before.find(({ placed }) => placed.image === image) ?? null;
      const system = recognise(image, this.systems);
      if (known !== null && (isFound(known) || known.disproved) && !isContradicted(known, system, words)) return known;
      return presumption(image, known, system, words);
    });
    const found = placements.filter(isFound).map(({ placed }) => placed);
    return this.assemble(placements, found, this.last?.modules ?? []);
  }

  close(): void {
    for (const image of [...this.images, ...this.beside.values()]) image?.close();
    this.maps?.close();
  }

  // Modules come and go while a program runs, and a kernel may move itself once while it boots; all else stays.
  private async knownStill(view: GuestView): Promise<Code | null> {
    if (this.last?.code.settled !== true) return null;
    const { code, modules, placements } = this.last;
    const moved = await Promise.all(placements.map((placement) => hasMoved(placement, this.systems, view)));
    if (moved.includes(true)) return null;
    const now = await findModules(code.unikernel, view.space, code.symbolizer, view.listed);
    return keyOfModules(now) === keyOfModules(modules) ? code : null;
  }

  private async placeBeside(modules: readonly FoundModule[], view: GuestView): Promise<readonly PlacedImage[]> {
    const found: PlacedImage[] = [];
    for (const module of modules) {
      for (const path of findBeside(module.title, this.folders)) {
        const image = this.openBeside(path);
        if (image === null || this.images.some(({ elf }) => elf.path === path)) continue;
        const nowhere: PlacedImage = { image, loadBias: 0n, match: 'mismatch', placedBy: module.by };
        const start = { placed: nowhere, diagnostic: null, disproved: false, presumed: null };
        const placement = await placeInModules(start, [module], view);
        if (placement.placed.match === 'build-id' || placement.placed.match === 'text') found.push(placement.placed);
      }
    }
    return found;
  }

  private openBeside(path: string): SymbolImage | null {
    const known = this.beside.get(path);
    if (known !== undefined) return known;
    let image: SymbolImage | null = null;
    try {
      image = openImageWithLocalDebug(path, {}, { tables: codeTables(this.systems) });
    } catch (error) {
      // Nobody asked for this file by name: what is no ELF file is no candidate.
      if (!(error instanceof UnidbgError)) throw error;
    }
    this.beside.set(path, image);
    return image;
  }

  private assemble(placements: readonly Placement[], placed: readonly PlacedImage[], modules: readonly FoundModule[]): Code {
    const refused = placements.filter((placement) => !isFound(placement));
    const without = modules.filter((module) => !placed.some((image) => holds(image, module)));
    const said = placements.flatMap(({ diagnostic }) => (diagnostic === null ? [] : [diagnostic]));
    return this.builder.build({
      placed,
      refused: refused.map((placement) => placement.placed),
      modules: without,
      diagnostics: [...said, ...remarkOn(without)],
      settled: refused.length === 0,
    });
  }
}

function recognise(image: SymbolImage, systems: Systems): Unikernel | null {
  return recogniseImage(systems.unikernels, faceOf(image));
}

async function hasMoved({ placed }: Placement, systems: Systems, view: GuestView): Promise<boolean> {
  const found = await findLoadBias(placed.image, recognise(placed.image, systems), view);
  return found !== null && found.bias !== placed.loadBias;
}

/** A kernel that was seen before it moved itself. */
function isContradicted({ placed }: Placement, system: Unikernel | null, { loadOffset }: LastWords): boolean {
  return system !== null && loadOffset !== null && BigInt.asUintN(64, placed.loadBias) !== BigInt.asUintN(64, loadOffset);
}

function systemOf(placed: readonly PlacedImage[], systems: Systems): Unikernel | null {
  return placed.map(({ image }) => recognise(image, systems)).find((found) => found !== null) ?? null;
}

/** Whether the file of `image` is this module's. */
function holds({ image, loadBias }: PlacedImage, module: FoundModule): boolean {
  const [base, end] = [image.elf.imageBase + loadBias, image.elf.imageEnd + loadBias];
  return module.start < end && (base & ~0xfffn) <= module.start;
}

function presumption(image: SymbolImage, known: Placement | null, system: Unikernel | null, words: LastWords): Placement {
  const at = known?.presumed ?? presumedPlace(image, system, words);
  const nowhere: PlacedImage = { image, loadBias: 0n, match: 'mismatch', placedBy: 'link address' };
  const base = { disproved: false, presumed: null };
  const fate = `${image.elf.path} could not be compared: the guest ended before`;
  if (at === null) {
    return {
      ...base,
      placed: nowhere,
      diagnostic: { code: 'image-mismatch', message: `${fate}, and where it was is not known` },
    };
  }
  const message = `${fate}. Names are taken from it unverified (placed by: ${at.placedBy})`;
  return { ...base, placed: { image, match: 'unverified', ...at }, diagnostic: { code: 'image-unverified', message } };
}

/** A kernel that may move itself is only where it said it was, or where the addresses it printed are; a program that cannot move is where it was linked. */
function presumedPlace(
  { elf }: SymbolImage,
  system: Unikernel | null,
  { loadOffset, addresses }: LastWords,
): Placement['presumed'] {
  const atLink = { loadBias: 0n, placedBy: 'link address' };
  if (system === null) return elf.type === 'exec' ? atLink : null;
  if (loadOffset !== null) return { loadBias: loadOffset, placedBy: 'kernel load offset on the console' };
  const isMovable = system.findLoadBias !== undefined;
  const printed = addresses.some((address) => elf.imageBase <= address && address < elf.imageEnd);
  return printed || (elf.type === 'exec' && !isMovable) ? atLink : null;
}

/** `[vdso]` and its like are the kernel's own pages: nobody has a file of them. */
function remarkOn(modules: readonly FoundModule[]): readonly Diagnostic[] {
  const files = modules.filter(({ title }) => !title.startsWith('['));
  if (files.length === 0) return [];
  const names = files.map(({ title, elf }) => (elf?.buildId == null ? title : `${title} (build-id ${elf.buildId})`));
  const message = `the guest has also loaded ${names.join(', ')}: no symbols, give --symbols FILE`;
  return [{ code: 'module-without-symbols', message }];
}
