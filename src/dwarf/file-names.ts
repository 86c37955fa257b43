// The directory and file tables of a line program (DWARF 5 sections 6.2.4 and 6.2.4.1): from a file number to a path.

import { Cursor } from '../bytes/cursor.ts';
import { LNCT } from './constants.ts';
import { type Encoding, fixedFormSize, readConstant, readString, skipForm, type UnitBases } from './forms.ts';
import { type DebugSections, malformed } from './section.ts';

/** Fields an entry may be made of: the standard has five. */
const MAX_FIELDS = 32;
/** A unit with more files than this is not from a compiler. */
const MAX_FILES = 1_000_000;

/** A list of names in some section, decoded one by one when asked for: a kernel's unit has 500 files, a look-up asks for two. */
interface NameList {
  readonly count: number;
  readonly name: (index: number) => string;
  /** Of files: the index of the directory. */
  readonly directory: (index: number) => number;
}

/** Files of one line program. Numbers count from 1 before version 5, from 0 in it. */
export class FileTable {
  private readonly directories: NameList;
  private readonly files: NameList;
  /** Added by DW_LNE_define_file. */
  private readonly defined: { readonly name: string; readonly directory: number }[] = [];
  private readonly first: 0 | 1;
  private readonly paths = new Map<number, string | null>();
  /** The unit's own name, which addr2line shows for file number 0 of old tables. */
  private readonly unitName: string | null;

  /** Directory 0 is the unit's own, the others may be relative to it. */
  constructor(directories: NameList, files: NameList, first: 0 | 1, unitName: string | null) {
    this.directories = directories;
    this.files = files;
    this.first = first;
    this.unitName = unitName;
  }

  /** File numbers whose path satisfies `test`. */
  numbersOf(test: (path: string) => boolean): number[] {
    const numbers: number[] = [];
    for (let number: number = this.first; number < this.first + this.files.count + this.defined.length; number += 1) {
      const path = this.path(number);
      if (path !== null && test(path)) numbers.push(number);
    }
    return numbers;
  }

  /** The path of file `number` as the producer wrote it, joined to its directory; null when there is no such file. Throws DWARF_*. */
  path(number: number): string | null {
    const known = this.knownPath(number);
    if (known !== undefined) return known;
    const path = this.join(number);
    if (this.paths.size < MAX_FILES) this.paths.set(number, path);
    return path;
  }

  /** What `path` gave before, undefined when it was not asked for that file. */
  knownPath(number: number): string | null | undefined {
    return this.paths.get(number);
  }

  /** Takes the operands of DW_LNE_define_file. */
  define(cursor: Cursor): void {
    const name = cursor.cString();
    if (this.defined.length < MAX_FILES) this.defined.push({ name, directory: cursor.uleb() });
  }

  private join(number: number): string | null {
    const index = number - this.first;
    const file = this.defined[index - this.files.count] ?? this.listed(index);
    const base = this.directoryAt(0);
    if (file === null) return number === 0 && this.unitName !== null ? joinPath(base, this.unitName) : null;
    const directory = file.directory === 0 ? base : joinPath(base, this.directoryAt(file.directory));
    return joinPath(directory, file.name);
  }

  private listed(index: number): { readonly name: string; readonly directory: number } | null {
    const { files } = this;
    if (!(index >= 0 && index < files.count)) return null;
    return { name: files.name(index), directory: files.directory(index) };
  }

  private directoryAt(index: number): string {
    return index < this.directories.count ? this.directories.name(index) : '';
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
  const skipString = (): boolean => {
    const start = cursor.offset;
    while (cursor.u8() !== 0);
    return cursor.offset - start > 1;
  };
  const below = decodeList(cursor, skipString, { name: (entry) => entry.cString(), directory: () => 0 });
  const files = decodeList(
    cursor,
    () => {
      if (!skipString()) return false;
      // Directory, time of change, size.
      for (let field = 0; field < 3; field += 1) cursor.skipLeb();
      return true;
    },
    {
      name: (entry) => entry.cString(),
      directory(entry) {
        entry.cString();
        return entry.uleb();
      },
    },
  );
  const directories: NameList = {
    count: below.count + 1,
    name: (index) => (index === 0 ? (directory ?? '') : below.name(index - 1)),
    directory: () => 0,
  };
  return new FileTable(directories, files, 1, unitName);
}

/** Moves over entries while `skip` says that there was one, and keeps their bytes and where each starts. */
function decodeList(cursor: Cursor, skip: () => boolean, read: EntryReaders): NameList {
  const start = cursor.offset;
  const starts: number[] = [];
  for (let at = start; skip(); at = cursor.offset) starts.push(at - start);
  // A copy: what is kept must not hold the whole program's bytes.
  const bytes = cursor.bytes.slice(start, cursor.offset);
  const offsets = Uint32Array.from(starts);
  const entryAt = (index: number): Cursor =>
    new Cursor(bytes, { littleEndian: cursor.littleEndian, base: cursor.base + start, offset: offsets[index]! });
  return {
    count: offsets.length,
    name: (index) => read.name(entryAt(index)),
    directory: (index) => read.directory(entryAt(index)),
  };
}

interface EntryReaders {
  readonly name: (entry: Cursor) => string;
  readonly directory: (entry: Cursor) => number;
}

/** The self-describing tables of version 5. */
export function decodeFileTableV5(cursor: Cursor, context: { sections: DebugSections; encoding: Encoding }): FileTable {
  const bases: UnitBases = { ...context, stringOffsetsBase: null, addressBase: null };
  const directories = decodeEntries(cursor, bases, 'directories');
  const files = decodeEntries(cursor, bases, 'files');
  return new FileTable(directories, files, 0, null);
}

function decodeEntries(cursor: Cursor, unit: UnitBases, what: string): NameList {
  const fields = decodeFormat(cursor, what, unit.encoding);
  const count = cursor.uleb();
  // An entry without a field that takes space could be claimed any number of times.
  if (count > MAX_FILES || (count > 0 && !fields.some(takesSpace))) throw malformed('line program', `${count} ${what}`);
  let left = count;
  const skip = (): boolean => {
    if (left === 0) return false;
    left -= 1;
    for (const field of fields) skipField(cursor, field, unit.encoding);
    return true;
  };
  return decodeList(cursor, skip, {
    name: (entry) => findField(entry, fields, LNCT.path, unit, (form) => readString(entry, form, unit)) ?? '',
    directory: (entry) =>
      findField(entry, fields, LNCT.directory_index, unit, (form) => readConstant(entry, form, 0, unit.encoding)) ?? 0,
  });
}

function findField<T>(
  entry: Cursor,
  fields: readonly Field[],
  content: number,
  unit: UnitBases,
  read: (form: number) => T,
): T | null {
  for (const field of fields) {
    if (field.content === content) return read(field.form);
    skipField(entry, field, unit.encoding);
  }
  return null;
}

function skipField(cursor: Cursor, { form, size }: Field, encoding: Encoding): void {
  if (size >= 0) cursor.skip(size);
  else skipForm(cursor, form, encoding);
}

/** A field of each entry; `size` −1 when it varies. */
interface Field {
  readonly content: number;
  readonly form: number;
  readonly size: number;
}

function takesSpace({ size }: Field): boolean {
  return size !== 0;
}

function decodeFormat(cursor: Cursor, what: string, encoding: Encoding): Field[] {
  const count = cursor.u8();
  if (count > MAX_FIELDS) throw malformed('line program', `${count} fields in each of the ${what}`);
  return Array.from({ length: count }, () => {
    const content = cursor.uleb();
    const form = cursor.uleb();
    return { content, form, size: fixedFormSize(form, encoding) };
  });
}
