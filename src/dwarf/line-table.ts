// The matrix a line program makes (DWARF 5 section 6.2.1), as typed arrays: rows in sequences, found by address or by line.

import type { FileTable } from './file-names.ts';
import { IntervalIndex } from './intervals.ts';

/** A row's answer. `line` null where the producer wrote 0: code that belongs to no line. */
export interface LineRow {
  readonly file: string | null;
  readonly line: number | null;
  readonly column: number | null;
}

/** Rows of one program, sorted within each sequence. Addresses are offsets from the image's origin. */
export class LineTable {
  readonly files: FileTable;
  readonly rowCount: number;
  private readonly addresses: Float64Array;
  private readonly fileNumbers: Uint32Array;
  private readonly lines: Uint32Array;
  /** Column, with STATEMENT added on rows that begin a statement. */
  private readonly columns: Uint32Array;
  /** Sequences by address; the value is the number of the sequence. */
  private readonly sequences: IntervalIndex;
  /** First row of each sequence, and the end of the last. */
  private readonly bounds: Uint32Array;

  constructor(files: FileTable, rows: Rows, sequences: readonly number[], bounds: Uint32Array) {
    this.files = files;
    this.rowCount = rows.count;
    this.addresses = rows.addresses.slice(0, rows.count);
    this.fileNumbers = rows.fileNumbers.slice(0, rows.count);
    this.lines = rows.lines.slice(0, rows.count);
    this.columns = rows.columns.slice(0, rows.count);
    this.sequences = new IntervalIndex(sequences);
    this.bounds = bounds;
  }

  /** Bytes it keeps. */
  get cost(): number {
    return this.rowCount * 20 + this.bounds.length * 28;
  }

  /** The last row at or before `address` in the sequence that covers it, or null. */
  find(address: number): LineRow | null {
    const at = this.sequences.findSmallest(address);
    if (at < 0) return null;
    const sequence = this.sequences.values[at]!;
    const row = this.lastRow(this.bounds[sequence]!, this.bounds[sequence + 1]!, address);
    return row < 0 ? null : this.rowAt(row);
  }

  /** The lowest address of the first statement on `line` of one of the files, or on the next line that has code. */
  findLine(files: ReadonlySet<number>, line: number): { readonly address: number; readonly line: number } | null {
    let best: { address: number; line: number } | null = null;
    for (let row = 0; row < this.rowCount; row += 1) {
      const found = this.lines[row]!;
      if (found < line || this.columns[row]! < STATEMENT || !files.has(this.fileNumbers[row]!)) continue;
      const address = this.addresses[row]!;
      if (best === null || found < best.line || (found === best.line && address < best.address)) best = { address, line: found };
    }
    return best;
  }

  private lastRow(from: number, to: number, address: number): number {
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.addresses[middle]! <= address) low = middle + 1;
      else high = middle;
    }
    return low - 1 < from ? -1 : low - 1;
  }

  private rowAt(row: number): LineRow {
    const column = this.columns[row]! % STATEMENT;
    return {
      file: this.files.path(this.fileNumbers[row]!),
      line: this.lines[row]! === 0 ? null : this.lines[row]!,
      column: column === 0 ? null : column,
    };
  }
}

const STATEMENT = 0x8000_0000;

/** Rows while they come. */
interface Rows {
  count: number;
  addresses: Float64Array;
  fileNumbers: Uint32Array;
  lines: Uint32Array;
  columns: Uint32Array;
}

/** Takes rows as the program emits them; drops sequences of code that the linker threw away. */
export class RowBuilder {
  private readonly files: FileTable;
  private readonly isCode: (address: number) => boolean;
  private readonly rows: Rows = newRows(256);
  private readonly sequences: number[] = [];
  private readonly bounds: number[] = [0];

  constructor(files: FileTable, isCode: (address: number) => boolean) {
    this.files = files;
    this.isCode = isCode;
  }

  add(address: number, file: number, line: number, column: number, isStatement: boolean): void {
    const { rows } = this;
    if (rows.count === rows.addresses.length) growRows(rows);
    const at = rows.count;
    rows.count += 1;
    rows.addresses[at] = address;
    rows.fileNumbers[at] = file;
    rows.lines[at] = line;
    rows.columns[at] = Math.min(column, STATEMENT - 1) + (isStatement ? STATEMENT : 0);
  }

  endSequence(end: number): void {
    const { rows, bounds } = this;
    const from = bounds[bounds.length - 1]!;
    sortRows(rows, from, rows.count);
    const start = rows.addresses[from] ?? end;
    if (rows.count === from || !(start < end) || !this.isCode(start)) {
      rows.count = from;
      return;
    }
    this.sequences.push(start, end, bounds.length - 1);
    bounds.push(rows.count);
  }

  /** Rows behind the last end_sequence belong to no sequence and are dropped. */
  finish(): LineTable {
    this.rows.count = this.bounds[this.bounds.length - 1]!;
    return new LineTable(this.files, this.rows, this.sequences, Uint32Array.from(this.bounds));
  }
}

function newRows(capacity: number): Rows {
  return {
    count: 0,
    addresses: new Float64Array(capacity),
    fileNumbers: new Uint32Array(capacity),
    lines: new Uint32Array(capacity),
    columns: new Uint32Array(capacity),
  };
}

function growRows(rows: Rows): void {
  const larger = newRows(rows.addresses.length * 2);
  larger.addresses.set(rows.addresses);
  larger.fileNumbers.set(rows.fileNumbers);
  larger.lines.set(rows.lines);
  larger.columns.set(rows.columns);
  rows.addresses = larger.addresses;
  rows.fileNumbers = larger.fileNumbers;
  rows.lines = larger.lines;
  rows.columns = larger.columns;
}

/** Addresses must rise within a sequence; hand-written .loc and some old compilers break that, and readers sort. */
function sortRows(rows: Rows, from: number, to: number): void {
  let sorted = true;
  for (let at = from + 1; at < to && sorted; at += 1) sorted = rows.addresses[at - 1]! <= rows.addresses[at]!;
  if (sorted) return;
  const order = Array.from({ length: to - from }, (_, index) => from + index);
  order.sort((a, b) => rows.addresses[a]! - rows.addresses[b]! || a - b);
  for (const array of [rows.addresses, rows.fileNumbers, rows.lines, rows.columns]) {
    array.set(
      order.map((at) => array[at]!),
      from,
    );
  }
}
