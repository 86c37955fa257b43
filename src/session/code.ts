// What is known of the code in a guest: its images, placed and checked, and what reads stacks and types through them.
// Rebuilt when a guest resets; no name is printed from an image that is not what the guest runs.

import type { Diagnostic } from '../model/diagnostic.ts';
import type { Image } from '../model/image.ts';
import type { Probe } from '../model/probe.ts';
import type { Registers } from '../model/registers.ts';
import type { AddressSpace } from '../model/target.ts';
import type { Runtime, Unikernel } from '../model/unikernel.ts';
import {
  createSymbolizer,
  type ImageSymbolizer,
  openImage,
  type PlacedImage,
  type SymbolImage,
} from '../symbolize/symbolizer.ts';
import { verifyImage } from '../symbolize/verify.ts';
import { isText, openUnwindModule } from '../unwind/module.ts';
import { createUnwinder, type Unwinder } from '../unwind/unwinder.ts';
import { recogniseImage, type Systems } from './systems.ts';

/** Code as understood now. */
export interface Code {
  readonly images: readonly Image[];
  readonly symbolizer: ImageSymbolizer;
  readonly unwinder: Unwinder;
  /** Whether an address lies in an image's executable code. */
  readonly isText: (address: bigint) => boolean;
  /** By the images that the guest really runs. */
  readonly unikernel: Unikernel | null;
  /** Probes that this guest has what they need for. */
  readonly probes: readonly Probe[];
  /** Probes that could be had here but for what is missing. */
  readonly missing: readonly { readonly probe: Probe; readonly reason: string }[];
  /** Crash machinery of the system and of all runtimes: never guilty. */
  readonly machinery: readonly RegExp[];
  readonly diagnostics: readonly Diagnostic[];
  /** Every image was found in guest memory. False: worth trying again, the guest may not have loaded it yet. */
  readonly settled: boolean;
}

/** The ELF files given or found, opened once; `place` is called whenever the guest may have moved or loaded them. */
export class CodeReader {
  private readonly systems: Systems;
  private readonly images: readonly SymbolImage[];

  /** Opens the files. Throws ELF_* and FILE_UNREADABLE with the path. */
  constructor(paths: readonly string[], systems: Systems) {
    this.systems = systems;
    this.images = paths.map((path) => openImage(path));
  }

  /** Nothing placed yet: what there is before the guest can be read, or when it cannot. `unverified` uses link addresses. */
  unplaced(options: { readonly trust: boolean }): Code {
    const placed = this.images.map(
      (image): PlacedImage => ({ image, loadBias: 0n, match: 'unverified', placedBy: 'link address' }),
    );
    const why = options.trust ? ': guest memory cannot be read to check it' : '';
    const diagnostics = placed.map(({ image }) => ({
      code: 'image-unverified',
      message: `${image.elf.path} is taken on trust${why}`,
    }));
    return this.assemble(options.trust ? placed : [], [], options.trust ? diagnostics : [], false);
  }

  /** Finds each image in guest memory. `registers` are those of a vCPU whose address space `space` is. */
  async place(space: AddressSpace, registers: Registers): Promise<Code> {
    const results = await Promise.all(this.images.map((image) => this.placeImage(image, space, registers)));
    const usable = results.filter(({ placed }) => placed.match !== 'mismatch').map(({ placed }) => placed);
    const refused = results.filter(({ placed }) => placed.match === 'mismatch');
    const diagnostics = results.flatMap(({ diagnostic }) => (diagnostic === null ? [] : [diagnostic]));
    return this.assemble(
      usable,
      refused.map(({ placed }) => describe(placed)),
      diagnostics,
      refused.length === 0,
    );
  }

  close(): void {
    for (const image of this.images) image.elf.close();
  }

  // The link address first, since most unikernels neither move nor are moved; then whatever the system knows of itself.
  private async placeImage(
    image: SymbolImage,
    space: AddressSpace,
    registers: Registers,
  ): Promise<{ placed: PlacedImage; diagnostic: Diagnostic | null }> {
    const atLinkAddress = await space.walk((memory) => verifyImage(image, 0n, memory));
    const linked: PlacedImage = { image, loadBias: 0n, match: atLinkAddress.match, placedBy: 'link address' };
    if (atLinkAddress.match !== 'mismatch') return { placed: linked, diagnostic: atLinkAddress.diagnostic };
    const findLoadBias = recognise(image, this.systems)?.findLoadBias;
    const linkSymbol = (name: string): bigint | null => image.findLinkSymbol(name)?.address ?? null;
    const found =
      findLoadBias === undefined ? null : await space.walk((memory) => findLoadBias({ registers, memory, linkSymbol }));
    if (found === null) return { placed: linked, diagnostic: atLinkAddress.diagnostic };
    const moved = await space.walk((memory) => verifyImage(image, found.bias, memory));
    return { placed: { image, loadBias: found.bias, match: moved.match, placedBy: found.by }, diagnostic: moved.diagnostic };
  }

  private assemble(
    placed: readonly PlacedImage[],
    refused: readonly Image[],
    diagnostics: readonly Diagnostic[],
    settled: boolean,
  ): Code {
    const linkerNames = createSymbolizer(placed);
    const symbolizer = demangling(linkerNames, this.systems.runtimes);
    const { systems } = this;
    const unikernel = placed.map(({ image }) => recognise(image, systems)).find((found) => found !== null) ?? null;
    const modules = placed.map(({ image, loadBias }) => openUnwindModule(image.elf, loadBias));
    const probes = systems.probes.map((probe) => ({
      probe,
      reason: probe.missing({ types: symbolizer.types, symbols: symbolizer }),
    }));
    return {
      images: [...symbolizer.images, ...refused],
      symbolizer,
      unwinder: createUnwinder({ modules, rules: unikernel?.unwindRules ?? [], symbolizer: linkerNames }),
      isText: (address) => isText(modules, address),
      unikernel,
      probes: probes.filter(({ reason }) => reason === null).map(({ probe }) => probe),
      missing: probes.flatMap(({ probe, reason }) =>
        reason !== null && unikernel !== null && probe.systems.includes(unikernel.name) ? [{ probe, reason }] : [],
      ),
      machinery: [
        ...(unikernel?.crashMachinery ?? []),
        ...(unikernel?.deadIn ?? []).map(exactly),
        ...systems.runtimes.flatMap((runtime) => runtime.crashMachinery),
      ],
      diagnostics,
      settled,
    };
  }
}

function recognise(image: SymbolImage, systems: Systems): Unikernel | null {
  return recogniseImage(systems.unikernels, {
    hasSymbol: (name) => image.findLinkSymbol(name) !== null,
    sections: new Set(image.elf.sections.map((section) => section.name)),
  });
}

/** The same symbolizer, with functions under the names their programmers gave them. Rules go by linker names and take the other. */
function demangling(symbolizer: Code['symbolizer'], runtimes: readonly Runtime[]): Code['symbolizer'] {
  const demangle = (name: string): string =>
    runtimes.reduce<string | null>((found, runtime) => found ?? runtime.demangle(name), null) ?? name;
  return {
    images: symbolizer.images,
    types: symbolizer.types,
    variables: symbolizer.variables,
    findSymbol: (name) => symbolizer.findSymbol(name),
    findCode: (location) => symbolizer.findCode(location),
    symbolize: (address, options) =>
      symbolizer.symbolize(address, options).map((location) => ({
        ...location,
        function: location.function === null ? null : demangle(location.function),
      })),
  };
}

function exactly(name: string): RegExp {
  return new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}

function describe({ image, loadBias, match, placedBy }: PlacedImage): Image {
  const { path, machine, buildId, imageBase, imageEnd } = image.elf;
  return {
    path,
    machine: machine ?? 'x86_64',
    buildId,
    base: imageBase + loadBias,
    end: imageEnd + loadBias,
    loadBias,
    match,
    placedBy,
  };
}
