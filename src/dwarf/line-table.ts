// The matrix a line program makes (DWARF 5 section 6.2.1), as typed arrays: what look-ups by address need of it. A row that
// another row at the same address replaces, and one that says what the row before it says, are left out.

import type { FileTable } from './file-names.ts';
import { IntervalIndex } from './intervals.ts';

/** Takes rows as the program emits them. Addresses are offsets from the image's origin. */
export interface RowSink {
  add(address: number, file: number, line: number, column: number, isStatement: boolean): void;
  /** `end` is the first address behind the rows since the last end. */
  endSequence(end: number): void;
}

/** No sequence is longer: a larger distance comes from damage. */
const MAX_DISTANCE = 2 ** 32;
const MAX_COLUMN = 0xffff;
const MAX_FIRST_ROWS = 1 << 16;

/** Rows of one program, sorted within each sequence. Addresses are offsets from the image's origin. */
export class LineTable {
  readonly files: FileTable;
  /** Distance of each row from the start of its sequence. */
  private readonly distances: Uint32Array;
  private readonly fileNumbers: Uint32Array;
  private readonly lines: Uint32Array;
  private readonly columns: Uint16Array;
  /** Sequences by address; the value is the number of the sequence. */
  private readonly sequences: IntervalIndex;
  /** First row of each sequence, and the end of the last. */
  private readonly bounds: Uint32Array;

  constructor(files: FileTable, rows: Rows, sequences: readonly number[], bounds: Uint32Array) {
    const count = bounds[bounds.length - 1]!;
    this.files = files;
    this.distances = rows.distances.slice(0, count);
    this.fileNumbers = rows.fileNumbers.slice(0, count);
    this.lines = rows.lines.slice(0, count);
    this.columns = rows.columns.slice(0, count);
    this.sequences = new IntervalIndex(sequences);
    this.bounds = bounds;
  }

  /** Bytes it keeps. */
  get cost(): number {
    return this.distances.length * 14 + this.bounds.length * 4 + this.sequences.cost + 500;
  }

  /** Number of the last row at or before `address` in the sequence that covers it, −1 without one. */
  findRow(address: number): number {
    const at = this.sequences.findSmallest(address);
    if (at < 0) return -1;
    const sequence = this.sequences.valueAt(at);
    return this.lastRow(this.bounds[sequence]!, this.bounds[sequence + 1]!, address - this.sequences.startAt(at));
  }

  fileNumberAt(row: number): number {
    return this.fileNumbers[row]!;
  }

  /** Null where the producer wrote 0: code that belongs to no line. */
  lineAt(row: number): number | null {
    return this.lines[row]! || null;
  }

  columnAt(row: number): number | null {
    return this.columns[row]! || null;
  }

  private lastRow(from: number, to: number, distance: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.distances[middle]! <= distance) low = middle + 1;
      else high = middle;
    }
    return low - 1 < from ? -1 : low - 1;
  }
}

/** Rows as they are kept, with their addresses while they come. */
interface Rows {
  readonly addresses: Float64Array;
  readonly distances: Uint32Array;
  readonly fileNumbers: Uint32Array;
  readonly lines: Uint32Array;
  readonly columns: Uint16Array;
}

function newRows(capacity: number): Rows {
  return {
    addresses: new Float64Array(capacity),
    distances: new Uint32Array(capacity),
    fileNumbers: new Uint32Array(capacity),
    lines: new Uint32Array(capacity),
    columns: new Uint16Array(capacity),
  };
}

function grown(rows: Rows): Rows {
  const larger = newRows(rows.lines.length * 2);
  for (const key of ['addresses', 'distances', 'fileNumbers', 'lines', 'columns'] as const) larger[key].set(rows[key]);
  return larger;
}

/** Makes a LineTable; drops sequences of code that the linker threw away. */
export class TableBuilder implements RowSink {
  /** Addresses went back somewhere: rows that were left out may be missed, the program must run again with `isMerging` false. */
  isDisordered = false;
  private readonly isMerging: boolean;
  private readonly isCode: (address: number) => boolean;
  private rows: Rows;
  private readonly sequences: number[] = [];
  private readonly bounds: number[] = [0];
  /** First row of the sequence that is open. */
  private first = 0;
  private count = 0;

  /** `programBytes` is a hint of how many rows will come: compilers spend three to four bytes on one. */
  constructor(programBytes: number, isCode: (address: number) => boolean, isMerging: boolean) {
    this.rows = newRows(Math.min(16 + (programBytes >>> 2), MAX_FIRST_ROWS));
    this.isCode = isCode;
    this.isMerging = isMerging;
  }

  add(address: number, file: number, line: number, column: number): void {
    const { count } = this;
    if (count === this.rows.lines.length) this.rows = grown(this.rows);
    const { addresses, fileNumbers, lines, columns } = this.rows;
    const shown = column > MAX_COLUMN ? 0 : column;
    let at = count;
    if (count > this.first) {
      const last = addresses[count - 1]!;
      if (address < last) this.isDisordered = true;
      if (address === last) at -= 1;
      else if (this.isMerging && lines[at - 1] === line && fileNumbers[at - 1] === file && columns[at - 1] === shown) return;
    }
    addresses[at] = address;
    fileNumbers[at] = file;
    lines[at] = line;
    columns[at] = shown;
    this.count = at + 1;
  }

  endSequence(end: number): void {
    const { rows, bounds, first, count } = this;
    const { addresses } = rows;
    if (this.isDisordered) this.sort(first, count);
    const start = addresses[first] ?? end;
    if (count === first || !(start < end) || end - start > MAX_DISTANCE || !this.isCode(start)) {
      this.count = first;
      return;
    }
    for (let row = first; row < count; row += 1) rows.distances[row] = addresses[row]! - start;
    this.sequences.push(start, end, bounds.length - 1);
    bounds.push(count);
    this.first = count;
  }

  /** Rows behind the last end_sequence belong to no sequence and are dropped. */
  finish(files: FileTable): LineTable {
    return new LineTable(files, this.rows, this.sequences, Uint32Array.from(this.bounds));
  }

  /** Addresses must rise within a sequence; hand-written .loc and some old compilers break that, and readers sort. */
  private sort(from: number, to: number): void {
    const { addresses, fileNumbers, lines, columns } = this.rows;
    const order = Array.from({ length: to - from }, (_, index) => from + index);
    order.sort((a, b) => addresses[a]! - addresses[b]! || a - b);
    for (const array of [addresses, fileNumbers, lines, columns]) {
      array.set(
        order.map((at) => array[at]!),
        from,
      );
    }
  }
}

/** Finds the lowest address of the first statement on `line` of one of `files`, or on the next line that has code. */
export class LineFinder implements RowSink {
  found: { readonly address: number; readonly line: number } | null = null;
  private readonly files: ReadonlySet<number>;
  private readonly line: number;
  private readonly isCode: (address: number) => boolean;
  /** Better than `found`, in the sequence that is open. */
  private candidate: { readonly address: number; readonly line: number } | null = null;

  constructor(files: ReadonlySet<number>, line: number, isCode: (address: number) => boolean) {
    this.files = files;
    this.line = line;
    this.isCode = isCode;
  }

  add(address: number, file: number, line: number, _column: number, isStatement: boolean): void {
    if (!isStatement || line < this.line || !this.files.has(file)) return;
    const best = this.candidate ?? this.found;
    if (best === null || line < best.line || (line === best.line && address < best.address)) this.candidate = { address, line };
  }

  endSequence(): void {
    if (this.candidate !== null && this.isCode(this.candidate.address)) this.found = this.candidate;
    this.candidate = null;
  }
}
