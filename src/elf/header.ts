// ELF header, program headers and section headers (gABI chapters 4 and 5), 32 and 64 bit, either byte order,
// with the escapes for huge counts (e_shnum 0, PN_XNUM, SHN_XINDEX). Decodes bytes; the file is read by file.ts.

import type { Cursor } from '../bytes/cursor.ts';
import { UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import * as elf from './constants.ts';

/** What kind of ELF it is (`e_type`). */
export type ElfType = 'exec' | 'dyn' | 'rel' | 'core' | 'none';

/** A program header. Addresses are link addresses; `fileSize` bytes at `offset` become `memorySize` bytes at `virtualAddress`. */
export interface ElfSegment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly virtualAddress: bigint;
  readonly physicalAddress: bigint;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly alignment: number;
}

/** A section header. `size` is what the file holds: for a compressed section less than what `readSection` gives. */
export interface ElfSection {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly address: bigint;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly alignment: number;
  readonly entrySize: number;
  readonly compressed: boolean;
}

/** A section header before its name is known. */
export type RawSection = Omit<ElfSection, 'name' | 'compressed'> & { readonly nameOffset: number };

/** A table of equal entries in the file. */
export interface ElfTable {
  readonly offset: number;
  readonly entrySize: number;
  readonly count: number;
}

/** The ELF header, raw counts kept: 0, PN_XNUM and SHN_XINDEX mean that section 0 knows. */
export interface ElfHeader {
  readonly bits: 32 | 64;
  readonly littleEndian: boolean;
  readonly type: ElfType;
  readonly machine: Machine | null;
  readonly machineNumber: number;
  readonly entry: bigint;
  readonly segments: ElfTable;
  readonly sections: ElfTable;
  readonly sectionNames: number;
}

/** Bytes that hold the header of either class. */
export const HEADER_SIZE = 64;

const TYPES: Readonly<Record<number, ElfType>> = {
  [elf.ET_REL]: 'rel',
  [elf.ET_EXEC]: 'exec',
  [elf.ET_DYN]: 'dyn',
  [elf.ET_CORE]: 'core',
};

/** The class and byte order from `e_ident`. Throws ELF_NOT_ELF, ELF_UNSUPPORTED; `bytes` may be shorter than a header. */
export function decodeIdentification(bytes: Uint8Array, path: string): { bits: 32 | 64; littleEndian: boolean } {
  if (bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
    throw new UnidbgError('ELF_NOT_ELF', `${path} is not an ELF file: it does not start with 7f 'ELF'`, { facts: { path } });
  }
  const [elfClass, data] = [bytes[4] ?? 0, bytes[5] ?? 0];
  if (elfClass !== elf.ELFCLASS32 && elfClass !== elf.ELFCLASS64) {
    throw new UnidbgError('ELF_UNSUPPORTED', `${path}: unknown ELF class ${elfClass} (1 = 32 bit, 2 = 64 bit are read)`, {
      facts: { path, elfClass },
    });
  }
  if (data !== elf.ELFDATA2LSB && data !== elf.ELFDATA2MSB) {
    throw new UnidbgError('ELF_UNSUPPORTED', `${path}: unknown ELF byte order ${data}`, { facts: { path, data } });
  }
  return { bits: elfClass === elf.ELFCLASS64 ? 64 : 32, littleEndian: data === elf.ELFDATA2LSB };
}

/** The rest of the ELF header; `cursor` stands at its start. */
export function decodeHeader(cursor: Cursor, bits: 32 | 64): ElfHeader {
  cursor.seek(16);
  const type = cursor.u16();
  const machineNumber = cursor.u16();
  cursor.skip(4);
  const entry = addressOf(cursor, bits);
  const segmentsOffset = word(cursor, bits);
  const sectionsOffset = word(cursor, bits);
  cursor.skip(6);
  const segmentSize = cursor.u16();
  const segmentCount = cursor.u16();
  const sectionSize = cursor.u16();
  const sectionCount = cursor.u16();
  return {
    bits,
    littleEndian: cursor.littleEndian,
    type: TYPES[type] ?? 'none',
    machine: machineOf(machineNumber, bits),
    machineNumber,
    entry,
    segments: { offset: segmentsOffset, entrySize: segmentSize, count: segmentCount },
    sections: { offset: sectionsOffset, entrySize: sectionSize, count: sectionCount },
    sectionNames: cursor.u16(),
  };
}

function machineOf(number: number, bits: 32 | 64): Machine | null {
  if (number === elf.EM_X86_64) return 'x86_64';
  if (number === elf.EM_386) return 'i386';
  if (number === elf.EM_AARCH64 && bits === 64) return 'aarch64';
  if (number === elf.EM_RISCV && bits === 64) return 'riscv64';
  return null;
}

/** The smallest entry a table of this class may have. */
export function entrySizeOf(table: 'segment' | 'section', bits: 32 | 64): number {
  if (table === 'segment') return bits === 64 ? 56 : 32;
  return bits === 64 ? 64 : 40;
}

/** One program header at the cursor. */
export function decodeSegment(cursor: Cursor, bits: 32 | 64): ElfSegment {
  const type = cursor.u32();
  const earlyFlags = bits === 64 ? cursor.u32() : 0;
  const offset = word(cursor, bits);
  const virtualAddress = addressOf(cursor, bits);
  const physicalAddress = addressOf(cursor, bits);
  const fileSize = word(cursor, bits);
  const memorySize = word(cursor, bits);
  const flags = bits === 64 ? earlyFlags : cursor.u32();
  return { type, flags, offset, virtualAddress, physicalAddress, fileSize, memorySize, alignment: word(cursor, bits) };
}

/** One section header at the cursor. */
export function decodeSection(cursor: Cursor, bits: 32 | 64, index: number): RawSection {
  const nameOffset = cursor.u32();
  const type = cursor.u32();
  const flags = word(cursor, bits);
  const address = addressOf(cursor, bits);
  const offset = word(cursor, bits);
  const size = word(cursor, bits);
  const link = cursor.u32();
  const info = cursor.u32();
  const alignment = word(cursor, bits);
  return { index, nameOffset, type, flags, address, offset, size, link, info, alignment, entrySize: word(cursor, bits) };
}

function addressOf(cursor: Cursor, bits: 32 | 64): bigint {
  return bits === 64 ? cursor.u64() : BigInt(cursor.u32());
}

function word(cursor: Cursor, bits: 32 | 64): number {
  return bits === 64 ? cursor.u64Number() : cursor.u32();
}
