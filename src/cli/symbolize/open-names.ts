// Opens the images that a user named, with the debug files this machine or a debuginfod server has for them, and puts them where the
// user says that they were loaded.

import { UnidbgError } from '../../model/error.ts';
import { RUNTIMES } from '../../runtimes/index.ts';
import { openImageWithDebug } from '../../symbolize/open-image.ts';
import type { SymbolImage } from '../../symbolize/symbolizer.ts';
import { Names } from './names.ts';
import { fetchProgress } from './progress.ts';

/** As on the command line. */
export interface PlaceOptions {
  /** Folders of debug files. */
  readonly debugDir: readonly string[];
  /** Hexadecimal, signed. */
  readonly loadBias?: string;
  /** `ELF=0x…`. */
  readonly base: readonly string[];
}

/** Opens and places the images. Throws ELF_*, FILE_UNREADABLE with the path, and USAGE for a place that is none. */
export async function openNames(paths: readonly string[], options: PlaceOptions): Promise<Names> {
  const places = {
    loadBias: options.loadBias === undefined ? null : hexOf(options.loadBias, '--load-bias'),
    bases: new Map(options.base.map(readBase)),
  };
  const tables = RUNTIMES.flatMap(({ openCodeTable }) => openCodeTable ?? []);
  const images: SymbolImage[] = [];
  try {
    for (const path of paths) {
      const progress = fetchProgress();
      const image = openImageWithDebug(path, { roots: options.debugDir, splitRoots: options.debugDir }, { tables, ...progress });
      images.push(await image.finally(progress.close));
    }
    return Names.place(images, places, RUNTIMES);
  } catch (error) {
    for (const image of images) image.close();
    throw error;
  }
}

function readBase(text: string): [string, bigint] {
  const at = text.lastIndexOf('=');
  if (at < 1) throw new UnidbgError('USAGE', `--base ${text}: write ELF=0x…, the address where the image was loaded`);
  return [text.slice(0, at), hexOf(text.slice(at + 1), '--base')];
}

function hexOf(text: string, option: string): bigint {
  const match = /^(-?)(?:0x)?([0-9a-f]{1,16})$/i.exec(text);
  if (match === null) throw new UnidbgError('USAGE', `${option} ${text}: not a hexadecimal number`);
  const value = BigInt(`0x${match[2] ?? '0'}`);
  return match[1] === '-' ? -value : value;
}
