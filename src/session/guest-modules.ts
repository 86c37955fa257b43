// The modules of a guest: what its own tables list (Unikernel.findModules), each read for what its ELF header in memory says.

import type { GuestModule } from '../model/image.ts';
import type { AddressSpace, Memory } from '../model/target.ts';
import type { Unikernel } from '../model/unikernel.ts';
import { type LoadedElf, readLoadedElf } from '../symbolize/loaded-elf.ts';
import type { ImageSymbolizer } from '../symbolize/symbolizer.ts';

/** A module and, where its ELF header could be read, what that says. */
export interface FoundModule extends GuestModule {
  /** The guest's name, else the module's own, else its place. */
  readonly title: string;
  readonly elf: LoadedElf | null;
}

const MAX_MODULES = 256;

/** The modules that `unikernel` finds in memory, and those `known` otherwise (a core of a process lists them); lowest first, each once. */
export async function findModules(
  unikernel: Unikernel | null,
  space: AddressSpace,
  symbolizer: ImageSymbolizer,
  known: readonly GuestModule[] = [],
): Promise<readonly FoundModule[]> {
  const find = unikernel?.findModules;
  if (find === undefined && known.length === 0) return [];
  return space.walk((memory) => {
    const listed = [...known, ...(find?.({ memory, types: symbolizer.types, symbols: symbolizer }) ?? [])];
    const byPlace = new Map<bigint, FoundModule>();
    for (const module of listed.slice(0, MAX_MODULES)) {
      if (!byPlace.has(module.start)) byPlace.set(module.start, readModule(module, memory));
    }
    return [...byPlace.values()].sort((a, b) => (a.start < b.start ? -1 : 1));
  });
}

function readModule(module: GuestModule, memory: Memory): FoundModule {
  const elf = readLoadedElf(memory, module.header, module.start);
  return { ...module, elf, title: module.name ?? elf?.soname ?? `module at 0x${module.start.toString(16)}` };
}

/** What tells one list of modules from another: places and build-ids. */
export function keyOfModules(modules: readonly FoundModule[]): string {
  return modules.map(({ start, title, elf }) => `${start.toString(16)} ${title} ${elf?.buildId ?? '?'}`).join('\n');
}
