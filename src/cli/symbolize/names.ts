// The images that `unidbg symbolize` reads names from, where each of them lies, and what an address in them means.

import { basename } from 'node:path';
import { PF_X, PT_LOAD, SHF_EXECINSTR } from '../../elf/constants.ts';
import type { ElfFile } from '../../elf/file.ts';
import { toUnsigned64 } from '../../model/address.ts';
import { UnidbgError } from '../../model/error.ts';
import type { SymbolizedLocation } from '../../model/frame.ts';
import type { Runtime } from '../../model/unikernel.ts';
import { createSymbolizer, type ImageSymbolizer, type PlacedImage, type SymbolImage } from '../../symbolize/symbolizer.ts';

/** An image, where it lies, and where its code is. */
export interface NamedImage {
  readonly image: SymbolImage;
  readonly name: string;
  /** Link addresses of its instructions, [start, end). */
  readonly code: readonly { readonly start: bigint; readonly end: bigint }[];
  readonly loadBias: bigint;
  /** The user said where it lies: nothing else may move it. */
  readonly isGiven: boolean;
}

/** Where images lie by the user's word: all by the same bias, or one by the address of its first byte. */
export interface GivenPlaces {
  readonly loadBias: bigint | null;
  /** By path or file name of the image. */
  readonly bases: ReadonlyMap<string, bigint>;
}

const PAGE_MASK = 0xfffn;

/** The images of one run. Places may change while a log is read that tells of them. */
export class Names {
  readonly images: readonly NamedImage[];
  private readonly runtimes: readonly Runtime[];
  private symbolizer: ImageSymbolizer;

  private constructor(images: readonly NamedImage[], runtimes: readonly Runtime[]) {
    this.images = images;
    this.runtimes = runtimes;
    this.symbolizer = symbolizerOf(images);
  }

  /** Places the images. Throws USAGE for a base of an image that was not given. */
  static place(images: readonly SymbolImage[], places: GivenPlaces, runtimes: readonly Runtime[]): Names {
    const used = new Set<string>();
    const placed = images.map((image): NamedImage => {
      const { path, imageBase } = image.elf;
      const key = [path, basename(path)].find((candidate) => places.bases.has(candidate));
      if (key !== undefined) used.add(key);
      const base = key === undefined ? undefined : places.bases.get(key);
      const loadBias = base === undefined ? (places.loadBias ?? 0n) : base - (imageBase & ~PAGE_MASK);
      const isGiven = base !== undefined || places.loadBias !== null;
      return { image, name: basename(path), code: codeOf(image.elf), loadBias, isGiven };
    });
    const unknown = [...places.bases.keys()].find((key) => !used.has(key));
    if (unknown !== undefined) {
      throw new UnidbgError(
        'USAGE',
        `--base ${unknown}=…: no image of that name was given; the images are ${placed.map(({ name }) => name).join(', ')}`,
      );
    }
    return new Names(placed, runtimes);
  }

  /** The images as other parts take them. */
  get placed(): readonly PlacedImage[] {
    return this.images.map(placedOf);
  }

  /** The same images, one of them elsewhere. */
  moved(which: NamedImage, loadBias: bigint): Names {
    return new Names(
      this.images.map((image) => (image.image === which.image ? { ...image, loadBias } : image)),
      this.runtimes,
    );
  }

  /** What is at run-time address `address`, innermost first; never empty. Names are the linker's. */
  locate(address: bigint): readonly SymbolizedLocation[] {
    return this.symbolizer.symbolize(address);
  }

  /** What a call that returns to `address` is in. */
  locateCall(address: bigint): readonly SymbolizedLocation[] {
    return this.symbolizer.symbolize(address, { isReturnAddress: true });
  }

  /** Whether `address` lies in an image's code. */
  isCode(address: bigint): boolean {
    return this.images.some(({ code, loadBias }) => {
      const link = toUnsigned64(address - loadBias);
      return code.some(({ start, end }) => start <= link && link < end);
    });
  }

  /** The image of that file name, with or without a directory, a `.ko` or `.debug`. */
  findImage(name: string): NamedImage | null {
    const wanted = stem(basename(name));
    return this.images.find((image) => stem(image.name) === wanted) ?? null;
  }

  /** Run-time address and size of a symbol, in one image or in the first that has it; null when unknown. */
  findSymbol(name: string, within: NamedImage | null = null): { readonly address: bigint; readonly size: number } | null {
    for (const { image, loadBias } of within === null ? this.images : [within]) {
      const symbol = image.findLinkSymbol(name);
      if (symbol !== null) return { address: toUnsigned64(symbol.address + loadBias), size: symbol.size };
    }
    return null;
  }

  /** A function under the name its programmer gave it. */
  demangle(linkerName: string): string {
    for (const runtime of this.runtimes) {
      const name = runtime.demangle(linkerName);
      if (name !== null) return name;
    }
    return linkerName;
  }

  /** Images that lie over each other, of which the first one answers: as words; null when none do. */
  describeOverlap(): string | null {
    for (const [index, one] of this.images.entries()) {
      const other = this.images.slice(index + 1).find((candidate) => overlap(one, candidate));
      if (other !== undefined)
        return `${one.name} and ${other.name} lie over each other: ${one.name} answers; say where they are with --base ELF=0x…`;
    }
    return null;
  }

  close(): void {
    for (const { image } of this.images) image.close();
  }
}

function symbolizerOf(images: readonly NamedImage[]): ImageSymbolizer {
  return createSymbolizer(images.map(placedOf));
}

function placedOf({ image, loadBias, isGiven }: NamedImage): PlacedImage {
  const placedBy = isGiven ? 'command line' : loadBias === 0n ? 'link address' : 'console';
  return { image, loadBias, match: 'unverified', placedBy };
}

/** Sections of instructions; without any, executable segments. Other things that lie beside code are no code, and have labels. */
function codeOf({ sections, segments }: ElfFile): NamedImage['code'] {
  const code = sections.filter(({ flags, size }) => (flags & SHF_EXECINSTR) !== 0 && size > 0);
  if (code.length > 0) return code.map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  return segments
    .filter(({ type, flags }) => type === PT_LOAD && (flags & PF_X) !== 0)
    .map(({ virtualAddress, memorySize }) => ({ start: virtualAddress, end: virtualAddress + BigInt(memorySize) }));
}

function stem(name: string): string {
  return name
    .replace(/\.(?:debug|dbg)$/, '')
    .replace(/\.ko$/, '')
    .replaceAll('-', '_');
}

function overlap(one: NamedImage, other: NamedImage): boolean {
  const [a, b] = [one, other].map(({ image: { elf }, loadBias }) => [elf.imageBase + loadBias, elf.imageEnd + loadBias] as const);
  return a![0] < b![1] && b![0] < a![1];
}
