// The directory and file tables of a line program (DWARF 5 sections 6.2.4 and 6.2.4.1): from a file number to a path.

import type { Cursor } from '../bytes/cursor.ts';
import { LNCT } from './constants.ts';
import { type Encoding, readConstant, readString, skipForm, type UnitBases } from './forms.ts';
import { type DebugSections, malformed } from './section.ts';

/** One file: its name and the index of its directory. */
interface FileName {
  readonly name: string;
  readonly directory: number;
}

/** Fields an entry may be made of: the standard has five. */
const MAX_FIELDS = 32;
/** A unit with more files than this is not from a compiler. */
const MAX_FILES = 1_000_000;

/** Files of one line program. Numbers count from 1 before version 5, from 0 in it. */
export class FileTable {
  private readonly directories: readonly string[];
  private readonly files: FileName[];
  private readonly first: 0 | 1;
  private readonly paths = new Map<number, string | null>();
  /** The unit's own name, which addr2line shows for file number 0 of old tables. */
  private readonly unitName: string | null;

  /** `directories[0]` is the unit's own, the others may be relative to it. */
  constructor(directories: readonly string[], files: FileName[], first: 0 | 1, unitName: string | null) {
    this.directories = directories;
    this.files = files;
    this.first = first;
    this.unitName = unitName;
  }

  /** File numbers whose path satisfies `test`. */
  numbersOf(test: (path: string) => boolean): number[] {
    return this.files.flatMap((_, index) => {
      const path = this.path(index + this.first);
      return path !== null && test(path) ? [index + this.first] : [];
    });
  }

  /** The path of file `number` as the producer wrote it, joined to its directory; null when there is no such file. */
  path(number: number): string | null {
    const known = this.paths.get(number);
    if (known !== undefined) return known;
    const path = this.join(number);
    if (this.paths.size < MAX_FILES) this.paths.set(number, path);
    return path;
  }

  /** Takes the operands of DW_LNE_define_file. */
  define(cursor: Cursor): void {
    const name = cursor.cString();
    if (this.files.length < MAX_FILES) this.files.push({ name, directory: cursor.uleb() });
  }

  private join(number: number): string | null {
    const file = this.files[number - this.first];
    if (file === undefined)
      return number === 0 && this.unitName !== null ? joinPath(this.directories[0] ?? '', this.unitName) : null;
    const base = this.directories[0] ?? '';
    const directory = file.directory === 0 ? base : joinPath(base, this.directories[file.directory] ?? '');
    return joinPath(directory, file.name);
  }
}

/** `name` below `directory`, unless it is absolute. Nothing is normalised: `..` stays as the producer wrote it. */
export function joinPath(directory: string, name: string): string {
  if (directory === '' || name.startsWith('/') || /^[A-Za-z]:[\\/]/.test(name)) return name;
  if (name === '') return directory;
  return directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`;
}

/** The tables of versions 2 to 4: NUL-terminated, directory 0 is the unit's. */
export function decodeFileTable(cursor: Cursor, directory: string | null, unitName: string | null): FileTable {
  const directories = [directory ?? ''];
  for (let name = cursor.cString(); name !== ''; name = cursor.cString()) directories.push(name);
  const files: FileName[] = [];
  for (let name = cursor.cString(); name !== ''; name = cursor.cString()) {
    files.push({ name, directory: cursor.uleb() });
    cursor.ulebBig();
    cursor.ulebBig();
  }
  return new FileTable(directories, files, 1, unitName);
}

/** The self-describing tables of version 5. */
export function decodeFileTableV5(cursor: Cursor, context: { sections: DebugSections; encoding: Encoding }): FileTable {
  const bases: UnitBases = { ...context, stringOffsetsBase: null, addressBase: null };
  const directories = decodeEntries(cursor, bases, 'directories');
  const files = decodeEntries(cursor, bases, 'files');
  return new FileTable(
    directories.map((entry) => entry.name),
    files,
    0,
    null,
  );
}

function decodeEntries(cursor: Cursor, unit: UnitBases, what: string): FileName[] {
  const fields = decodeFormat(cursor, what);
  const count = cursor.uleb();
  if (count > MAX_FILES || (fields.length === 0 && count > 0)) throw malformed('line program', `${count} ${what}`);
  const entries: FileName[] = [];
  for (let index = 0; index < count; index += 1) entries.push(decodeEntry(cursor, fields, unit));
  return entries;
}

function decodeFormat(cursor: Cursor, what: string): { content: number; form: number }[] {
  const count = cursor.u8();
  if (count > MAX_FIELDS) throw malformed('line program', `${count} fields in each of the ${what}`);
  return Array.from({ length: count }, () => ({ content: cursor.uleb(), form: cursor.uleb() }));
}

function decodeEntry(cursor: Cursor, fields: readonly { content: number; form: number }[], unit: UnitBases): FileName {
  let name = '';
  let directory = 0;
  for (const { content, form } of fields) {
    if (content === LNCT.path) name = readString(cursor, form, unit) ?? '';
    else if (content === LNCT.directory_index) directory = readConstant(cursor, form, 0, unit.encoding) ?? 0;
    else skipForm(cursor, form, unit.encoding);
  }
  return { name, directory };
}
