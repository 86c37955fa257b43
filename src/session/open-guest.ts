// What looking at a running VM begins with: the VM itself, and the files that its code is in.

import { dirname } from 'node:path';
import { withoutPaging } from '../memory/page-walk.ts';
import type { Registers } from '../model/registers.ts';
import type { VmRecord } from '../qemu/discover/record.ts';
import type { FetchProgress } from '../symbolize/debuginfod.ts';
import { type DebugSearch, openImageWithDebug } from '../symbolize/open-image.ts';
import { openSourceMapsAmong } from '../symbolize/source-maps.ts';
import type { SymbolImage } from '../symbolize/symbolizer.ts';
import { type LiveOptions, type LiveSource, type LiveTarget, openLive } from '../targets/live.ts';
import type { OpenTarget } from '../targets/target.ts';
import { CodeReader } from './code.ts';
import { symbolFilesOf } from './find-symbols.ts';
import type { GuestView } from './place-image.ts';
import { codeTables, type Systems } from './systems.ts';

/** Which VM code is known, and from which files. */
export interface GuestOptions extends LiveOptions {
  readonly systems: Systems;
  /** ELF files with symbols, and source maps or folders of them; without ELF files they are found from the VM itself. */
  readonly symbols: readonly string[];
  /** Where debug info that is not in the files is looked for, besides the system's own places. */
  readonly debugSearch?: DebugSearch;
  /** Told while debug info comes from a debuginfod server. */
  readonly onFetch?: (progress: FetchProgress) => void;
}

/** An open VM and the reader of its code; both have to be closed. */
export interface OpenGuest {
  /** Null for a VM that was given by its monitor alone. */
  readonly record: VmRecord | null;
  readonly target: LiveTarget;
  readonly codeReader: CodeReader;
}

/** Opens a VM and its files. Throws QMP_*, ELF_*, FILE_UNREADABLE. */
export async function openGuest(source: LiveSource, options: GuestOptions): Promise<OpenGuest> {
  const record = 'pid' in source ? source : null;
  const codeReader = await openCode(record?.kernel ?? null, options);
  const target = await openLive(source, options).catch((error: unknown) => {
    codeReader.close();
    throw error;
  });
  return { record, target, codeReader };
}

/** What opening files of code takes. */
export type CodeOptions = Pick<GuestOptions, 'systems' | 'symbols' | 'debugSearch' | 'onFetch'>;

/** Opens the files that a guest's code is in: those given, else what it boots (`kernel`). Throws ELF_*, FILE_UNREADABLE. */
export async function openCode(kernel: string | null, options: CodeOptions): Promise<CodeReader> {
  const { maps, images: given } = await openSourceMapsAmong(options.symbols);
  const symbols = given.length > 0 || kernel === null ? given : symbolFilesOf(kernel).slice(0, 1);
  const beside = kernel === null ? symbols : [kernel, ...symbols];
  const images = await openImages(symbols, options).catch((error: unknown) => {
    maps?.close();
    throw error;
  });
  return new CodeReader(images, options.systems, [...new Set(beside.map((path) => dirname(path)))], maps);
}

/** How code is looked for in a guest: through the mapping of a vCPU, and past it. */
export function viewBy(target: OpenTarget, registers: Registers): GuestView {
  const physical = target.isVirtual ? null : target.memory(withoutPaging(registers));
  return { space: target.memory(registers), physical, registers };
}

/** Opens the files with their debug info, wherever it is. Throws ELF_* and FILE_UNREADABLE with the path. */
async function openImages(paths: readonly string[], options: CodeOptions): Promise<readonly SymbolImage[]> {
  const { systems, debugSearch, onFetch } = options;
  const images: SymbolImage[] = [];
  try {
    for (const path of paths) {
      const opened = openImageWithDebug(path, debugSearch, {
        tables: codeTables(systems),
        ...(onFetch === undefined ? {} : { onProgress: onFetch }),
      });
      images.push(await opened);
    }
  } catch (error) {
    for (const image of images) image.close();
    throw error;
  }
  return images;
}
