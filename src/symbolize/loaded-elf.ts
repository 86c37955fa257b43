// An ELF image as a guest has it in memory: its header and program headers (gABI chapters 4 and 5), and what notes and the dynamic
// section say of it. Evidence that is good on any system, for places that the guest's own tables name. The guest wrote all of it:
// every count is bounded, and what makes no sense is no image.

import { Cursor } from '../bytes/cursor.ts';
import { NT_GNU_BUILD_ID, PF_X, PT_DYNAMIC, PT_LOAD, PT_NOTE } from '../elf/constants.ts';
import { decodeHeader, decodeIdentification, decodeSegment, type ElfSegment, entrySizeOf, HEADER_SIZE } from '../elf/header.ts';
import { decodeNotes } from '../elf/notes.ts';
import { type Address, toUnsigned64 } from '../model/address.ts';
import { errorCode } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import type { Memory } from '../model/target.ts';

/** What an image in memory says of itself. Addresses are run-time addresses. */
export interface LoadedElf {
  readonly machine: Machine;
  readonly loadBias: bigint;
  readonly base: Address;
  readonly end: Address;
  /** Its executable segments: [start, end). */
  readonly text: readonly { readonly start: Address; readonly end: Address }[];
  /** Lower-case hex; null when its notes hold none, or are not in memory. */
  readonly buildId: string | null;
  /** DT_SONAME; null for a program. */
  readonly soname: string | null;
}

/** Tags of the dynamic section (gABI chapter 5). */
const DT_NULL = 0n;
const DT_STRTAB = 5n;
const DT_SONAME = 14n;

const MAX_SEGMENTS = 64;
const MAX_NOTE_BYTES = 4096;
const MAX_DYNAMIC_BYTES = 4096;
const MAX_NAME = 128;
const PAGE_MASK = 0xfffn;

/** The image whose ELF header can be read at `header` and whose lowest segment was loaded on the page `start`; null when there is none. */
export function readLoadedElf(memory: Memory, header: Address, start: Address): LoadedElf | null {
  const bytes = memory.read(header, HEADER_SIZE);
  if (bytes === null || !isMagic(bytes)) return null;
  try {
    return decodeLoaded(memory, bytes, header, start);
  } catch (error) {
    // Not an ELF file of ours after all, or a damaged one: partial knowledge is none here.
    if (errorCode(error) === null) throw error;
    return null;
  }
}

function isMagic(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

function decodeLoaded(memory: Memory, bytes: Uint8Array, at: Address, start: Address): LoadedElf | null {
  const { bits, littleEndian } = decodeIdentification(bytes, 'an image in guest memory');
  const { machine, segments: table } = decodeHeader(new Cursor(bytes, { littleEndian }), bits);
  const isOdd =
    table.count === 0 ||
    !Number.isFinite(table.offset) ||
    table.count > MAX_SEGMENTS ||
    table.entrySize < entrySizeOf('segment', bits);
  if (machine === null || isOdd) return null;
  const headers = memory.read(toUnsigned64(at + BigInt(table.offset)), table.count * table.entrySize);
  if (headers === null) return null;
  const cursor = new Cursor(headers, { littleEndian });
  const segments = Array.from({ length: table.count }, (_, index) => {
    cursor.seek(index * table.entrySize);
    return decodeSegment(cursor, bits);
  });
  if (!segments.every(({ memorySize }) => Number.isFinite(memorySize))) return null;
  const loaded = segments.filter(({ type, memorySize }) => type === PT_LOAD && memorySize > 0);
  const lowest = loaded.reduce<bigint | null>((low, { virtualAddress: v }) => (low === null || v < low ? v : low), null);
  if (lowest === null) return null;
  const loadBias = start - (lowest & ~PAGE_MASK);
  const ranges = loaded.map((segment) => ({ ...placed(segment, loadBias), executable: (segment.flags & PF_X) !== 0 }));
  return {
    machine,
    loadBias,
    base: toUnsigned64(lowest + loadBias),
    end: ranges.reduce((high, { end }) => (end > high ? end : high), 0n),
    text: ranges.filter(({ executable }) => executable).map(({ start: from, end }) => ({ start: from, end })),
    buildId: findBuildId(memory, segments, loadBias, littleEndian),
    soname: bits === 64 ? findSoname(memory, segments, loadBias, littleEndian) : null,
  };
}

function placed(segment: ElfSegment, loadBias: bigint): { readonly start: Address; readonly end: Address } {
  const start = toUnsigned64(segment.virtualAddress + loadBias);
  return { start, end: start + BigInt(segment.memorySize) };
}

function findBuildId(memory: Memory, segments: readonly ElfSegment[], loadBias: bigint, littleEndian: boolean): string | null {
  for (const segment of segments) {
    if (segment.type !== PT_NOTE || segment.memorySize > MAX_NOTE_BYTES) continue;
    const bytes = memory.read(placed(segment, loadBias).start, segment.memorySize);
    const notes = bytes === null ? [] : decodeNotes(bytes, { littleEndian, alignment: segment.alignment, address: null });
    const id = notes.find(({ name, type }) => name === 'GNU' && type === NT_GNU_BUILD_ID);
    if (id !== undefined) return Buffer.from(id.descriptor).toString('hex');
  }
  return null;
}

/** The run-time linker turns DT_STRTAB into a run-time address in some libraries' memory (glibc) and leaves it in others. */
function findSoname(memory: Memory, segments: readonly ElfSegment[], loadBias: bigint, littleEndian: boolean): string | null {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const size = Math.min(dynamic?.memorySize ?? 0, MAX_DYNAMIC_BYTES);
  const bytes = dynamic === undefined ? null : memory.read(placed(dynamic, loadBias).start, size);
  if (bytes === null) return null;
  const cursor = new Cursor(bytes, { littleEndian });
  const entries = new Map<bigint, bigint>();
  while (cursor.remaining >= 16) {
    const tag = cursor.u64();
    if (tag === DT_NULL) break;
    entries.set(tag, cursor.u64());
  }
  const [table, offset] = [entries.get(DT_STRTAB), entries.get(DT_SONAME)];
  if (table === undefined || offset === undefined) return null;
  return readName(memory, toUnsigned64(table + loadBias + offset)) ?? readName(memory, toUnsigned64(table + offset));
}

/** A file name of printable characters; null when none stands there. */
function readName(memory: Memory, address: Address): string | null {
  const toPageEnd = Number(0x1000n - (address & PAGE_MASK));
  const bytes = memory.read(address, MAX_NAME) ?? memory.read(address, Math.min(MAX_NAME, toPageEnd));
  const name = bytes === null ? null : Buffer.from(bytes).toString('latin1');
  return /^([\w.+-]{1,127})\0/.exec(name ?? '')?.[1] ?? null;
}
