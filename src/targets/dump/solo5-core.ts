// Cores of Solo5's hvt tender (`solo5-hvt-debug --dumpcore=DIR`, tenders/hvt/hvt_module_dumpcore.c): one NT_PRSTATUS, and all guest memory as one
// segment from address 0 on. hvt maps guest memory one to one, so addresses need no translation, and there are no control registers.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { VcpuRegisters } from '../../model/registers.ts';
import type { Memory } from '../../model/target.ts';
import { coreNotes, findCoreTables, isElfCore, type LoadSegment, malformed, readCoreTables, readNote } from './core-tables.ts';
import type { DumpContents, DumpFormat } from './format.ts';
import { decodeThreadStatus, MAX_PRSTATUS_BYTES, NT_PRSTATUS } from './prstatus.ts';

/** ELFOSABI_STANDALONE: no other core has it. */
const ABI_STANDALONE = 255;
const MAX_READ_BYTES = 16 * 1024 * 1024;

/** The format. */
export const solo5Core: DumpFormat = {
  name: 'solo5',
  title: 'core of a Solo5 hvt guest (--dumpcore)',
  recognise: (head, source) => isElfCore(head) && findCoreTables(source)?.abi === ABI_STANDALONE,
  open: openSolo5Core,
};

function openSolo5Core(source: ByteSource): DumpContents {
  const { header, loads, noteRanges } = readCoreTables(source);
  const load = loads.find(({ virtualAddress }) => virtualAddress === 0n);
  if (load === undefined) throw malformed(source, 'a Solo5 core without a segment of guest memory at address 0');
  if (header.machine !== 'x86_64') {
    throw new UnidbgError(
      'DUMP_UNSUPPORTED',
      `${source.name}: Solo5 writes cores of x86-64 guests only, this one says ELF machine ${header.machineNumber}`,
      {
        facts: { path: source.name },
      },
    );
  }
  const vcpus = [...coreNotes(source, true, noteRanges)].flatMap((note): VcpuRegisters[] => {
    if (note.type !== NT_PRSTATUS || note.name !== 'CORE') return [];
    const record = readNote(source, note, MAX_PRSTATUS_BYTES);
    const status = record === null ? null : decodeThreadStatus(record, 'x86_64');
    return status === null ? [] : [{ vcpu: 0, registers: status.registers }];
  });
  return {
    title: 'Solo5 hvt core',
    machine: 'x86_64',
    vcpus: vcpus.slice(0, 1),
    memory: { kind: 'virtual', memory: createMemory(source, load), bytes: load.memorySize },
    partial: load.offset >= source.size ? 'the core ends before guest memory' : null,
    diagnostics: [...shortWords(source, load), ...(vcpus.length === 0 ? [NO_REGISTERS] : [])],
  };
}

const NO_REGISTERS: Diagnostic = {
  code: 'no-registers',
  message: 'the core has no registers of Linux/x86-64: other hosts write other records',
};

/** Pages that the guest never touched are holes, and at the end of the file not even that. */
function* shortWords(source: ByteSource, { offset, fileSize }: LoadSegment): Generator<Diagnostic> {
  if (offset + fileSize <= source.size) return;
  const message = `the file ends ${offset + fileSize - source.size} bytes before guest memory: Solo5 leaves out untouched pages, which read as zeros, or it was cut off`;
  yield { code: 'dump-short', message };
}

function createMemory(source: ByteSource, { offset, fileSize, memorySize }: LoadSegment): Memory {
  const size = Math.min(fileSize, memorySize);
  return {
    read: (address, length) => {
      if (!(length >= 0 && length <= MAX_READ_BYTES) || address < 0n || address + BigInt(length) > BigInt(size)) return null;
      const bytes = new Uint8Array(length);
      const there = Math.max(0, Math.min(length, source.size - offset - Number(address)));
      const part = readExactly(source, offset + Number(address), there);
      if (part !== null) bytes.set(part);
      return bytes;
    },
  };
}
