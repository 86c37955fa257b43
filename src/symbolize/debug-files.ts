// Where the debug info of an image is when it is not in the image: build-id directories and .gnu_debuglink as in the GDB manual
// ("Debugging Information in Separate Files"), dwz's common file, split objects (.dwo) and packages of them (.dwp).
// All of it on this machine; debuginfod.ts asks servers. What is found is checked by build-id or checksum before it is used.

import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import type { DebugCompanions } from '../dwarf/companions.ts';
import { SHT_SYMTAB } from '../elf/constants.ts';
import { type AlternateLink, fileCrc, hasDebugInfo, readAlternateLink, readDebugLink } from '../elf/debug-links.ts';
import { type ElfFile, openElf, openElfInMemory } from '../elf/file.ts';
import { findSymbolSection } from '../elf/symtab.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';

/** Where to look, beside the directory of the image and /usr/lib/debug. */
export interface DebugDirectories {
  /** Directories laid out as /usr/lib/debug is (`.build-id/ab/cdef.debug`, images' own paths), or just full of debug files. */
  readonly roots?: readonly string[];
  /** Directories that split objects are looked for in, by their path or their name. */
  readonly splitRoots?: readonly string[];
}

/** What a search gave. `tried`: every place, with the reason where there was a file that would not do. */
export interface DebugFileSearch {
  readonly file: ElfFile | null;
  readonly tried: readonly string[];
}

const SYSTEM_ROOT = '/usr/lib/debug';
/** Split objects up to this size are read whole, so that a build of thousands of them holds no thousands of open files. */
const SMALL_FILE = 8 * 1024 * 1024;

/** The directories laid out as /usr/lib/debug is, in the order they are asked. */
export function debugRoots({ roots = [] }: DebugDirectories): string[] {
  return [...new Set([...roots.map((root) => resolve(root)), SYSTEM_ROOT])];
}

/** Looks for the file that the debug info of `elf` was moved to, by build-id, then by .gnu_debuglink. Never throws for bad files. */
export function findDebugFile(elf: ElfFile, directories: DebugDirectories = {}): DebugFileSearch {
  const search = new Search(elf);
  const { buildId } = elf;
  if (buildId !== null) {
    for (const root of debugRoots(directories)) {
      const path = buildIdPath(root, buildId);
      const file = path === null ? null : search.open(path, () => buildIdMismatch(path, buildId));
      if (file !== null) return search.done(file);
    }
  }
  const link = readDebugLink(elf);
  if (link === null) return search.done(null);
  for (const path of linkPlaces(elf.path, link.name, directories)) {
    const file = search.open(path, () => {
      const crc = fileCrc(path);
      if (crc !== link.crc) return `its checksum is ${hex32(crc)}, the image asks for ${hex32(link.crc)}`;
      return buildId === null ? null : buildIdMismatch(path, buildId, 'may lack');
    });
    if (file !== null) return search.done(file);
  }
  return search.done(null);
}

/** Looks for the file that dwz moved common entries to. `link` is from `debug`. */
export function findAlternateFile(debug: ElfFile, link: AlternateLink, directories: DebugDirectories = {}): DebugFileSearch {
  const search = new Search(debug);
  for (const path of alternatePlaces(debug.path, link, debugRoots(directories))) {
    const file = search.open(
      path,
      () => buildIdMismatch(path, link.buildId),
      () => true,
    );
    if (file !== null) return search.done(file);
  }
  return search.done(null);
}

/** `root/.build-id/ab/cdef….debug`, or null for an id too short to have one. */
export function buildIdPath(root: string, buildId: string): string | null {
  return /^[0-9a-f]{4,}$/.test(buildId) ? join(root, '.build-id', buildId.slice(0, 2), `${buildId.slice(2)}.debug`) : null;
}

/** One search: opens candidates, remembers why they would not do. */
class Search {
  private readonly elf: ElfFile;
  private readonly tried = new Set<string>();
  private readonly seen = new Set<string>();

  constructor(elf: ElfFile) {
    this.elf = elf;
  }

  open(path: string, objection: () => string | null, isUseful = hasNames): ElfFile | null {
    const real = realPath(path);
    if (real !== null && (this.seen.has(real) || real === realPath(this.elf.path))) return null;
    if (real === null) {
      this.tried.add(path);
      return null;
    }
    this.seen.add(real);
    const reason = this.tryOpen(path, objection, isUseful);
    if (typeof reason !== 'string') return reason;
    this.tried.add(`${path} (${reason})`);
    return null;
  }

  done(file: ElfFile | null): DebugFileSearch {
    return { file, tried: [...this.tried] };
  }

  private tryOpen(path: string, objection: () => string | null, isUseful: (file: ElfFile) => boolean): ElfFile | string {
    try {
      const reason = objection();
      if (reason !== null) return reason;
      const file = openElf(path);
      if (file.machineNumber === this.elf.machineNumber && file.bits === this.elf.bits && isUseful(file)) return file;
      file.close();
      return isUseful(file) ? 'it is for another machine' : 'it has neither debug info nor symbols';
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      return errorMessage(error);
    }
  }
}

function hasNames(file: ElfFile): boolean {
  return hasDebugInfo(file) || findSymbolSection(file)?.type === SHT_SYMTAB;
}

function buildIdMismatch(path: string, wanted: string, missing: 'must have' | 'may lack' = 'must have'): string | null {
  const file = openElf(path);
  const { buildId } = file;
  file.close();
  if (buildId === wanted || (buildId === null && missing === 'may lack')) return null;
  return buildId === null ? 'it has no build-id' : `its build-id is ${buildId}`;
}

function linkPlaces(imagePath: string, name: string, directories: DebugDirectories): string[] {
  const homes = homesOf(imagePath);
  const roots = debugRoots(directories);
  return [
    ...homes.flatMap((home) => [join(home, name), join(home, '.debug', name)]),
    ...roots.flatMap((root) => homes.map((home) => join(root, home, name))),
    ...(directories.roots ?? []).map((root) => join(resolve(root), name)),
  ];
}

/** Directories of a file: where it was asked for, and where it really is. */
function homesOf(path: string): string[] {
  const asked = resolve(path);
  return [...new Set([dirname(asked), dirname(realPath(asked) ?? asked)])];
}

/** As given; by build-id; below a root that is a copy of /usr/lib/debug (dwz's names there are absolute). */
function alternatePlaces(debugPath: string, { path, buildId }: AlternateLink, roots: readonly string[]): string[] {
  const given = isAbsolute(path) ? [path] : homesOf(debugPath).map((home) => resolve(home, path));
  const below = path.lastIndexOf('/.dwz/');
  return [
    ...given,
    ...roots.flatMap((root) => buildIdPath(root, buildId) ?? []),
    ...roots.flatMap((root) => [...(below < 0 ? [] : [join(root, path.slice(below))]), join(root, '.dwz', basename(path))]),
  ];
}

function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

/** The companions of an image on this machine; `close` closes what they opened. */
export interface LocalCompanions extends DebugCompanions {
  readonly close: () => void;
}

/**
 * Companions of the debug info in `debug`, which belongs to `elf`, looked for when DWARF asks. `supplementary`: dwz's common
 * file where it was found already.
 */
export function localCompanions(
  elf: ElfFile,
  debug: ElfFile,
  directories: DebugDirectories = {},
  supplementary: ElfFile | null = null,
): LocalCompanions {
  const opened: ElfFile[] = supplementary === null ? [] : [supplementary];
  return {
    supplementary() {
      const link = supplementary === null ? readAlternateLink(debug) : null;
      if (link === null) return supplementary;
      const { file } = findAlternateFile(debug, link, directories);
      if (file !== null) opened.push(file);
      return file;
    },
    package: () => firstElf(packagePlaces([elf.path, debug.path]), elf, opened),
    splitObject: (name, directory) => firstElf(splitPlaces(elf.path, name, directory, directories), elf, opened),
    close() {
      for (const file of opened) file.close();
    },
  };
}

function packagePlaces(images: readonly string[]): string[] {
  return [...new Set(images.flatMap((path) => [path, realPath(path) ?? path]))].flatMap((path) => [
    `${path}.dwp`,
    ...(path.endsWith('.debug') ? [`${path.slice(0, -'.debug'.length)}.dwp`] : []),
  ]);
}

/** Where the compiler wrote it; then in each root, by its whole path, its relative path, its name. */
function splitPlaces(imagePath: string, name: string, directory: string | null, { splitRoots = [] }: DebugDirectories): string[] {
  const written = isAbsolute(name) ? name : directory === null ? null : join(directory, name);
  const roots = [...splitRoots.map((root) => resolve(root)), ...homesOf(imagePath)];
  return [
    ...(written !== null && isAbsolute(written) ? [written] : []),
    ...roots.flatMap((root) => [
      ...(written === null ? [] : [join(root, written)]),
      ...(isAbsolute(name) ? [] : [join(root, name)]),
      join(root, basename(name)),
    ]),
  ];
}

/** The first of the places that is an ELF file for the same machine; put into `opened` when it has to be closed. */
function firstElf(places: readonly string[], like: ElfFile, opened: ElfFile[]): ElfFile | null {
  for (const path of new Set(places)) {
    const file = openIfElf(path, opened);
    if (file?.machineNumber === like.machineNumber) return file;
  }
  return null;
}

/** The file, or null when there is none or it is no ELF file: a name in debug info promises nothing. */
function openIfElf(path: string, opened: ElfFile[]): ElfFile | null {
  try {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat?.isFile() !== true) return null;
    if (stat.size <= SMALL_FILE) return openElfInMemory(path, readFileSync(path));
    const file = openElf(path);
    opened.push(file);
    return file;
  } catch (error) {
    if (error instanceof UnidbgError || (error as NodeJS.ErrnoException).code !== undefined) return null;
    throw error;
  }
}
