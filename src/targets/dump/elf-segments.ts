// The program headers of an ELF core (gABI chapter 5), read in steps: QEMU's paging=true writes tens of thousands of them, and beyond 65534
// their number is in section 0 (PN_XNUM). What memory lies where becomes a PieceTable.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { PN_XNUM, PT_LOAD, PT_NOTE } from '../../elf/constants.ts';
import {
  decodeHeader,
  decodeSection,
  decodeSegment,
  type ElfHeader,
  type ElfSegment,
  entrySizeOf,
  HEADER_SIZE,
} from '../../elf/header.ts';
import { UnidbgError } from '../../model/error.ts';

/** Notes are read up to here: 4096 vCPUs of an x86 have 3.3 MB of them. */
const MAX_NOTE_BYTES = 16 * 1024 * 1024;
const STEP_ENTRIES = 1024;

/** Decodes the ELF header. Throws DUMP_MALFORMED when the file ends within it. */
export function readCoreHeader(source: ByteSource): ElfHeader {
  const bytes = readExactly(source, 0, Math.min(HEADER_SIZE, source.size)) ?? new Uint8Array();
  const bits = bytes[4] === 1 ? 32 : 64;
  if (bytes.length < (bits === 64 ? 64 : 52)) {
    throw new UnidbgError('DUMP_MALFORMED', `${source.name} ends within its ELF header (${bytes.length} bytes)`, {
      facts: { path: source.name, size: bytes.length },
    });
  }
  return decodeHeader(new Cursor(bytes, { littleEndian: bytes[5] !== 2 }), bits);
}

/** How many program headers there are, by the escape for many of them too. */
export function countSegments(source: ByteSource, header: ElfHeader): number {
  if (header.segments.count !== PN_XNUM) return header.segments.count;
  const bytes = readExactly(source, header.sections.offset, entrySizeOf('section', header.bits));
  return bytes === null ? PN_XNUM : decodeSection(new Cursor(bytes, { littleEndian: header.littleEndian }), header.bits, 0).info;
}

/** Calls `visit` with each program header that the file holds, until it says false; returns how many there were. */
export function visitSegments(
  source: ByteSource,
  header: ElfHeader,
  count: number,
  visit: (segment: ElfSegment) => boolean,
): number {
  const { offset } = header.segments;
  const entrySize = Math.max(header.segments.entrySize, entrySizeOf('segment', header.bits));
  const there = Math.min(count, Math.max(0, Math.floor((source.size - offset) / entrySize)));
  for (let first = 0; first < there; first += STEP_ENTRIES) {
    const entries = Math.min(STEP_ENTRIES, there - first);
    const bytes = readExactly(source, offset + first * entrySize, entries * entrySize);
    if (bytes === null) return first;
    for (let index = 0; index < entries; index += 1) {
      const cursor = new Cursor(bytes, { littleEndian: header.littleEndian, offset: index * entrySize });
      if (!visit(decodeSegment(cursor, header.bits))) return first + index;
    }
  }
  return there;
}

/** The bytes of the first PT_NOTE, as many as the file has; null without one. */
export function readNoteSegment(source: ByteSource, segment: ElfSegment | null): Uint8Array | null {
  if (segment === null) return null;
  const size = Math.min(segment.fileSize, MAX_NOTE_BYTES, source.size - segment.offset);
  return size > 0 ? readExactly(source, segment.offset, size) : null;
}

/** The first PT_NOTE among the first program headers: all who write dumps put it there. */
export function findNoteSegment(source: ByteSource, header: ElfHeader): ElfSegment | null {
  let found: ElfSegment | null = null;
  visitSegments(source, header, Math.min(STEP_ENTRIES, header.segments.count), (segment) => {
    if (segment.type === PT_NOTE) found = segment;
    return found === null;
  });
  return found;
}

/** Whether it describes memory that a dump holds. */
export function isMemory(segment: ElfSegment): boolean {
  return segment.type === PT_LOAD && segment.memorySize > 0;
}
