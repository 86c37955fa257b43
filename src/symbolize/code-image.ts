// An ELF file as a runtime's tables see it (model/code-table.ts): the bytes of its loaded segments, with relative relocations applied.
//
// Folklore: the C linker leaves zeros where a position-independent x86-64 image has pointers and keeps their values in .rela.dyn; Go's
// own linker writes both. Without the relocations the tables of a Go program linked by the former begin nowhere. Test:
// test/runtimes/go-table.test.ts, "linked by the C linker".

import { PT_DYNAMIC, PT_LOAD, SHF_ALLOC, SHT_NOBITS } from '../elf/constants.ts';
import type { ElfFile } from '../elf/file.ts';
import type { CodeImage, CodeTable, ImageRange } from '../model/code-table.ts';
import { UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';

/** Opens a runtime's tables over an image; null when the image is not of that runtime. */
export type CodeTableOpener = (image: CodeImage) => CodeTable | null;

const DT_RELA = 7;
const DT_RELASZ = 8;
const RELA_SIZE = 24;
const MAX_DYNAMIC_ENTRIES = 4096;
const MAX_RELOCATIONS = 8_000_000;
/** Relocations that are compared with what is in place already. */
const SAMPLES = 64;
/** R_*_RELATIVE of each psABI; i386 keeps the values in place. */
const RELATIVE: Readonly<Record<Machine, number | null>> = { x86_64: 8, aarch64: 1027, riscv64: 3, i386: null };

/** The reading interface of `elf`. Relocations are read with the first bytes. */
export function openCodeImage(elf: ElfFile, machine: Machine): CodeImage {
  let relocations: Relative | null | undefined;
  const ranges = elf.segments
    .filter(({ type, fileSize }) => type === PT_LOAD && fileSize > 0)
    .map(({ virtualAddress, fileSize, memorySize, flags }) => ({
      ...{ address: virtualAddress, size: Math.min(fileSize, memorySize) },
      ...{ writable: (flags & 2) !== 0, executable: (flags & 1) !== 0 },
    }));
  return {
    machine,
    bits: elf.bits,
    littleEndian: elf.littleEndian,
    ranges,
    findSection: (name): ImageRange | null => {
      const section = elf.findSection(name);
      const isLoaded = section !== null && section.type !== SHT_NOBITS && (section.flags & SHF_ALLOC) !== 0;
      return isLoaded ? { address: section.address, size: section.size } : null;
    },
    readVirtual: (address, length) => {
      const bytes = elf.readVirtual(address, length);
      if (bytes === null) return null;
      relocations ??= readRelative(elf, machine);
      return applyRelative(relocations, address, bytes);
    },
  };
}

/** Addresses in ascending order, counted from `base`, and what belongs there. */
interface Relative {
  readonly base: bigint;
  readonly places: Float64Array;
  readonly values: BigUint64Array;
}

const NONE: Relative = { base: 0n, places: new Float64Array(0), values: new BigUint64Array(0) };

function readRelative(elf: ElfFile, machine: Machine): Relative {
  const type = RELATIVE[machine];
  const bytes = elf.bits === 64 && elf.littleEndian && type !== null ? findRela(elf) : null;
  if (bytes === null || type === null) return NONE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at: number[] = [];
  for (let offset = 0; offset + RELA_SIZE <= bytes.length; offset += RELA_SIZE) {
    if (view.getUint32(offset + 8, true) === type) at.push(offset);
  }
  const stride = Math.max(1, Math.floor(at.length / SAMPLES));
  const isInPlace = at.every((offset, index) => index % stride !== 0 || holds(elf, view, offset));
  if (isInPlace) return NONE;
  const base = elf.imageBase;
  const order = at
    .map((offset) => ({ offset, place: Number(view.getBigUint64(offset, true) - base) }))
    .sort((a, b) => a.place - b.place);
  return {
    base,
    places: Float64Array.from(order, ({ place }) => place),
    values: BigUint64Array.from(order, ({ offset }) => view.getBigUint64(offset + 16, true)),
  };
}

function holds(elf: ElfFile, view: DataView, offset: number): boolean {
  const word = elf.readVirtual(view.getBigUint64(offset, true), 8);
  return (
    word !== null && new DataView(word.buffer, word.byteOffset, 8).getBigUint64(0, true) === view.getBigUint64(offset + 16, true)
  );
}

function findRela(elf: ElfFile): Uint8Array | null {
  const dynamic = elf.segments.find(({ type }) => type === PT_DYNAMIC);
  if (dynamic === undefined) return null;
  const entries = elf.readVirtual(dynamic.virtualAddress, Math.min(dynamic.fileSize, MAX_DYNAMIC_ENTRIES * 16));
  if (entries === null) return null;
  const view = new DataView(entries.buffer, entries.byteOffset, entries.length);
  const values = new Map<bigint, bigint>();
  for (let at = 0; at + 16 <= entries.length; at += 16) values.set(view.getBigUint64(at, true), view.getBigUint64(at + 8, true));
  const [address, size] = [values.get(BigInt(DT_RELA)), values.get(BigInt(DT_RELASZ))];
  if (address === undefined || size === undefined || size > BigInt(MAX_RELOCATIONS * RELA_SIZE)) return null;
  return elf.readVirtual(address, Number(size));
}

function applyRelative({ base, places, values }: Relative, address: bigint, bytes: Uint8Array): Uint8Array {
  if (places.length === 0) return bytes;
  const start = Number(address - base);
  // The first that reaches into the bytes.
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (places[middle]! + 8 > start) high = middle;
    else low = middle + 1;
  }
  const patched = low < places.length && places[low]! < start + bytes.length ? bytes.slice() : bytes;
  const word = new DataView(new ArrayBuffer(8));
  for (let index = low; index < places.length && places[index]! < start + bytes.length; index += 1) {
    word.setBigUint64(0, values[index]!, true);
    for (let byte = 0; byte < 8; byte += 1) {
      const at = places[index]! - start + byte;
      if (at >= 0 && at < patched.length) patched[at] = word.getUint8(byte);
    }
  }
  return patched;
}

/** The first table that `openers` find in `elf`, with its errors told to `complain` and answered with nothing; null without any. */
export function openRuntimeTable(
  elf: ElfFile,
  machine: Machine,
  openers: readonly CodeTableOpener[],
  complain: (error: UnidbgError) => void,
): CodeTable | null {
  const guard = <T>(read: () => T, otherwise: T): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof UnidbgError)) throw error;
      complain(error);
      return otherwise;
    }
  };
  const image = openCodeImage(elf, machine);
  for (const open of openers) {
    const table = guard(() => open(image), null);
    if (table === null) continue;
    return {
      keptRegisters: table.keptRegisters,
      locate: (address) => guard(() => table.locate(address), []),
      findSymbol: (name) => guard(() => table.findSymbol(name), null),
      startsAt: (address) => guard(() => table.startsAt(address), false),
      stackDelta: (address) => guard(() => table.stackDelta(address), null),
      findSpecialCaller: (frame, memory) => guard(() => table.findSpecialCaller(frame, memory), null),
      functions: () => table.functions(),
    };
  }
  return null;
}
