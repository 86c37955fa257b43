// Files that a core's process had mapped (NT_FILE, linux/fs/binfmt_elf.c fill_files_note): pages that nobody wrote to are not in the
// core, and are read from the file, if it still is the same.

import { type ByteSource, openFileSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { NT_GNU_BUILD_ID, PT_LOAD, PT_NOTE } from '../../elf/constants.ts';
import { decodeHeader, decodeIdentification, decodeSegment } from '../../elf/header.ts';
import { decodeNotes } from '../../elf/notes.ts';
import type { Address } from '../../model/address.ts';
import { errorMessage } from '../../model/error.ts';

/** `n_type` of the note. */
export const NT_FILE = 0x46494c45;

/** cmd/link: the note .note.go.buildid. */
const NT_GO_BUILD_ID = 4;

/** Guest-virtual [start, end) is `path` from `offset` on. */
export interface MappedRange {
  readonly start: Address;
  readonly end: Address;
  readonly offset: number;
  readonly path: string;
}

/** What the core itself holds of memory. */
export type ReadDumped = (address: Address, length: number) => Uint8Array | null;

const PAGE_BYTES = 4096;
const MAX_RANGES = 200_000;
const MAX_HEADERS = 64;
const MAX_NOTE_BYTES = 65_536;

/** The mappings of an NT_FILE note, in its order; what is damaged ends the list. */
export function decodeMappedRanges(note: Uint8Array, bits: 32 | 64, littleEndian: boolean): MappedRange[] {
  const cursor = new Cursor(note, { littleEndian });
  const word = bits === 64 ? (): bigint => cursor.u64() : (): bigint => BigInt(cursor.u32());
  const ranges: MappedRange[] = [];
  try {
    const count = Number(word());
    const pageBytes = Number(word());
    const table = cursor.offset;
    const entryBytes = (3 * bits) / 8;
    let names = table + count * entryBytes;
    for (let index = 0; index < Math.min(count, MAX_RANGES); index += 1) {
      cursor.seek(table + index * entryBytes);
      const [start, end, page] = [word(), word(), word()];
      cursor.seek(names);
      const path = cursor.cString();
      names = cursor.offset;
      if (end > start) ranges.push({ start, end, offset: Number(page) * pageBytes, path });
    }
  } catch {
    // Cut off: the ranges up to here are right.
  }
  return ranges;
}

/** An ELF file in memory: what its own headers, as the core has them, say. */
export interface LoadedElf {
  /** Run-time minus link addresses. */
  readonly bias: bigint;
  /** GNU build-id, lower-case hex; null where it has none or its page is not in the core. */
  readonly buildId: string | null;
  /** What tells builds apart: the build-id, else Go's own; null as above. */
  readonly identity: string | null;
}

/** The ELF file whose first byte is mapped at `start`; null where the core does not hold its headers. */
export function findLoadedElf(read: ReadDumped, start: Address): LoadedElf | null {
  try {
    const head = read(start, 64);
    if (head === null) return null;
    const { bits, littleEndian } = decodeIdentification(head, '');
    const { segments } = decodeHeader(new Cursor(head, { littleEndian }), bits);
    const count = Math.min(segments.count, MAX_HEADERS);
    const table = read(start + BigInt(segments.offset), count * segments.entrySize);
    if (table === null) return null;
    const headers = Array.from({ length: count }, (_, index) =>
      decodeSegment(new Cursor(table, { littleEndian, offset: index * segments.entrySize }), bits),
    );
    const first = headers.find(({ type, offset }) => type === PT_LOAD && offset < PAGE_BYTES);
    if (first === undefined) return null;
    const bias = start - (first.virtualAddress - BigInt(first.offset));
    const notes = headers.flatMap(({ type, virtualAddress, fileSize, alignment }) => {
      if (type !== PT_NOTE || fileSize > MAX_NOTE_BYTES) return [];
      const bytes = read(bias + virtualAddress, fileSize);
      return bytes === null ? [] : decodeNotes(bytes, { littleEndian, alignment, address: null });
    });
    const gnu = notes.find(({ name, type }) => name === 'GNU' && type === NT_GNU_BUILD_ID);
    const id = gnu ?? notes.find(({ name, type }) => name === 'Go' && type === NT_GO_BUILD_ID);
    return {
      bias,
      buildId: gnu === undefined ? null : hexOf(gnu.descriptor),
      identity: id === undefined ? null : hexOf(id.descriptor),
    };
  } catch {
    return null;
  }
}

/** A file to read pages from, or why its pages are not read. */
export type FileOfCore = { readonly source: ByteSource } | { readonly refused: string };

/**
 * Opens the file that was mapped at `start`, if it is the one whose headers the core holds: by build-id, and where it has none by
 * its first page. A core may name any path: nothing of a file that was not mapped there is ever read into the report.
 */
export function openFileOfCore(path: string, start: Address, read: ReadDumped): FileOfCore {
  const head = read(start, PAGE_BYTES);
  if (head === null) return { refused: 'the core does not hold its first page, so nobody can tell whether the file is the same' };
  let source: ByteSource;
  try {
    source = openFileSource(path);
  } catch (error) {
    return { refused: errorMessage(error) };
  }
  const same = isSameFile(source, head, findLoadedElf(read, start)?.identity ?? null);
  if (same) return { source };
  source.close();
  return { refused: 'the file is another one now: its first page differs from the one in the core' };
}

function isSameFile(source: ByteSource, head: Uint8Array, identity: string | null): boolean {
  const first = readExactly(source, 0, Math.min(PAGE_BYTES, source.size));
  if (first === null || first.length < 64) return false;
  const isElf = head[0] === 0x7f && head[1] === 0x45;
  if (identity !== null) {
    const own = findLoadedElf((address, length) => readExactly(source, Number(address), length), 0n);
    return own?.identity === identity;
  }
  return isElf && Buffer.compare(first, head.subarray(0, first.length)) === 0;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
