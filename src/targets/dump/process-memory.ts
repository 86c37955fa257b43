// Memory of a process's core by virtual address: what its segments hold, else what the mapped file holds that is the same still.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import type { Address } from '../../model/address.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { Memory } from '../../model/target.ts';
import type { LoadSegment } from './core-tables.ts';
import { type MappedRange, openFileOfCore } from './mapped-files.ts';

const PAGE_BYTES = 4096;
const PAGE = BigInt(PAGE_BYTES);
/** 16 MiB of pages are kept. */
const MAX_PAGES = 4096;
const MAX_READ_BYTES = 16 * 1024 * 1024;
/** Each open file is a descriptor. */
const MAX_FILES = 64;
const MAX_NAMED = 3;

/** Guest-virtual [start, end) at `position` of `source`. */
interface Piece {
  readonly start: Address;
  readonly end: Address;
  readonly source: ByteSource;
  readonly position: number;
}

/** Memory of a process; `close` closes the mapped files, not the core. */
export interface ProcessMemory extends Memory {
  /** Bytes that the core itself holds. */
  readonly dumpedBytes: number;
  /** Which mapped pages cannot be read, and why. */
  readonly diagnostics: readonly Diagnostic[];
  readonly close: () => void;
}

/** Memory as the segments hold it and, where they do not, the mapped files. Opens those that are needed and the same still. */
export function openProcessMemory(
  source: ByteSource,
  loads: readonly LoadSegment[],
  mapped: readonly MappedRange[],
): ProcessMemory {
  const dumped = loads.flatMap((load) => pieceOf(source, load)).sort(byStart);
  const own = createReader(dumped);
  const files = openFiles(mapped, dumped, own);
  const read = files.pieces.length === 0 ? own : eitherOf(own, createReader(files.pieces.toSorted(byStart)));
  return {
    read,
    dumpedBytes: dumped.reduce((sum, { start, end }) => sum + Number(end - start), 0),
    diagnostics: files.diagnostics,
    close: files.close,
  };
}

/** What the file really has of a segment: a core that was cut off ends in the middle of one. */
function pieceOf(source: ByteSource, { virtualAddress, offset, fileSize, memorySize }: LoadSegment): Piece[] {
  const size = Math.min(fileSize, memorySize, source.size - offset);
  if (!(size > 0)) return [];
  return [{ start: virtualAddress, end: virtualAddress + BigInt(size), source, position: offset }];
}

function byStart(a: Piece, b: Piece): number {
  return a.start < b.start ? -1 : Number(a.start > b.start);
}

function openFiles(
  mapped: readonly MappedRange[],
  dumped: readonly Piece[],
  read: Memory['read'],
): { pieces: Piece[]; diagnostics: Diagnostic[]; close: () => void } {
  const pieces: Piece[] = [];
  const opened: ByteSource[] = [];
  const refused: string[] = [];
  const used: string[] = [];
  for (const [path, ranges] of Map.groupBy(mapped, (range) => range.path)) {
    if (ranges.every((range) => isDumped(range, dumped))) continue;
    const first = ranges.find(({ offset }) => offset === 0);
    const file =
      opened.length + refused.length >= MAX_FILES
        ? { refused: `more than ${MAX_FILES} files are mapped` }
        : first === undefined
          ? { refused: 'its first page was not mapped, so nobody can tell whether the file is the same' }
          : openFileOfCore(path, first.start, read);
    if ('refused' in file) {
      refused.push(`${path} (${file.refused})`);
      continue;
    }
    opened.push(file.source);
    used.push(path);
    for (const { start, end, offset } of ranges) {
      const size = Math.min(Number(end - start), file.source.size - offset);
      if (size > 0) pieces.push({ start, end: start + BigInt(size), source: file.source, position: offset });
    }
  }
  const close = (): void => {
    for (const file of opened) file.close();
  };
  return { pieces, diagnostics: [...wordsOf(used, refused)], close };
}

function* wordsOf(used: readonly string[], refused: readonly string[]): Generator<Diagnostic> {
  if (used.length > 0) {
    const message = `pages that the core leaves out are read from the files that were mapped: ${listOf(used)}`;
    yield { code: 'core-mapped-files', message };
  }
  if (refused.length > 0) {
    const message = `pages that the core leaves out cannot be read, of ${listOf(refused)}`;
    yield { code: 'core-pages-missing', message };
  }
}

function listOf(names: readonly string[]): string {
  const rest = names.length - MAX_NAMED;
  return names.slice(0, MAX_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

/** Whether every byte of a mapping is in the core. */
function isDumped({ start, end }: MappedRange, dumped: readonly Piece[]): boolean {
  let at = start;
  for (let index = Math.max(0, lastStartingBy(dumped, start)); index < dumped.length && at < end; index += 1) {
    const piece = dumped[index]!;
    if (piece.start > at) return false;
    if (piece.end > at) at = piece.end;
  }
  return at >= end;
}

/** The index of the last piece that begins at or below `address`; -1 = none does. */
function lastStartingBy(pieces: readonly Piece[], address: Address): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.start <= address) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function eitherOf(first: Memory['read'], second: Memory['read']): Memory['read'] {
  return (address, length) => {
    const whole = first(address, length) ?? second(address, length);
    if (whole !== null || length <= 1 || length > MAX_READ_BYTES) return whole;
    return acrossPages(address, length, (at, count) => first(at, count) ?? second(at, count));
  };
}

/** A reader over pieces in ascending order, which keeps pages. */
function createReader(pieces: readonly Piece[]): Memory['read'] {
  const pages = new Map<Address, Uint8Array | null>();
  const readPage = (page: Address): Uint8Array | null => {
    const known = pages.get(page);
    if (known !== undefined) return known;
    if (pages.size >= MAX_PAGES) pages.clear();
    const piece = pieces[lastStartingBy(pieces, page)];
    const inside = piece !== undefined && page + PAGE <= piece.end;
    const bytes = inside ? readExactly(piece.source, piece.position + Number(page - piece.start), PAGE_BYTES) : null;
    pages.set(page, bytes);
    return bytes;
  };
  const readWithin = (address: Address, length: number): Uint8Array | null => {
    const offset = Number(address & (PAGE - 1n));
    const page = readPage(address - BigInt(offset));
    if (page !== null) return page.subarray(offset, offset + length);
    // A segment's first or last page may be a part of one.
    const piece = pieces[lastStartingBy(pieces, address)];
    if (piece === undefined || address + BigInt(length) > piece.end) return null;
    return readExactly(piece.source, piece.position + Number(address - piece.start), length);
  };
  return (address, length) => {
    if (!(length >= 0 && length <= MAX_READ_BYTES) || address < 0n || address + BigInt(length) > 1n << 64n) return null;
    return Number(address & (PAGE - 1n)) + length <= PAGE_BYTES
      ? readWithin(address, length)
      : acrossPages(address, length, readWithin);
  };
}

/** A read of several pages, page by page; null when one cannot be read. */
function acrossPages(address: Address, length: number, readWithin: Memory['read']): Uint8Array | null {
  const first = readWithin(address, Math.min(length, PAGE_BYTES - Number(address & (PAGE - 1n))));
  // Nothing is made room for until something is there.
  if (first === null) return null;
  const bytes = new Uint8Array(length);
  bytes.set(first);
  for (let done = first.length; done < length; ) {
    const part = readWithin(address + BigInt(done), Math.min(length - done, PAGE_BYTES));
    if (part === null || part.length === 0) return null;
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}
