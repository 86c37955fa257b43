// Line table rows as llvm-dwarfdump prints them: evidence that owes nothing to the readers that are compared.

import { posix } from 'node:path';
import { programLines } from './program-lines.ts';
import type { WantedAddresses } from './wanted.ts';

/** The row that holds an address in one sequence of one line table, and the rows that stand at the same address before it. */
export interface DumpedRow {
  /** Offset of the table in .debug_line. */
  readonly table: number;
  readonly sequenceStart: bigint;
  readonly file: number;
  readonly line: number;
  readonly column: number;
  /** Whether the row's address is the wanted one itself. */
  readonly address: bigint;
}

/** The files of a line table. */
export interface FileNames {
  readonly version: number;
  readonly directories: Map<number, string>;
  readonly files: Map<number, { name: string; directory: number }>;
}

/** What the line tables say of the wanted addresses: rows by position, and the tables' files by offset. */
export interface DumpedRows {
  readonly rows: ReadonlyMap<number, readonly DumpedRow[]>;
  readonly tables: ReadonlyMap<number, FileNames>;
}

const ROW = /^(0x[0-9a-f]{16}) +(\d+) +(\d+) +(\d+) +\d+ +\d+ *(.*)$/;

/** Reads all line tables of `path`. */
export async function dumpRows(path: string, wanted: WantedAddresses): Promise<DumpedRows> {
  const reader = new RowReader(wanted);
  for await (const lines of programLines('llvm-dwarfdump', ['--debug-line', path])) for (const line of lines) reader.add(line);
  return reader;
}

class RowReader implements DumpedRows {
  readonly rows = new Map<number, DumpedRow[]>();
  readonly tables = new Map<number, FileNames>();
  private readonly wanted: WantedAddresses;
  private table = 0;
  private files: FileNames = { version: 0, directories: new Map(), files: new Map() };
  private file = 0;
  private sequence: Omit<DumpedRow, 'sequenceStart'>[] = [];

  constructor(wanted: WantedAddresses) {
    this.wanted = wanted;
  }

  add(line: string): void {
    if (line.startsWith('0x')) this.addRow(line);
    else if (line.startsWith('debug_line[')) this.startTable(Number(/0x[0-9a-f]+/.exec(line)![0]));
    else this.addHeader(line);
  }

  private startTable(offset: number): void {
    this.table = offset;
    this.files = { version: 0, directories: new Map(), files: new Map() };
    this.tables.set(offset, this.files);
    this.sequence = [];
  }

  private addHeader(line: string): void {
    const [, key, value] =
      /^ *(version|name|dir_index|include_directories\[ *\d+\]|file_names\[ *\d+\])(?:: | = |:$)(.*)$/.exec(line) ?? [];
    if (key === undefined || value === undefined) return;
    const number = Number(/\d+/.exec(key)?.[0] ?? -1);
    if (key === 'version') this.files = this.withVersion(Number(value));
    else if (key.startsWith('include')) this.files.directories.set(number, unquoted(value));
    else if (key.startsWith('file')) {
      this.file = number;
      this.files.files.set(number, { name: '', directory: 0 });
    } else if (key === 'name') this.files.files.get(this.file)!.name = unquoted(value);
    else this.files.files.get(this.file)!.directory = Number(value);
  }

  private withVersion(version: number): FileNames {
    const files = { ...this.files, version };
    this.tables.set(this.table, files);
    return files;
  }

  private addRow(text: string): void {
    const [, address, line, column, file, flags] = ROW.exec(text) ?? [];
    if (address === undefined) return;
    const row = { table: this.table, file: Number(file), line: Number(line), column: Number(column), address: BigInt(address) };
    this.sequence.push(row);
    if (flags?.includes('end_sequence') !== true) return;
    this.endSequence(this.sequence);
    this.sequence = [];
  }

  private endSequence(sequence: readonly Omit<DumpedRow, 'sequenceStart'>[]): void {
    const sorted = sequence.toSorted((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    const sequenceStart = sorted[0]!.address;
    const [first, last] = this.wanted.within(sequenceStart, sorted.at(-1)!.address);
    if (first === last) return;
    for (let index = 0; index + 1 < sorted.length; index += 1) {
      const [from, to] = this.wanted.within(sorted[index]!.address, sorted[index + 1]!.address);
      for (let at = from; at < to; at += 1) {
        const rows = this.rows.get(at) ?? [];
        rows.push({ ...sorted[index]!, sequenceStart });
        this.rows.set(at, rows);
      }
    }
  }
}

function unquoted(text: string): string {
  return text.replace(/^"(.*)"$/, '$1');
}

/** The path of file `number`; before version 5 directory 0 is the unit's, `compilationDirectory`. Null when there is no such file. */
export function dumpedPath(names: FileNames, number: number, compilationDirectory: string | null): string | null {
  const file = names.files.get(number);
  if (file === undefined) return null;
  const base = names.version >= 5 ? (names.directories.get(0) ?? '') : (compilationDirectory ?? '');
  const directory = file.directory === 0 ? '' : (names.directories.get(file.directory) ?? '');
  return posix.normalize(
    [base, directory, file.name].reduce((path, part) => (part.startsWith('/') ? part : posix.join(path, part))),
  );
}
