// An ELF file on disk (gABI): headers are decoded when it is opened, everything else is read by position when asked for.
// The file is never read whole: kernels' debug files reach hundreds of megabytes.

import { Cursor, decodeText } from '../bytes/cursor.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import {
  NT_GNU_BUILD_ID,
  PF_X,
  PN_XNUM,
  PT_LOAD,
  PT_NOTE,
  SHF_ALLOC,
  SHF_COMPRESSED,
  SHF_EXECINSTR,
  SHF_GROUP,
  SHN_XINDEX,
  SHT_NOBITS,
  SHT_NOTE,
} from './constants.ts';
import { bytesInMemory, type FileBytes, inBounds, openBytes } from './file-bytes.ts';
import {
  decodeHeader,
  decodeIdentification,
  decodeSection,
  decodeSegment,
  type ElfSection,
  type ElfSegment,
  type ElfTable,
  type ElfType,
  entrySizeOf,
  HEADER_SIZE,
  type RawSection,
} from './header.ts';
import { decodeNotes, type ElfNote } from './notes.ts';
import { layOutSections } from './rel-layout.ts';
import { SectionContents, storedSize } from './section-contents.ts';

export type { ElfSection, ElfSegment, ElfType } from './header.ts';

/** Notes of an image are read up to here; a build-id is 36 bytes. */
const MAX_NOTE_BYTES = 1024 * 1024;
/** Entries of a header table; -ffunction-sections of a large kernel makes some hundred thousand. */
const MAX_TABLE_ENTRIES = 1_000_000;

/** Opens an ELF file and decodes its headers. Throws FILE_UNREADABLE, ELF_NOT_ELF, ELF_TRUNCATED, ELF_UNSUPPORTED, ELF_MALFORMED. */
export function openElf(path: string): ElfFile {
  const bytes = openBytes(path);
  try {
    return new ElfFile(path, bytes);
  } catch (error) {
    bytes.close();
    throw error;
  }
}

/** Opens an ELF file that is in memory already; `path` names it in errors. Throws as openElf. */
export function openElfInMemory(path: string, bytes: Uint8Array): ElfFile {
  return new ElfFile(path, bytesInMemory(path, bytes));
}

/** An open ELF file: close it when done. All addresses are link addresses, all offsets and sizes bytes. */
export class ElfFile {
  readonly path: string;
  readonly bits: 32 | 64;
  readonly littleEndian: boolean;
  /** Null when the instruction set is none of ours; `machineNumber` is then `e_machine`. */
  readonly machine: Machine | null;
  readonly machineNumber: number;
  readonly type: ElfType;
  readonly entry: bigint;
  readonly segments: readonly ElfSegment[];
  /** Those of a relocatable file have the addresses that layOutSections gives them. */
  readonly sections: readonly ElfSection[];
  /** Bounds of what takes memory: [imageBase, imageEnd), of PT_LOAD segments or, without any, of sections. Both 0 without those. */
  readonly imageBase: bigint;
  readonly imageEnd: bigint;
  /**
   * Where indices count from: the lowest executable segment (section, without segments), so that offsets of code are exact
   * numbers wherever it is linked (a kernel at 0xffffffff81000000 may have per-CPU data at 0).
   */
  readonly origin: bigint;
  private readonly file: FileBytes;
  private readonly contents: SectionContents;
  private noteList: readonly ElfNote[] | null = null;

  constructor(path: string, file: FileBytes) {
    const start = file.read(0, Math.min(HEADER_SIZE, file.size), 'the ELF header');
    const { bits, littleEndian } = decodeIdentification(start, path);
    const header = elfErrors(path, 'the ELF header', () => decodeHeader(new Cursor(start, { littleEndian }), bits));
    this.path = path;
    this.file = file;
    this.bits = bits;
    this.littleEndian = littleEndian;
    this.machine = header.machine;
    this.machineNumber = header.machineNumber;
    this.type = header.type;
    this.entry = header.entry;
    const first = this.readRawSections({ ...header.sections, count: header.sections.offset === 0 ? 0 : 1 })[0];
    const sectionCount = header.sections.count === 0 ? (first?.size ?? 0) : header.sections.count;
    const segmentCount = header.segments.count === PN_XNUM ? (first?.info ?? 0) : header.segments.count;
    const namesIndex = header.sectionNames === SHN_XINDEX ? (first?.link ?? 0) : header.sectionNames;
    this.segments = this.readSegments({ ...header.segments, count: segmentCount });
    const raw = header.sections.offset === 0 ? [] : this.readRawSections({ ...header.sections, count: sectionCount });
    const named = this.nameSections(raw, namesIndex);
    this.sections = this.type === 'rel' ? layOutSections(named) : named;
    this.contents = new SectionContents(this, file);
    const memory = this.memoryRanges();
    this.imageBase = lowestAddress(memory) ?? 0n;
    this.origin = lowestAddress(memory.filter(({ executable }) => executable)) ?? this.imageBase;
    this.imageEnd = memory.reduce((high, { end }) => (end > high ? end : high), 0n);
  }

  /**
   * The first section of that name; a `.zdebug_x` answers for `.debug_x`. Those outside of section groups come first: in a
   * relocatable file (g++ -fdebug-types-section) each type is a .debug_info in a group of its own, before the file's own.
   */
  findSection(name: string): ElfSection | null {
    const old = name.startsWith('.debug_') ? `.z${name.slice(1)}` : null;
    const named = this.sections.filter((section) => section.name === name || section.name === old);
    return named.find(({ flags }) => (flags & SHF_GROUP) === 0) ?? named[0] ?? null;
  }

  /** A section's bytes, decompressed and relocated; empty for one that takes no file space. Shared with the cache: do not write to them. */
  readSection(section: ElfSection): Uint8Array {
    return this.contents.read(section);
  }

  /** `length` bytes at `offset` of a section, without reading the rest unless it is compressed. Throws ELF_TRUNCATED past its end. */
  readSectionAt(section: ElfSection, offset: number, length: number, into?: Uint8Array): Uint8Array {
    return this.contents.readAt(section, offset, length, into);
  }

  /** Size of a section's bytes as `readSection` gives them; only the header of a compressed one is read. */
  sectionSize(section: ElfSection): number {
    return this.contents.sizeOf(section);
  }

  /** What could not be understood so far of the sections that were read, in sentences. */
  get damage(): readonly string[] {
    return this.contents.damage;
  }

  /** `length` bytes that PT_LOAD (a section, in a relocatable file) puts at link address `address`; null unless the file holds all of them. */
  readVirtual(address: bigint, length: number): Uint8Array | null {
    if (!(length >= 0)) return null;
    if (this.type === 'rel') return this.readLaidOut(address, length);
    for (const segment of this.segments) {
      if (segment.type !== PT_LOAD || address < segment.virtualAddress) continue;
      const into = address - segment.virtualAddress;
      if (into + BigInt(length) > BigInt(fileBytesOf(segment))) continue;
      return this.file.read(
        segment.offset + Number(into),
        length,
        `segment at offset 0x${segment.offset.toString(16)} of ${this.path}`,
      );
    }
    return null;
  }

  /** All notes: those of segments, else (relocatable and debug files) those of sections. */
  get notes(): readonly ElfNote[] {
    this.noteList ??= this.readNotes();
    return this.noteList;
  }

  /** The GNU build-id as lower-case hex, or null. */
  get buildId(): string | null {
    const note = this.buildIdNote;
    return note === null ? null : Buffer.from(note.descriptor).toString('hex');
  }

  /** The note that holds the build-id, with the link address of the id's bytes. */
  get buildIdNote(): ElfNote | null {
    return this.notes.find((note) => note.type === NT_GNU_BUILD_ID && note.name === 'GNU' && note.descriptor.length > 0) ?? null;
  }

  close(): void {
    this.contents.clear();
    this.file.close();
  }

  private readSegments(table: ElfTable): ElfSegment[] {
    if (table.count === 0) return [];
    const [cursor, starts] = this.readTable(table, 'segment');
    return starts.map((start) => {
      cursor.seek(start);
      const segment = decodeSegment(cursor, this.bits);
      if (Number.isFinite(segment.memorySize + segment.fileSize)) return segment;
      throw new UnidbgError(
        'ELF_MALFORMED',
        `${this.path}: the segment described at offset 0x${(table.offset + start).toString(16)} is larger than 2^53 bytes`,
        {
          facts: { path: this.path, offset: table.offset + start },
        },
      );
    });
  }

  private readRawSections(table: ElfTable): RawSection[] {
    if (table.count === 0) return [];
    const [cursor, starts] = this.readTable(table, 'section');
    return starts.map((start, index) => {
      cursor.seek(start);
      return decodeSection(cursor, this.bits, index);
    });
  }

  private readTable(table: ElfTable, kind: 'segment' | 'section'): [Cursor, number[]] {
    const what = `${kind === 'segment' ? 'program' : 'section'} header table (${table.count} entries) of ${this.path}`;
    if (table.entrySize < entrySizeOf(kind, this.bits)) {
      throw new UnidbgError('ELF_MALFORMED', `${what}: its entries are ${table.entrySize} bytes, too few`, {
        facts: { path: this.path, entrySize: table.entrySize },
      });
    }
    if (table.count > MAX_TABLE_ENTRIES && table.count * table.entrySize <= this.file.size) {
      throw new UnidbgError('ELF_UNSUPPORTED', `${what}: more than ${MAX_TABLE_ENTRIES} entries`, { facts: { path: this.path } });
    }
    const bytes = this.file.read(table.offset, table.count * table.entrySize, what);
    const cursor = new Cursor(bytes, { littleEndian: this.littleEndian, base: table.offset });
    return [cursor, Array.from({ length: table.count }, (_, index) => index * table.entrySize)];
  }

  private nameSections(raw: readonly RawSection[], namesIndex: number): ElfSection[] {
    const table = raw[namesIndex];
    const names =
      table === undefined || namesIndex === 0 || table.type === SHT_NOBITS
        ? new Uint8Array(0)
        : this.file.read(table.offset, table.size, `section names (section ${namesIndex}) of ${this.path}`);
    return raw.map(({ nameOffset, ...section }) => {
      const name = textAt(names, nameOffset);
      const compressed = (section.flags & SHF_COMPRESSED) !== 0 || name.startsWith('.zdebug_');
      return { ...section, name, compressed };
    });
  }

  private readLaidOut(address: bigint, length: number): Uint8Array | null {
    for (const section of this.sections) {
      if ((section.flags & SHF_ALLOC) === 0 || section.compressed || address < section.address) continue;
      const into = Number(address - section.address);
      if (inBounds(into, length, storedSize(section))) return this.readSectionAt(section, into, length);
    }
    return null;
  }

  private memoryRanges(): MemoryRange[] {
    const segments = this.segments.filter((segment) => segment.type === PT_LOAD && segment.memorySize > 0);
    if (segments.length > 0) {
      return segments.map(({ virtualAddress: start, memorySize, flags }) => ({
        ...{ start, end: start + BigInt(memorySize), executable: (flags & PF_X) !== 0 },
      }));
    }
    return this.sections
      .filter((section) => (section.flags & SHF_ALLOC) !== 0 && section.size > 0 && Number.isFinite(section.size))
      .map(({ address: start, size, flags }) => ({
        ...{ start, end: start + BigInt(size), executable: (flags & SHF_EXECINSTR) !== 0 },
      }));
  }

  private readNotes(): ElfNote[] {
    const segments = this.segments
      .filter((segment) => segment.type === PT_NOTE)
      .map((s) => ({ offset: s.offset, size: s.fileSize, alignment: s.alignment, address: s.virtualAddress }));
    const sections = this.sections
      .filter((section) => section.type === SHT_NOTE)
      .map((s) => ({ ...s, address: (s.flags & SHF_ALLOC) === 0 ? null : s.address }));
    return [...segments, ...sections].flatMap(({ offset, size, alignment, address }) => {
      if (size > MAX_NOTE_BYTES || !inBounds(offset, size, this.file.size)) return [];
      const bytes = this.file.read(offset, size, `notes of ${this.path}`);
      return decodeNotes(bytes, { littleEndian: this.littleEndian, alignment, address });
    });
  }
}

/** Runs `body`; a read past the end becomes ELF_TRUNCATED. */
function elfErrors<T>(path: string, what: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (errorCode(error) !== 'BYTES_OUT_OF_RANGE') throw error;
    throw new UnidbgError('ELF_TRUNCATED', `${path} is truncated in ${what}: ${errorMessage(error)}`, {
      cause: error,
      facts: { path },
    });
  }
}

function textAt(names: Uint8Array, offset: number): string {
  if (offset >= names.length) return '';
  const end = names.indexOf(0, offset);
  return decodeText(names.subarray(offset, end < 0 ? names.length : end));
}

/** What takes memory at link addresses: [start, end). */
interface MemoryRange {
  readonly start: bigint;
  readonly end: bigint;
  readonly executable: boolean;
}

function lowestAddress(ranges: readonly MemoryRange[]): bigint | null {
  return ranges.reduce<bigint | null>((low, { start }) => (low === null || start < low ? start : low), null);
}

function fileBytesOf(segment: ElfSegment): number {
  return Math.min(segment.fileSize, segment.memorySize);
}
