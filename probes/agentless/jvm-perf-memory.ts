// Where a JVM keeps its performance data: PerfMemory::_start. Its address is told by the symbol itself, where libjvm.so was not
// stripped; else by the table that HotSpot exports for debuggers (gHotSpotVMStructs, jdk src/hotspot/share/runtime/vmStructs.cpp); else,
// without any symbols, by a search of the library's own data for a pointer to the data's magic number.

import type { ProbeGuest } from '../../src/model/probe.ts';
import { decodePrologue, type PerfPrologue, PROLOGUE_BYTES } from './hsperfdata.ts';

/** The data as found: where, and what they begin with. */
export interface PerfArea {
  readonly address: bigint;
  readonly prologue: PerfPrologue;
}

/** `none`: the JVM was found, and keeps no performance data. `unknown`: where it keeps them is not known (yet). */
export type PerfSearch = PerfArea | 'none' | 'unknown';

const START_SYMBOL = '_ZN10PerfMemory6_startE';
const TABLE_SYMBOL = 'gHotSpotVMStructs';
/** The library's file: on some systems the guest only knows its own name. */
const LIBRARY = /(?:^|\/)libjvm\.so$/;
const MAX_STRUCTS = 8192;
const MAX_SEGMENTS = 32;
const MAX_DATA = 8 * 1024 * 1024;
const MAX_CANDIDATES = 4096;
const PAGE = 4096;
/** elf(5): the fields of a 64-bit header that lead to its program headers. */
const ELF_HEADER_BYTES = 64;
const PT_LOAD = 1;
const PF_W = 2;

/** Where the pointer was found in a guest; each use is checked again. */
const known = new WeakMap<object, bigint>();

/** Whether the guest has something of a JVM by which its data can be found. */
export function hasJvm({ symbols, images = [] }: Pick<ProbeGuest, 'symbols' | 'images'>): boolean {
  return [START_SYMBOL, TABLE_SYMBOL].some((name) => symbols.findSymbol(name) !== null) || images.some(isLibrary);
}

function isLibrary({ path, match }: NonNullable<ProbeGuest['images']>[number]): boolean {
  return match !== 'mismatch' && LIBRARY.test(path);
}

/** Finds the data. Costs a search of a megabyte once, then three reads. */
export function findPerfArea(guest: ProbeGuest): PerfSearch {
  const before = known.get(guest.symbols);
  const found = before === undefined ? null : areaBehind(guest, before);
  if (found !== null) return found;
  const pointer = guest.symbols.findSymbol(START_SYMBOL)?.address ?? findInTable(guest) ?? searchLibraries(guest);
  if (pointer === null) return 'unknown';
  const area = areaBehind(guest, pointer);
  if (area !== null) known.set(guest.symbols, pointer);
  return area ?? (readWord(guest, pointer) === 0n ? 'none' : 'unknown');
}

function areaBehind(guest: ProbeGuest, pointer: bigint): PerfArea | null {
  const address = readWord(guest, pointer);
  return address === null || address === 0n ? null : areaAt(guest, address);
}

function areaAt(guest: ProbeGuest, address: bigint): PerfArea | null {
  const bytes = guest.memory.read(address, PROLOGUE_BYTES);
  const prologue = bytes === null ? null : decodePrologue(bytes);
  return prologue === null ? null : { address, prologue };
}

/** The table's entries and their fields are as long and where other exported variables say. */
function findInTable(guest: ProbeGuest): bigint | null {
  const word = (name: string): bigint | null => {
    const symbol = guest.symbols.findSymbol(name);
    return symbol === null ? null : readWord(guest, symbol.address);
  };
  const table = word(TABLE_SYMBOL);
  const [stride, typeName, fieldName, address] = ['ArrayStride', 'TypeNameOffset', 'FieldNameOffset', 'AddressOffset'].map(
    (what) => word(`gHotSpotVMStructEntry${what}`),
  );
  if (table == null || stride == null || typeName == null || fieldName == null || address == null) return null;
  if (table === 0n || stride === 0n || stride > 1024n) return null;
  const isNamed = (at: bigint, name: string): boolean => readName(guest, at, name.length) === name;
  for (let index = 0; index < MAX_STRUCTS; index += 1) {
    const entry = table + BigInt(index) * stride;
    const type = readWord(guest, entry + typeName);
    if (type === null || type === 0n) return null;
    if (!isNamed(type, 'PerfMemory')) continue;
    const field = readWord(guest, entry + fieldName);
    if (field !== null && isNamed(field, '_start')) return readWord(guest, entry + address);
  }
  return null;
}

function searchLibraries(guest: ProbeGuest): bigint | null {
  for (const { base } of (guest.images ?? []).filter(isLibrary)) {
    for (const { start, end } of dataOf(guest, base)) {
      const found = searchPointer(guest, start, end);
      if (found !== null) return found;
    }
  }
  return null;
}

/** The writable segments of the library whose ELF header lies at `base`. */
function dataOf(guest: ProbeGuest, base: bigint): readonly { readonly start: bigint; readonly end: bigint }[] {
  const header = viewAt(guest, base, ELF_HEADER_BYTES);
  // \x7fELF, 64 bits, little-endian: HotSpot on x86-64, AArch64 and RISC-V.
  if (header?.getUint32(0, false) !== 0x7f45_4c46 || header.getUint16(4, false) !== 0x0201) return [];
  const [size, count] = [header.getUint16(54, true), Math.min(header.getUint16(56, true), MAX_SEGMENTS)];
  const table = viewAt(guest, base + header.getBigUint64(32, true), size * count);
  if (table === null || size < 56) return [];
  return Array.from({ length: count }, (_, index) => index * size).flatMap((at) => {
    const [type, flags] = [table.getUint32(at, true), table.getUint32(at + 4, true)];
    if (type !== PT_LOAD || (flags & PF_W) === 0) return [];
    const start = BigInt.asUintN(64, base + (table.getBigUint64(at + 16, true) & ~7n));
    const length = table.getBigUint64(at + 40, true);
    return [{ start, end: start + (length < MAX_DATA ? length : BigInt(MAX_DATA)) }];
  });
}

/** The data begin on a page of their own. PerfMemory keeps the start of the data twice: any of them does. */
function searchPointer(guest: ProbeGuest, start: bigint, end: bigint): bigint | null {
  const tried = new Set<bigint>();
  for (let at = start; at < end; at = (at & ~0xfffn) + BigInt(PAGE)) {
    const stop = (at & ~0xfffn) + BigInt(PAGE);
    const view = viewAt(guest, at, Number((stop < end ? stop : end) - at) & ~7);
    for (let offset = 0; view !== null && offset + 8 <= view.byteLength; offset += 8) {
      if ((view.getUint32(offset, true) & 0xfff) !== 0) continue;
      const target = view.getBigUint64(offset, true);
      if (target === 0n || tried.has(target)) continue;
      if (tried.size >= MAX_CANDIDATES) return null;
      tried.add(target);
      if (areaAt(guest, target) !== null) return at + BigInt(offset);
    }
  }
  return null;
}

function readWord(guest: ProbeGuest, address: bigint): bigint | null {
  return viewAt(guest, address, 8)?.getBigUint64(0, true) ?? null;
}

/** `length` characters and the NUL behind them; null when it does not end there. */
function readName(guest: ProbeGuest, address: bigint, length: number): string | null {
  const bytes = guest.memory.read(BigInt.asUintN(64, address), length + 1);
  return bytes?.[length] === 0 ? Buffer.from(bytes.subarray(0, length)).toString('latin1') : null;
}

function viewAt(guest: ProbeGuest, address: bigint, length: number): DataView | null {
  const bytes = guest.memory.read(BigInt.asUintN(64, address), length);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
