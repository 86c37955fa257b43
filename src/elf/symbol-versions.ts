// Symbol versions (LSB core, "Symbol Versioning"): .gnu.version gives each dynamic symbol a number, .gnu.version_d and
// .gnu.version_r say what the numbers are called. Damage makes them fewer, never an error: a version is a remark to a name.

import { Cursor } from '../bytes/cursor.ts';
import { errorCode } from '../model/error.ts';
import { SHT_GNU_VERDEF, SHT_GNU_VERNEED, SHT_GNU_VERSYM } from './constants.ts';
import type { ElfFile, ElfSection } from './file.ts';

/** The version of a dynamic symbol by its number in the table, as nm appends it (`@@GLIBC_2.14`, `@GLIBC_2.2.5`); null without one. */
export type SymbolVersions = (symbol: number) => string | null;

const NONE: SymbolVersions = () => null;
/** In .gnu.version: the symbol is not the default one of its name. */
const HIDDEN = 0x8000;
const VER_FLG_BASE = 1;
/** A library defines some dozens. */
const MAX_VERSIONS = 0x8000;

/** Reads the versions of the symbols in `table`, a .dynsym. */
export function readSymbolVersions(file: ElfFile, table: ElfSection): SymbolVersions {
  const section = file.sections.find((s) => s.type === SHT_GNU_VERSYM && s.link === table.index);
  if (section === undefined) return NONE;
  const names = new Map<number, { readonly name: string; readonly isDefined: boolean }>();
  for (const { type, link, ...place } of file.sections) {
    if (type !== SHT_GNU_VERDEF && type !== SHT_GNU_VERNEED) continue;
    const strings = file.sections[link];
    if (strings === undefined) continue;
    const collect = type === SHT_GNU_VERDEF ? collectDefinitions : collectNeeds;
    tolerate(() => {
      const bytes = file.readSection({ type, link, ...place });
      collect(new Cursor(bytes, file), stringsOf(file, strings), (index, name) => {
        names.set(index, { name, isDefined: type === SHT_GNU_VERDEF });
      });
    });
  }
  const numbers = tolerate(() => new Cursor(file.readSection(section), file));
  if (numbers === null) return NONE;
  return (symbol) => {
    if (symbol * 2 + 2 > numbers.length) return null;
    numbers.seek(symbol * 2);
    const number = numbers.u16();
    const version = names.get(number & ~HIDDEN);
    if (version === undefined) return null;
    return `${version.isDefined && (number & HIDDEN) === 0 ? '@@' : '@'}${version.name}`;
  };
}

type Collect = (index: number, name: string) => void;

/** Elf_Verdef: version, flags, index, auxiliary count, hash, offset of the first auxiliary entry (its name), offset of the next. */
function collectDefinitions(cursor: Cursor, stringAt: (offset: number) => string, collect: Collect): void {
  for (let at = 0, count = 0; count < MAX_VERSIONS; count += 1) {
    cursor.seek(at);
    cursor.skip(2);
    const flags = cursor.u16();
    const index = cursor.u16();
    cursor.skip(6);
    const auxiliary = cursor.u32();
    const next = cursor.u32();
    cursor.seek(at + auxiliary);
    // The base definition names the file itself.
    if ((flags & VER_FLG_BASE) === 0) collect(index, stringAt(cursor.u32()));
    if (next === 0) return;
    at += next;
  }
}

/** Elf_Verneed: version, count, file, offset of the first Elf_Vernaux, offset of the next; each of those: hash, flags, index, name, next. */
function collectNeeds(cursor: Cursor, stringAt: (offset: number) => string, collect: Collect): void {
  let left = MAX_VERSIONS;
  for (let at = 0; left > 0; left -= 1) {
    cursor.seek(at + 8);
    const auxiliary = cursor.u32();
    const next = cursor.u32();
    for (let entry = at + auxiliary; left > 0; left -= 1) {
      cursor.seek(entry);
      cursor.skip(6);
      const index = cursor.u16();
      const name = cursor.u32();
      const nextEntry = cursor.u32();
      collect(index & ~HIDDEN, stringAt(name));
      if (nextEntry === 0) break;
      entry += nextEntry;
    }
    if (next === 0) return;
    at += next;
  }
}

function stringsOf(file: ElfFile, section: ElfSection): (offset: number) => string {
  const bytes = file.readSection(section);
  return (offset) => new Cursor(bytes, { offset }).cString();
}

function tolerate<T>(body: () => T): T | null {
  try {
    return body();
  } catch (error) {
    const code = errorCode(error);
    if (code === 'BYTES_OUT_OF_RANGE' || code?.startsWith('ELF_') === true) return null;
    throw error;
  }
}

const VERSIONED = /^(.+?)(@@?[A-Za-z][\w.]*)$/;

/** A name as .symtab spells it (`memcpy@@GLIBC_2.14`) in name and version. */
export function splitVersion(name: string): { readonly name: string; readonly version: string | null } {
  const match = name.includes('@') ? VERSIONED.exec(name) : null;
  return match === null ? { name, version: null } : { name: match[1]!, version: match[2]! };
}
