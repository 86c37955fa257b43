// From a code address to its FDE and row, over .eh_frame and .debug_frame together (Unikraft keeps the CFI of C code only
// in the one and that of its trap vectors only in the other). .eh_frame_hdr's sorted table (LSB Core 10.6.2) answers without
// a scan where it is good; else, and for .debug_frame, one scan fills typed arrays.

import { Cursor } from '../bytes/cursor.ts';
import type { Diagnostic } from '../model/diagnostic.ts';
import { errorCode, errorMessage } from '../model/error.ts';
import { CfiReader, type CfiSection, type Fde, guarded } from './cfi-entry.ts';
import { DW_EH_PE_OMIT, type PointerBases, readPointer } from './cfi-pointer.ts';
import { type CfiRow, findRow } from './cfi-row.ts';
import { type FdeTable, scanFdes } from './cfi-scan.ts';

/** What an image has. Addresses are link addresses. */
export interface CfiInput {
  /** The image's lowest link address: inner offsets count from it. */
  readonly base: bigint;
  /** 4 or 8. */
  readonly addressSize: number;
  readonly sections: readonly CfiSection[];
  /** .eh_frame_hdr, where there is one. */
  readonly header?: { readonly bytes: Uint8Array; readonly address: bigint } | null;
}

/** CFI of one address. */
export interface CfiMatch {
  readonly fde: Fde;
  readonly row: CfiRow;
}

/** The call frame information of one image. */
export interface CfiIndex {
  readonly base: bigint;
  /** CFI at a link address; null where there is none or it cannot be understood. Never throws. */
  find(address: bigint): CfiMatch | null;
  /** Whether an FDE starts exactly at this link address. */
  startsAt(address: bigint): boolean;
  /** What could not be understood so far; grows as sections are read. */
  readonly diagnostics: readonly Diagnostic[];
}

const MAX_CACHED_ROWS = 8192;
const MAX_DIAGNOSTICS = 32;
/** How many FDEs before the nearest one are tried when ranges overlap. */
const MAX_OVERLAP = 64;

/** Opens the CFI of an image; null when it has none. Nothing is read before the first look-up. */
export function openCfiIndex(input: CfiInput): CfiIndex | null {
  const sections = input.sections.filter((section) => section.bytes.length > 0);
  return sections.length === 0 ? null : new MergedIndex({ ...input, sections });
}

class MergedIndex implements CfiIndex {
  readonly base: bigint;
  readonly diagnostics: Diagnostic[] = [];
  private readonly readers: readonly CfiReader[];
  private readonly header: HeaderTable | null;
  private scanned: FdeTable | null = null;
  private readonly rows = new Map<number, CfiMatch | null>();

  constructor(input: CfiInput) {
    this.base = input.base;
    this.readers = input.sections.map((section) => new CfiReader(section, input.base, input.addressSize));
    const ehFrame = this.readers.find((reader) => reader.section.kind === 'eh_frame');
    this.header = ehFrame === undefined || input.header == null ? null : openHeader(input.header, ehFrame);
  }

  find(address: bigint): CfiMatch | null {
    const offset = Number(address - this.base);
    if (!Number.isSafeInteger(offset)) return null;
    const known = this.rows.get(offset);
    if (known !== undefined) return known;
    const found = this.decode(offset);
    if (this.rows.size >= MAX_CACHED_ROWS) this.rows.clear();
    this.rows.set(offset, found);
    return found;
  }

  startsAt(address: bigint): boolean {
    return this.find(address)?.fde.start === Number(address - this.base);
  }

  private decode(offset: number): CfiMatch | null {
    try {
      const fde = this.findFde(offset);
      const row = fde === null ? null : findRow(fde, offset);
      return fde === null || row === null ? null : { fde, row };
    } catch (error) {
      if (errorCode(error) !== 'CFI_MALFORMED') throw error;
      if (this.diagnostics.length < MAX_DIAGNOSTICS)
        this.diagnostics.push({ code: 'cfi-malformed', message: errorMessage(error) });
      return null;
    }
  }

  private findFde(offset: number): Fde | null {
    // The table is only a hint: what it leads to must itself say that it covers the address. A miss is settled by the scan.
    if (this.header !== null && this.scanned === null) {
      const fde = this.header.find(offset);
      if (fde !== null) return fde;
    }
    this.scanned ??= scanFdes(this.readers, this.diagnostics);
    return findScanned(this.scanned, this.readers, offset);
  }
}

/** The FDE that covers `offset` and starts last. */
function findScanned(table: FdeTable, readers: readonly CfiReader[], offset: number): Fde | null {
  const last = lastAtOrBefore(table.starts.length, (index) => table.starts[index]!, offset);
  for (let index = last; index >= 0 && index > last - MAX_OVERLAP; index -= 1) {
    if (table.reach[index]! <= offset) return null;
    if (table.ends[index]! <= offset) continue;
    const reader = readers[table.sections[index]!]!;
    const entry = reader.entryAt(table.entries[index]!);
    return entry === null ? null : reader.fde(entry);
  }
  return null;
}

/** Index of the last key that is not above `wanted`, −1 when all are. */
function lastAtOrBefore(count: number, keyAt: (index: number) => number, wanted: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keyAt(middle) <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

interface HeaderTable {
  find(offset: number): Fde | null;
}

const HEADER_VERSION = 1;
/** datarel | sdata4: the only table encoding that linkers write, and the only one that can be searched without decoding. */
const TABLE_ENCODING = 0x3b;
const TABLE_ENTRY = 8;

/** The table of .eh_frame_hdr; null when it is missing, of another form, or cut short. */
function openHeader(header: { bytes: Uint8Array; address: bigint }, reader: CfiReader): HeaderTable | null {
  const bases: PointerBases = { ...reader.bases, sectionAddress: header.address, dataAddress: header.address };
  try {
    return guarded(0, () => {
      const cursor = new Cursor(header.bytes);
      const version = cursor.u8();
      const [frameEncoding, countEncoding, tableEncoding] = [cursor.u8(), cursor.u8(), cursor.u8()];
      if (version !== HEADER_VERSION || countEncoding === DW_EH_PE_OMIT || tableEncoding !== TABLE_ENCODING) return null;
      if (frameEncoding !== DW_EH_PE_OMIT) readPointer(cursor, frameEncoding, bases);
      // Counts are absolute whatever the origin of addresses: read them relative to zero.
      const count = readPointer(cursor, countEncoding, { ...bases, base: 0n });
      const table = cursor.take(count * TABLE_ENTRY);
      return searchableTable(
        table,
        Number(header.address - reader.bases.base),
        Number(header.address - reader.section.address),
        reader,
      );
    });
  } catch (error) {
    if (errorCode(error) !== 'CFI_MALFORMED') throw error;
    return null;
  }
}

/** `origin`: where the header lies from the image's base; `sectionDistance`: from the start of .eh_frame. */
function searchableTable(table: Uint8Array, origin: number, sectionDistance: number, reader: CfiReader): HeaderTable {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const count = table.length / TABLE_ENTRY;
  return {
    find: (offset) => {
      const index = lastAtOrBefore(count, (at) => view.getInt32(at * TABLE_ENTRY, true) + origin, offset);
      if (index < 0) return null;
      const entryOffset = view.getInt32(index * TABLE_ENTRY + 4, true) + sectionDistance;
      if (entryOffset < 0 || entryOffset >= reader.section.bytes.length) return null;
      try {
        const entry = reader.entryAt(entryOffset);
        if (entry === null || entry.cieOffset === null) return null;
        const fde = reader.fde(entry);
        return offset >= fde.start && offset < fde.end ? fde : null;
      } catch (error) {
        if (errorCode(error) !== 'CFI_MALFORMED') throw error;
        return null;
      }
    },
  };
}
