// What the bytes of a file's sections are once they are unpacked and, in a relocatable file, relocated; read by position where that
// is possible, and kept for the next caller.

import { UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import {
  COMPRESSION_HEADER_SIZE,
  type CompressionHeader,
  checkCompression,
  decodeCompressionHeader,
  decodeZdebugHeader,
  decompress,
} from './compression.ts';
import { SHF_COMPRESSED, SHT_NOBITS } from './constants.ts';
import { type FileBytes, inBounds } from './file-bytes.ts';
import type { ElfSection, ElfType } from './header.ts';
import { FIELD_REACH, findRelocationTables, Relocations } from './relocations.ts';
import { SectionCache } from './section-cache.ts';
import type { SectionReader } from './symbol-entry.ts';

/** Bytes of sections kept for the next caller; the least recently used go first. */
const CACHE_BYTES = 128 * 1024 * 1024;
/** Bytes of unpacked sections kept beside them: what is dropped has to be unpacked from its start again. */
const UNPACKED_BYTES = 1024 * 1024 * 1024;

/** The file whose sections they are. */
interface SectionedFile extends SectionReader {
  readonly path: string;
  readonly type: ElfType;
  readonly machine: Machine | null;
}

/** The contents of one file's sections. Throws ELF_TRUNCATED, ELF_MALFORMED, ELF_UNSUPPORTED. */
export class SectionContents {
  private readonly elf: SectionedFile;
  private readonly file: FileBytes;
  private readonly cache = new SectionCache(CACHE_BYTES);
  private readonly unpacked = new SectionCache(UNPACKED_BYTES);
  private readonly relocationTables: ReadonlyMap<number, readonly ElfSection[]>;
  private readonly relocations = new Map<number, readonly Relocations[]>();

  constructor(elf: SectionedFile, file: FileBytes) {
    this.elf = elf;
    this.file = file;
    this.relocationTables = elf.type === 'rel' ? findRelocationTables(elf.sections) : new Map();
  }

  /** All of a section; do not write to it. */
  read(section: ElfSection): Uint8Array {
    const cache = section.compressed ? this.unpacked : this.cache;
    const cached = cache.find(section.index);
    if (cached !== null) return cached;
    const bytes = section.compressed ? this.unpack(section) : this.readStored(section, 0, storedSize(section));
    this.relocate(section, bytes, 0, bytes.length);
    if (section.compressed || bytes.length <= CACHE_BYTES / 2) cache.keep(section.index, bytes);
    return bytes;
  }

  /** `length` bytes at `offset` of a section, in `into` where that is of use. */
  readAt(section: ElfSection, offset: number, length: number, into?: Uint8Array): Uint8Array {
    if (section.compressed || this.cache.has(section.index)) {
      const bytes = this.read(section);
      if (!inBounds(offset, length, bytes.length)) throw this.pastSection(section, offset, length, bytes.length);
      return bytes.subarray(offset, offset + length);
    }
    const size = storedSize(section);
    if (!inBounds(offset, length, size)) throw this.pastSection(section, offset, length, size);
    if (!this.relocationTables.has(section.index)) return this.readStored(section, offset, length, into);
    // The index of relocations is as long as the section says it is: not longer than the file.
    if (!inBounds(section.offset, size, this.file.size))
      throw this.pastSection(section, 0, size, this.file.size - section.offset);
    // A field on the edge can only be relocated whole.
    const from = Math.max(0, offset - FIELD_REACH);
    const bytes = this.readStored(section, from, Math.min(size, offset + length + FIELD_REACH) - from);
    this.relocate(section, bytes, from, size);
    return bytes.subarray(offset - from, offset - from + length);
  }

  /** How many bytes `read` gives. */
  sizeOf(section: ElfSection): number {
    return section.compressed ? this.compressionOf(section).size : storedSize(section);
  }

  /** What could not be understood so far of the sections that were read, in sentences. */
  get damage(): readonly string[] {
    const unknown = [...this.relocations.values()].flat().flatMap(({ unknownTypes }) => [...unknownTypes]);
    if (unknown.length === 0) return [];
    const types = [...new Set(unknown)].sort((a, b) => a - b).slice(0, 8);
    return [
      `${this.elf.path}: relocations of type ${types.join(', ')} are not known for ${this.elf.machine ?? 'its machine'}; left unapplied`,
    ];
  }

  clear(): void {
    this.cache.clear();
    this.unpacked.clear();
  }

  private readStored(section: ElfSection, offset: number, length: number, into?: Uint8Array): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    return this.file.read(section.offset + offset, length, `section ${section.name} of ${this.elf.path}`, into);
  }

  private compressionOf(section: ElfSection): CompressionHeader {
    const what = `section ${section.name} of ${this.elf.path}`;
    const start = this.readStored(section, 0, Math.min(COMPRESSION_HEADER_SIZE, storedSize(section)));
    const isGnu = (section.flags & SHF_COMPRESSED) === 0;
    const header = isGnu ? decodeZdebugHeader(start, what) : decodeCompressionHeader(start, this.elf, what);
    checkCompression(header, section.size - header.packedAt, what);
    return header;
  }

  private unpack(section: ElfSection): Uint8Array {
    const header = this.compressionOf(section);
    const packed = this.readStored(section, header.packedAt, section.size - header.packedAt);
    return decompress(packed, header, `section ${section.name} of ${this.elf.path}`);
  }

  /** Relocates `bytes`, which stand at `start` of a section of `size` bytes, if that section is to be relocated. */
  private relocate(section: ElfSection, bytes: Uint8Array, start: number, size: number): void {
    const tables = this.relocationTables.get(section.index);
    const { machine } = this.elf;
    if (tables === undefined || machine === null) return;
    const known = this.relocations.get(section.index);
    const relocations = known ?? tables.map((table) => new Relocations(this.elf, machine, table, size));
    this.relocations.set(section.index, relocations);
    for (const table of relocations) table.apply(bytes, start);
  }

  private pastSection(section: ElfSection, offset: number, length: number, size: number): UnidbgError {
    const where = `${length} bytes at offset 0x${offset.toString(16)} of section ${section.name} of ${this.elf.path}`;
    return new UnidbgError('ELF_TRUNCATED', `cannot read ${where}: the section has ${size} bytes`, {
      facts: { path: this.elf.path, offset, length, size },
    });
  }
}

/** Bytes that the file holds of a section. */
export function storedSize(section: ElfSection): number {
  return section.type === SHT_NOBITS ? 0 : section.size;
}
