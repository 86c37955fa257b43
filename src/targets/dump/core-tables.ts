// Headers, segments, sections and notes of an ELF core (gABI chapters 4 and 5) through a ByteSource: a core may have a hundred thousand
// segments and notes of any claimed size, so tables are bounded and a note is read only by who wants it.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { PN_XNUM, PT_LOAD, PT_NOTE } from '../../elf/constants.ts';
import {
  decodeHeader,
  decodeIdentification,
  decodeSection,
  decodeSegment,
  type ElfHeader,
  entrySizeOf,
  HEADER_SIZE,
} from '../../elf/header.ts';
import { UnidbgError } from '../../model/error.ts';

/** A segment that holds memory: `fileSize` bytes at `offset` of the file; the rest up to `memorySize` was not written. */
export interface LoadSegment {
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly offset: number;
  readonly fileSize: number;
  readonly memorySize: number;
}

/** Part of the file. */
export interface FileRange {
  readonly offset: number;
  readonly size: number;
}

/** A section of a core, by name. */
export interface CoreSection extends FileRange {
  /** Empty where the file ends before its names. */
  readonly name: string;
  readonly type: number;
  readonly entrySize: number;
}

/** A note whose bytes have not been read. */
export interface CoreNote extends FileRange {
  readonly name: string;
  readonly type: number;
}

/** What the headers of an ELF core say. Ranges are as claimed: the file may end before. */
export interface CoreTables {
  readonly header: ElfHeader;
  /** `EI_OSABI`: 255 (standalone) is Solo5's. */
  readonly abi: number;
  readonly loads: readonly LoadSegment[];
  readonly noteRanges: readonly FileRange[];
}

/** A process may have 65,530 mappings unless the limit was raised. */
const MAX_SEGMENTS = 400_000;
const MAX_SECTIONS = 4096;
const MAX_NOTES = 200_000;
const MAX_NAME_TABLE = 65_536;
const MAX_NOTE_NAME = 64;
const TABLE_BYTES_AT_ONCE = 262_144;

/** Whether the bytes begin an ELF core. Never throws. */
export function isElfCore(head: Uint8Array): boolean {
  if (head.length < 20 || head[0] !== 0x7f || head[1] !== 0x45 || head[2] !== 0x4c || head[3] !== 0x46) return false;
  return (head[5] === 2 ? head[17] : head[16]) === 4 && (head[5] === 2 ? head[16] : head[17]) === 0;
}

/** The tables of an ELF core, or null where it is none or they are damaged. */
export function findCoreTables(source: ByteSource): CoreTables | null {
  try {
    return readCoreTables(source);
  } catch {
    return null;
  }
}

/** The ELF header and program headers. Throws DUMP_MALFORMED, DUMP_UNSUPPORTED, FILE_UNREADABLE. */
export function readCoreTables(source: ByteSource): CoreTables {
  const bytes = readOrThrow(source, 0, HEADER_SIZE, 'the ELF header');
  const { bits, littleEndian } = asMalformed(source, () => decodeIdentification(bytes, source.name));
  const header = asMalformed(source, () => decodeHeader(new Cursor(bytes, { littleEndian }), bits));
  const loads: LoadSegment[] = [];
  const noteRanges: FileRange[] = [];
  const count = header.segments.count === PN_XNUM ? realSegmentCount(source, header) : header.segments.count;
  eachEntry(source, header, { ...header.segments, count }, 'segment', MAX_SEGMENTS, (cursor) => {
    const { type, offset, fileSize, memorySize, virtualAddress, physicalAddress } = decodeSegment(cursor, bits);
    if (type === PT_LOAD) loads.push({ virtualAddress, physicalAddress, offset, fileSize, memorySize });
    if (type === PT_NOTE) noteRanges.push({ offset, size: fileSize });
  });
  return { header, abi: bytes[7] ?? 0, loads, noteRanges };
}

/** The sections of an ELF core by name. Throws as readCoreTables does; without a string table all are unnamed. */
export function readCoreSections(source: ByteSource, header: ElfHeader): CoreSection[] {
  const raw: (Omit<CoreSection, 'name'> & { readonly nameOffset: number })[] = [];
  eachEntry(source, header, header.sections, 'section', MAX_SECTIONS, (cursor, index) => {
    const { nameOffset, type, offset, size, entrySize } = decodeSection(cursor, header.bits, index);
    raw.push({ nameOffset, type, offset, size, entrySize });
  });
  const table = raw[header.sectionNames];
  const names = table === undefined ? null : readExactly(source, table.offset, Math.min(table.size, MAX_NAME_TABLE));
  return raw.map(({ nameOffset, ...section }) => ({ ...section, name: nameAt(names, nameOffset) }));
}

/** The notes in the given parts of the file, in order; what is cut off or claims more than there is ends its part. */
export function* coreNotes(source: ByteSource, littleEndian: boolean, ranges: readonly FileRange[]): Generator<CoreNote> {
  let left = MAX_NOTES;
  for (const { offset, size } of ranges) {
    const end = Math.min(offset + size, source.size);
    for (let at = offset; at + 12 <= end && left > 0; left -= 1) {
      const head = readExactly(source, at, 12);
      if (head === null) break;
      const cursor = new Cursor(head, { littleEndian });
      const nameSize = cursor.u32();
      const descriptorSize = cursor.u32();
      const type = cursor.u32();
      const descriptor = at + 12 + padded(nameSize);
      const name = readExactly(source, at + 12, Math.min(nameSize, MAX_NOTE_NAME));
      if (name === null || descriptor > end) break;
      yield { name: textOf(name), type, offset: descriptor, size: Math.min(descriptorSize, end - descriptor) };
      at = descriptor + padded(descriptorSize);
    }
  }
}

/** The bytes of a note, or null where it is larger than `most` or not wholly in the file. */
export function readNote(source: ByteSource, note: FileRange, most: number): Uint8Array | null {
  return note.size > most ? null : readExactly(source, note.offset, note.size);
}

/** Exactly those bytes. Throws DUMP_MALFORMED with what they were to be. */
export function readOrThrow(source: ByteSource, offset: number, length: number, what: string): Uint8Array {
  const bytes = readExactly(source, offset, length);
  if (bytes !== null) return bytes;
  throw malformed(
    source,
    `${what} should be ${length} bytes at offset ${offset}, the file has ${source.size}: it is cut off or damaged`,
  );
}

/** DUMP_MALFORMED of a file. */
export function malformed(source: ByteSource, what: string, cause?: unknown): UnidbgError {
  return new UnidbgError('DUMP_MALFORMED', `${source.name}: ${what}`, { cause, facts: { path: source.name } });
}

function asMalformed<T>(source: ByteSource, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (cause instanceof UnidbgError && cause.code === 'FILE_UNREADABLE') throw cause;
    throw malformed(source, `its ELF headers are damaged (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
}

function realSegmentCount(source: ByteSource, header: ElfHeader): number {
  let count = 0;
  eachEntry(source, header, { ...header.sections, count: 1 }, 'section', 1, (cursor) => {
    count = decodeSection(cursor, header.bits, 0).info;
  });
  return count;
}

function eachEntry(
  source: ByteSource,
  { bits, littleEndian }: ElfHeader,
  table: { readonly offset: number; readonly entrySize: number; readonly count: number },
  kind: 'segment' | 'section',
  most: number,
  visit: (cursor: Cursor, index: number) => void,
): void {
  const what = `the table of ${table.count} ${kind}s`;
  if (table.count === 0) return;
  if (table.count > most) throw malformed(source, `${what} is larger than any that is known (${most})`);
  if (table.entrySize < entrySizeOf(kind, bits))
    throw malformed(source, `${what} has entries of ${table.entrySize} bytes, too few`);
  const atOnce = Math.ceil(TABLE_BYTES_AT_ONCE / table.entrySize);
  for (let index = 0; index < table.count; index += atOnce) {
    const count = Math.min(atOnce, table.count - index);
    const at = table.offset + index * table.entrySize;
    const cursor = new Cursor(readOrThrow(source, at, count * table.entrySize, what), { littleEndian, base: at });
    for (let entry = 0; entry < count; entry += 1) {
      cursor.seek(entry * table.entrySize);
      visit(cursor, index + entry);
    }
  }
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}

function nameAt(names: Uint8Array | null, offset: number): string {
  return names === null || offset >= names.length ? '' : textOf(names.subarray(offset, offset + MAX_NOTE_NAME));
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}
