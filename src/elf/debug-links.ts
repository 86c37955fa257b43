// How an image names the files its debug info was moved to: .gnu_debuglink (GDB manual, "Separate Debug Files"), .gnu_debugaltlink
// (dwz -m), .debug_sup (DWARF 5 section 7.3.6) and .gnu_debugdata (a packed ELF file of function symbols, "MiniDebugInfo").

import { crc32 } from 'node:zlib';
import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { SHT_NOBITS } from './constants.ts';
import { type ElfFile, type ElfSection, openElfInMemory } from './file.ts';
import { openBytes } from './file-bytes.ts';
import { decompressXz } from './xz.ts';

/** .gnu_debuglink: a file name without directories, and the CRC-32 of that file. */
export interface DebugLink {
  readonly name: string;
  readonly crc: number;
}

/** .gnu_debugaltlink or .debug_sup: a path, absolute or relative to the file that has it, and that file's build-id in hex. */
export interface AlternateLink {
  readonly path: string;
  readonly buildId: string;
}

/** No file name is longer (PATH_MAX). */
const MAX_LINK = 8192;
const CRC_CHUNK = 4 * 1024 * 1024;

/** The link to the debug file, or null; a damaged one, or one that names a directory, is none. */
export function readDebugLink(elf: ElfFile): DebugLink | null {
  return readLink(elf, '.gnu_debuglink', (cursor) => {
    const name = cursor.cString();
    cursor.seek(Math.ceil(cursor.offset / 4) * 4);
    const crc = cursor.u32();
    return name === '' || name === '.' || name === '..' || name.includes('/') ? null : { name, crc };
  });
}

/** The link to what dwz moved entries to that several files share, or null; a damaged one is none. */
export function readAlternateLink(elf: ElfFile): AlternateLink | null {
  const gnu = readLink(elf, '.gnu_debugaltlink', (cursor) => linkTo(cursor.cString(), cursor.take(cursor.remaining)));
  if (gnu !== null) return gnu;
  return readLink(elf, '.debug_sup', (cursor) => {
    const version = cursor.u16();
    const isSupplementary = cursor.u8() !== 0;
    const path = cursor.cString();
    const buildId = cursor.take(cursor.uleb());
    return version !== 5 || isSupplementary ? null : linkTo(path, buildId);
  });
}

function linkTo(path: string, buildId: Uint8Array): AlternateLink | null {
  return path === '' || buildId.length === 0 ? null : { path, buildId: Buffer.from(buildId).toString('hex') };
}

function readLink<T>(elf: ElfFile, name: string, decode: (cursor: Cursor) => T | null): T | null {
  const section = findStored(elf, name);
  if (section === null || section.size > MAX_LINK) return null;
  try {
    return decode(new Cursor(elf.readSection(section), { littleEndian: elf.littleEndian }));
  } catch (error) {
    if (errorCode(error) === null) throw error;
    return null;
  }
}

/** The ELF file with more function symbols that is packed into `elf`, or null. Throws ELF_* when it is damaged. */
export function openMiniSymbols(elf: ElfFile): ElfFile | null {
  const section = findStored(elf, '.gnu_debugdata');
  if (section === null) return null;
  const name = `.gnu_debugdata of ${elf.path}`;
  return openElfInMemory(name, decompressXz(elf.readSection(section), name));
}

/** Whether the file has debug info itself (or skeletons of what was split off), not only a place where it was. */
export function hasDebugInfo(elf: ElfFile): boolean {
  return findStored(elf, '.debug_info') !== null;
}

function findStored(elf: ElfFile, name: string): ElfSection | null {
  const section = elf.findSection(name);
  return section === null || section.type === SHT_NOBITS || section.size === 0 ? null : section;
}

/** The CRC-32 of a whole file, as .gnu_debuglink has it. Throws FILE_UNREADABLE. */
export function fileCrc(path: string): number {
  const file = openBytes(path);
  try {
    let crc = 0;
    for (let at = 0; at < file.size; at += CRC_CHUNK) {
      crc = crc32(file.read(at, Math.min(CRC_CHUNK, file.size - at), 'its checksum'), crc);
    }
    return crc;
  } finally {
    file.close();
  }
}
