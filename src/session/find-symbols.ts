// Which ELF files to read symbols from when nobody said: what the VM boots, or its unstripped twin beside it.

import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Files that may hold the symbols of what QEMU boots from `kernel`, likeliest first, existing ones only. Unikraft: the boot image is a stripped
 * ELF32 wrapper, symbols in `IMAGE.dbg`; Nanos: `kernel.img` beside `kernel.elf`; OSv: `loader-stripped.elf` beside `loader.elf`.
 */
export function symbolFilesOf(kernel: string): readonly string[] {
  const candidates = [
    `${kernel}.dbg`,
    `${kernel}.debug`,
    kernel.replace(/\.(?:img|bin)$/, '.elf'),
    kernel.replace(/-stripped(?=\.elf$)/, ''),
    join(dirname(kernel), 'kernel.elf'),
    kernel,
  ];
  return [...new Set(candidates)].filter(isFile);
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    // Not there, or in a folder that is not for us: no candidate.
    return false;
  }
}

/**
 * Files that may be a module which the guest names so: of that file name, in one of `folders`. The guest's word leads to no other
 * place, and whoever opens them compares them with the guest first.
 */
export function findBeside(name: string, folders: readonly string[]): readonly string[] {
  const file = name.slice(name.lastIndexOf('/') + 1);
  if (file === '' || file === '.' || file === '..' || file.includes('\0')) return [];
  return [...new Set(folders.map((folder) => join(folder, file)))].filter(isFile);
}
