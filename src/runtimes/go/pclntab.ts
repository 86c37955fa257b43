// Go's .gopclntab (runtime/symtab.go, cmd/link/internal/ld/pcln.go): header, function table, function records and the tables that
// give a value for each pc. Only the function table is decoded, into two typed arrays; the rest is read where a look-up goes.

import { UnidbgError } from '../../model/error.ts';
import type { ImageWindow } from './image-window.ts';
import { findLayout, type Layout } from './layout.ts';

/** The longest name seen is some kilobytes, of a method of nested generic types. */
const MAX_TEXT_BYTES = 16 * 1024;
/** Larger than any program: Kubernetes' has 150,000. */
const MAX_FUNCTIONS = 4_000_000;
const NO_FUNCDATA = 0xffff_ffff;
const MAX_TEXTS = 8192;
/** Steps of one table; the largest function seen, a megabyte of initialisers, has some hundred thousand. */
const MAX_STEPS = 1 << 20;
/** Steps of decoded tables that are kept, of 8 bytes each. */
const MAX_KEPT_STEPS = 1 << 20;

/** Where the parts begin, as offsets of the window. */
interface Parts {
  readonly names: number;
  readonly units: number;
  readonly files: number;
  readonly pcTables: number;
  readonly functions: number;
  readonly functab: number;
}

/** A function of the table. */
export interface FunctionRecord {
  readonly index: number;
  /** Offsets from the start of text: [start, end). */
  readonly start: number;
  readonly end: number;
  /** Where its record lies in the window. */
  readonly at: number;
}

/** A value for each stretch of a function's code. */
interface PcTable {
  /** Offsets from the function's entry where the stretches end, ascending. */
  readonly ends: Uint32Array;
  readonly values: Int32Array;
}

/** An open table. Code is named by its offset from `text`. */
export class Pclntab {
  readonly window: ImageWindow;
  readonly layout: Layout;
  /** Link address that offsets of code count from. */
  readonly text: bigint;
  readonly count: number;
  readonly parts: Parts;
  private readonly quantum: number;
  private readonly entries: Uint32Array;
  private readonly records: Uint32Array;
  /** Names of functions and files by their place. */
  private readonly texts = new Map<number, string>();
  private readonly tables = new Map<number, PcTable>();
  private tableSteps = 0;

  /** `window` begins at the header. `text` decides where the header does not say; throws GO_TABLE_MALFORMED. */
  constructor(window: ImageWindow, header: PclntabHeader, text: bigint) {
    this.window = window;
    this.layout = header.layout;
    this.quantum = header.quantum;
    this.count = header.count;
    this.parts = header.parts;
    this.text = text;
    [this.entries, this.records] = decodeFunctab(window, header, text);
  }

  /** The function that holds the byte at `offset` of text; null outside of all. */
  findFunction(offset: number): FunctionRecord | null {
    if (!(offset >= this.entries[0]! && offset < this.entries[this.count]!)) return null;
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.entries[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return this.functionAt(low);
  }

  functionAt(index: number): FunctionRecord {
    const [start, end] = [this.entries[index]!, this.entries[index + 1]!];
    return { index, start, end, at: this.parts.functions + this.records[index]! };
  }

  /** End of the last function, as an offset from text. */
  get end(): number {
    return this.entries[this.count]!;
  }

  nameOf(fn: FunctionRecord): string {
    return this.nameAt(this.window.i32(fn.at + this.layout.record.name));
  }

  /** The name at `offset` of the names; empty for a record without one. */
  nameAt(offset: number): string {
    if (offset < 0) throw malformed(`a name at offset ${offset}`, this.window);
    return this.textAt(this.parts.names + offset);
  }

  /** Flags of a function's record; 0 in releases that had none. */
  flagsOf(fn: FunctionRecord): number {
    return this.layout.record.flags === null ? 0 : this.window.u8(fn.at + this.layout.record.flags);
  }

  /** Whether `pc` is one of the function's instructions: behind them there is padding, which the function table counts in. */
  covers(fn: FunctionRecord, pc: number): boolean {
    return (this.valueAt(fn, this.window.u32(fn.at + this.layout.record.pcln), pc) ?? -1) >= 0;
  }

  /** Source file and line of the instruction at `pc` (offset from text); null where the tables do not reach. */
  placeOf(fn: FunctionRecord, pc: number): { readonly file: string | null; readonly line: number } | null {
    const line = this.valueAt(fn, this.window.u32(fn.at + this.layout.record.pcln), pc);
    if (line === null || line < 0) return null;
    const file = this.valueAt(fn, this.window.u32(fn.at + this.layout.record.pcfile), pc);
    return { file: file === null || file < 0 ? null : this.fileAt(fn, file), line };
  }

  /** Bytes by which the stack pointer is below its value at the function's entry; null where unknown. */
  stackDelta(fn: FunctionRecord, pc: number): number | null {
    const delta = this.valueAt(fn, this.window.u32(fn.at + this.layout.record.pcsp), pc);
    return delta === null || delta < 0 ? null : delta;
  }

  /** The value that table `index` of the function's pcdata has at `pc`; null without that table. */
  pcdata(fn: FunctionRecord, index: number, pc: number): number | null {
    if (index >= this.window.u32(fn.at + this.layout.record.npcdata)) return null;
    return this.valueAt(fn, this.window.u32(fn.at + this.layout.record.pcdata + 4 * index), pc);
  }

  /** Entry `index` of the function's funcdata: an offset or a pointer, as the layout has it; null without one. */
  funcdata(fn: FunctionRecord, index: number): bigint | null {
    const { record, funcdataAreOffsets } = this.layout;
    if (index >= this.window.u8(fn.at + record.nfuncdata)) return null;
    const after = fn.at + record.pcdata + 4 * this.window.u32(fn.at + record.npcdata);
    if (funcdataAreOffsets) {
      const offset = this.window.u32(after + 4 * index);
      return offset === NO_FUNCDATA ? null : BigInt(offset);
    }
    const word = this.window.image.bits / 8;
    const misaligned = Number((this.window.origin + BigInt(after)) % BigInt(word));
    const pointer = this.window.address(after + (misaligned === 0 ? 0 : word - misaligned) + word * index);
    return pointer === 0n ? null : pointer;
  }

  private textAt(at: number): string {
    const known = this.texts.get(at);
    if (known !== undefined) return known;
    const text = this.window.cString(at, MAX_TEXT_BYTES);
    if (this.texts.size >= MAX_TEXTS) this.texts.clear();
    this.texts.set(at, text);
    return text;
  }

  /** The value that the table at `offset` has at `pc`; null without a table or past its end. */
  private valueAt(fn: FunctionRecord, offset: number, pc: number): number | null {
    if (offset === 0) return null;
    const { ends, values } = this.tableAt(offset);
    const into = pc - fn.start;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! > into) high = middle;
      else low = middle + 1;
    }
    return values[low] ?? null;
  }

  /** Equal tables of many functions are one, and the same functions are asked for again: what was decoded is kept for a while. */
  private tableAt(offset: number): PcTable {
    const known = this.tables.get(offset);
    if (known !== undefined) return known;
    const table = decodePcTable(this.window, this.parts.pcTables + offset, this.quantum);
    if (this.tableSteps + table.ends.length > MAX_KEPT_STEPS) {
      this.tables.clear();
      this.tableSteps = 0;
    }
    this.tableSteps += table.ends.length;
    this.tables.set(offset, table);
    return table;
  }

  private fileAt(fn: FunctionRecord, number: number): string | null {
    const { window, parts } = this;
    const { cuOffset } = this.layout.record;
    const unit = cuOffset === null ? 0 : window.u32(fn.at + cuOffset);
    const offset = window.u32(parts.units + 4 * (unit + number));
    // The linker leaves out files of which no code is left.
    return offset === 0xffff_ffff ? null : this.textAt(parts.files + offset);
  }
}

/** The header, checked as far as it can be by itself. */
export interface PclntabHeader {
  readonly layout: Layout;
  readonly quantum: number;
  readonly count: number;
  readonly parts: Parts;
  /** Where text begins, of releases and links that say so here; null elsewhere. */
  readonly text: bigint | null;
}

/** The header at the window's offset 0; null when there is none. Throws BYTES_OUT_OF_RANGE. */
export function decodeHeader(window: ImageWindow): PclntabHeader | null {
  const word = window.image.bits / 8;
  const layout = findLayout(window.u32(0), word);
  const quantum = window.u8(6);
  if (layout === null || window.u16(4) !== 0 || ![1, 2, 4].includes(quantum) || window.u8(7) !== word) return null;
  const wordAt = (index: number): number => window.word(8 + word * index);
  const count = wordAt(0);
  if (count < 1 || count > MAX_FUNCTIONS) return null;
  const parts = layout.header.names === null ? findBlobParts(window, layout, count) : findParts(layout.header.names, wordAt);
  const { names, units, files, pcTables, functions, functab } = parts;
  if ([names, units, files, pcTables, functions, functab].some((offset) => window.remaining(offset) <= 0)) return null;
  if (window.remaining(parts.functab) < count * 2 * layout.functabField) return null;
  return { layout, quantum, count, parts, text: textOf(window, layout, parts.functab, word) };
}

function findParts(first: number, wordAt: (index: number) => number): Parts {
  const [names, units, files, pcTables, functions] = [0, 1, 2, 3, 4].map((index) => wordAt(first + index));
  return { names: names!, units: units!, files: files!, pcTables: pcTables!, functions: functions!, functab: functions! };
}

/** Until 1.15: the function table follows the header, the list of files is named behind it, all offsets count from the header. */
function findBlobParts(window: ImageWindow, layout: Layout, count: number): Parts {
  const functab = 8 + layout.functabField;
  const end = functab + count * 2 * layout.functabField;
  const units = window.remaining(functab) < end ? Infinity : window.u32(end + layout.functabField);
  return { names: 0, units, files: 0, pcTables: 0, functions: 0, functab };
}

function textOf(window: ImageWindow, layout: Layout, functab: number, word: number): bigint | null {
  if (!layout.entriesAreOffsets) return window.address(functab);
  const { textStart } = layout.header;
  const text = textStart === null ? 0n : window.address(8 + word * textStart);
  return text === 0n ? null : text;
}

/** Steps of (change of the value, bytes of code), each a varint, until a change of 0 that is not the first (runtime/symtab.go: step). */
function decodePcTable(window: ImageWindow, start: number, quantum: number): PcTable {
  const ends: number[] = [];
  const values: number[] = [];
  let at = start;
  let value = -1;
  let end = 0;
  const readVarint = (): number => {
    let byte = window.u8(at);
    at += 1;
    let result = byte & 0x7f;
    for (let shift = 7; byte >= 0x80 && shift < 35; shift += 7) {
      byte = window.u8(at);
      at += 1;
      result |= (byte & 0x7f) << shift;
    }
    return result >>> 0;
  };
  while (ends.length < MAX_STEPS) {
    const change = readVarint();
    if (change === 0 && end !== 0) break;
    value = (value + ((change & 1) !== 0 ? ~(change >>> 1) : change >>> 1)) | 0;
    end = Math.min(end + readVarint() * quantum, 0xffff_ffff);
    ends.push(end);
    values.push(value);
  }
  return { ends: Uint32Array.from(ends), values: Int32Array.from(values) };
}

function decodeFunctab(window: ImageWindow, header: PclntabHeader, text: bigint): [Uint32Array, Uint32Array] {
  const { count, layout, parts } = header;
  const entries = new Uint32Array(count + 1);
  const records = new Uint32Array(count);
  const field = layout.functabField;
  // Entries are addresses there: their low halves are enough, as no text is larger than 4 GiB.
  const base = layout.entriesAreOffsets ? 0 : Number(BigInt.asUintN(32, text));
  const high = window.image.littleEndian || field === 4 ? 0 : 4;
  for (let index = 0; index <= count; index += 1) {
    const at = parts.functab + 2 * field * index;
    const entry = (window.u32(at + high) - base) >>> 0;
    if (index > 0 && entry < entries[index - 1]!)
      throw malformed(`function ${index} of ${count} lies before the one before`, window);
    entries[index] = entry;
    if (index < count) records[index] = window.u32(at + field + high);
  }
  return [entries, records];
}

function malformed(what: string, window: ImageWindow): UnidbgError {
  return new UnidbgError('GO_TABLE_MALFORMED', `.gopclntab at link address 0x${window.origin.toString(16)}: ${what}`, {
    facts: { address: window.origin },
  });
}
