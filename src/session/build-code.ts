// From placed images to what the rest of a session asks of code: names, stacks, probes, crash machinery.

import type { Diagnostic } from '../model/diagnostic.ts';
import type { Image } from '../model/image.ts';
import type { Probe } from '../model/probe.ts';
import type { Runtime, Unikernel } from '../model/unikernel.ts';
import type { SourceMaps } from '../symbolize/source-maps.ts';
import { createSymbolizer, type ImageSymbolizer, type PlacedImage, type SymbolImage } from '../symbolize/symbolizer.ts';
import { isText, openUnwindTables, placeUnwindTables, type UnwindModule, type UnwindTables } from '../unwind/module.ts';
import { createUnwinder, type Unwinder } from '../unwind/unwinder.ts';
import type { Machinery } from './blame.ts';
import type { FoundModule } from './guest-modules.ts';
import { faceOf, recogniseImage, recogniseRuntimes, type Systems } from './systems.ts';

/** Code as understood now. */
export interface Code {
  /** Files and where they are; then modules without a file, then files that the guest does not run. */
  readonly images: readonly Image[];
  readonly symbolizer: ImageSymbolizer;
  readonly unwinder: Unwinder;
  /** Whether an address lies in an image's executable code. */
  readonly isText: (address: bigint) => boolean;
  /** Bytes of an image's code as they are in its file, by run-time address; null where no image has any. */
  readonly readText: (address: bigint, length: number) => Uint8Array | null;
  /** Source maps of the guest's JavaScript; null without any. */
  readonly maps: Pick<SourceMaps, 'map' | 'mapLine'> | null;
  /** By the images that the guest really runs. */
  readonly unikernel: Unikernel | null;
  /** Probes that this guest has what they need for. */
  readonly probes: readonly Probe[];
  /** Probes that could be had here but for what is missing. */
  readonly missing: readonly { readonly probe: Probe; readonly reason: string }[];
  /** Crash machinery of the system (the image's own, else the one named) and of all runtimes: never guilty. */
  readonly machineryOf: (unikernel: string | null) => Machinery;
  /** Whether an uncaught exception of this runtime ends the program by `exit`. */
  readonly endsByExit: (runtime: string | null) => boolean;
  /** Whether an idle vCPU of this system sits in the function, by the name that stacks have. */
  readonly isIdleIn: (functionName: string) => boolean;
  /** Whether a vCPU of this system sits in the function only after its own fatal stop, by the name that stacks have. */
  readonly isDeadIn: (functionName: string) => boolean;
  readonly diagnostics: readonly Diagnostic[];
  /** Every image was found in guest memory. False: worth trying again, the guest may not have loaded it yet. */
  readonly settled: boolean;
}

/** What is known of a guest's code before it is put together. */
export interface CodeParts {
  readonly placed: readonly PlacedImage[];
  readonly refused: readonly PlacedImage[];
  /** Those for which there is no file. */
  readonly modules: readonly FoundModule[];
  readonly diagnostics: readonly Diagnostic[];
  readonly settled: boolean;
}

/** Puts code together; what a file's tables cost to read is paid once. */
export class CodeBuilder {
  private readonly systems: Systems;
  private readonly maps: SourceMaps | null;
  private readonly tables = new Map<SymbolImage, UnwindTables>();

  /** `maps` are closed by whoever opened them. */
  constructor(systems: Systems, maps: SourceMaps | null) {
    this.systems = systems;
    this.maps = maps;
  }

  build({ placed, refused, modules: without, diagnostics, settled }: CodeParts): Code {
    const { systems } = this;
    const linkerNames = createSymbolizer(placed);
    const fileless = without.map(describeModule);
    const symbolizer = namingModules(demangling(linkerNames, systems.runtimes), fileless);
    const images = [...symbolizer.images, ...fileless, ...refused.map(describe)];
    const faces = placed.map(({ image }) => faceOf(image));
    const unikernel = faces.map((face) => recogniseImage(systems.unikernels, face)).find((found) => found !== null) ?? null;
    const runtimes = recogniseRuntimes(systems.runtimes, faces);
    const modules = [...placed.map((image) => this.unwindModule(image)), ...without.flatMap(codeOfModule)];
    // What probes need may take a pass over the debug info: who only names a log's addresses must not wait for that.
    let checked: readonly { readonly probe: Probe; readonly reason: string | null }[] | null = null;
    const checkProbes = (): NonNullable<typeof checked> =>
      (checked ??= systems.probes.map((probe) => ({
        probe,
        reason: probe.missing({ types: symbolizer.types, symbols: symbolizer, images }),
      })));
    const bothNames = (names: readonly string[]): ReadonlySet<string> =>
      new Set(names.flatMap((name) => [name, demangled(name, systems.runtimes)]));
    const idleIn = bothNames(unikernel?.idleIn ?? []);
    const deadIn = bothNames(unikernel?.deadIn ?? []);
    const here = new Set([unikernel?.name, ...runtimes.map(({ name }) => name)]);
    return {
      images,
      symbolizer,
      unwinder: createUnwinder({
        modules,
        rules: unikernel?.unwindRules ?? [],
        symbolizer: linkerNames,
        types: linkerNames.types,
      }),
      isText: (address) => isText(modules, address),
      maps: this.maps,
      readText: (address, length) => readText(placed, address, length),
      unikernel,
      get probes() {
        return checkProbes()
          .filter(({ reason }) => reason === null)
          .map(({ probe }) => probe);
      },
      get missing() {
        return checkProbes().flatMap(({ probe, reason }) =>
          reason !== null && probe.systems.some((name) => here.has(name)) ? [{ probe, reason }] : [],
        );
      },
      endsByExit: (name) => systems.runtimes.some((runtime) => runtime.name === name && runtime.endsByExit === true),
      machineryOf: (name) => machineryOf(unikernel ?? systems.unikernels.find((system) => system.name === name) ?? null, systems),
      isIdleIn: (name) => idleIn.has(name),
      isDeadIn: (name) => deadIn.has(name),
      diagnostics,
      settled,
    };
  }

  private unwindModule({ image, loadBias }: PlacedImage): UnwindModule {
    const known = this.tables.get(image) ?? openUnwindTables(image.elf, image.debug, image.codeTable);
    this.tables.set(image, known);
    return placeUnwindTables(known, loadBias);
  }
}

function readText(placed: readonly PlacedImage[], address: bigint, length: number): Uint8Array | null {
  for (const { image, loadBias } of placed) {
    const link = BigInt.asUintN(64, address - loadBias);
    const bytes = link < image.elf.imageBase || link >= image.elf.imageEnd ? null : image.elf.readVirtual(link, length);
    if (bytes !== null) return bytes;
  }
  return null;
}

function machineryOf(system: Unikernel | null, { runtimes }: Systems): Machinery {
  const deadIn = system?.deadIn ?? [];
  const functions = [
    ...(system?.crashMachinery ?? []),
    ...(system?.starvesIn ?? []),
    ...deadIn.flatMap((name) => [exactly(name), exactly(demangled(name, runtimes))]),
    ...runtimes.flatMap((runtime) => runtime.crashMachinery),
  ];
  return { functions, files: runtimes.flatMap((runtime) => runtime.libraryFiles ?? []) };
}

/** The same symbolizer, with functions under the names their programmers gave them. Rules go by linker names and take the other. */
function demangling(symbolizer: ImageSymbolizer, runtimes: readonly Runtime[]): ImageSymbolizer {
  return {
    images: symbolizer.images,
    types: symbolizer.types,
    variables: symbolizer.variables,
    findSymbol: (name) => symbolizer.findSymbol(name),
    findObject: (address) => symbolizer.findObject?.(address) ?? null,
    findCode: (location) => symbolizer.findCode(location),
    symbolize: (address, options) =>
      symbolizer.symbolize(address, options).map((location) => ({
        ...location,
        function: location.function === null ? null : demangled(location.function, runtimes),
      })),
  };
}

function demangled(linkerName: string, runtimes: readonly Runtime[]): string {
  return runtimes.reduce<string | null>((found, runtime) => found ?? runtime.demangle(linkerName), null) ?? linkerName;
}

/** The same symbolizer, which says of an address in a module without a file at least whose it is. */
function namingModules(symbolizer: ImageSymbolizer, modules: readonly Image[]): ImageSymbolizer {
  if (modules.length === 0) return symbolizer;
  return {
    ...symbolizer,
    symbolize: (address, options) => {
      const found = symbolizer.symbolize(address, options);
      const [first] = found;
      if (found.length !== 1 || first?.status !== 'no-image') return found;
      const module = modules.find(({ base, end }) => base <= address && address < end);
      return module === undefined ? found : [{ ...first, module: fileName(module.path), status: 'no-symbol' }];
    },
  };
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function exactly(name: string): RegExp {
  return new RegExp(`^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
}

function describe({ image, loadBias, match, placedBy }: PlacedImage): Image {
  const { path, buildId, imageBase, imageEnd } = image.elf;
  const [base, end] = [imageBase + loadBias, imageEnd + loadBias];
  return { path, machine: image.machine, buildId, base, end, loadBias, match, placedBy };
}

function describeModule({ title, start, end, elf, by }: FoundModule): Image {
  return {
    path: title,
    machine: elf?.machine ?? 'x86_64',
    buildId: elf?.buildId ?? null,
    base: elf?.base ?? start,
    end: elf?.end ?? end ?? start,
    loadBias: elf?.loadBias ?? 0n,
    match: 'no-file',
    placedBy: by,
  };
}

/** Where code lies in a module without a file: there, and only there, a return address may lead. */
function codeOfModule({ elf }: FoundModule): readonly UnwindModule[] {
  return elf === null ? [] : [{ base: elf.base, end: elf.end, loadBias: elf.loadBias, text: elf.text, cfi: null }];
}
