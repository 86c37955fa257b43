// The beginning of an ELF core of a whole guest, as QEMU's `dump-guest-memory` with paging=false writes it (dump/dump.c): one PT_NOTE, and a
// PT_LOAD for each run of RAM, at its guest-physical address. Memory begins at a whole frame of the compressed file.

import { EM_386, EM_AARCH64, EM_RISCV, EM_X86_64, ET_CORE, PT_LOAD, PT_NOTE } from '../../elf/constants.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Machine } from '../../model/machine.ts';

/** A run of guest-physical memory, [start, start + size), and where it is in the file. Bytes. */
export interface CoreRun {
  readonly start: number;
  readonly size: number;
  readonly offset: number;
}

/** What the file will be. */
export interface CoreLayout {
  readonly runs: readonly CoreRun[];
  /** Of the whole file. */
  readonly size: number;
}

const MACHINE_NUMBERS: Readonly<Record<Machine, number>> = {
  x86_64: EM_X86_64,
  i386: EM_386,
  aarch64: EM_AARCH64,
  riscv64: EM_RISCV,
};

/** Puts the runs one behind the other from `start` in the file on. They ascend. */
export function layOutCore(runs: readonly { readonly start: bigint; readonly end: bigint }[], start: number): CoreLayout {
  let offset = start;
  const placed = runs.map((run) => {
    const size = Number(run.end - run.start);
    const at = offset;
    offset += size;
    return { start: Number(run.start), size, offset: at };
  });
  return { runs: placed, size: offset };
}

/**
 * The first `size` bytes of the file: headers and notes, then zeros. Throws DUMP_UNSUPPORTED when they do not fit, or a 32-bit guest has
 * memory that 32-bit headers cannot name.
 */
export function encodeCoreHead(layout: CoreLayout, notes: Uint8Array, machine: Machine, size: number): Uint8Array {
  const form = machine === 'i386' ? FORM_32 : FORM_64;
  const count = layout.runs.length + 1;
  const notesAt = form.headerBytes + count * form.segmentBytes;
  const most = layout.runs.reduce((end, run) => Math.max(end, run.start + run.size, run.offset + run.size), 0);
  if (notesAt + notes.length > size || most > form.most) {
    throw new UnidbgError(
      'DUMP_UNSUPPORTED',
      `a guest with ${count - 1} runs of memory up to 0x${most.toString(16)} fits no core of ${machine}`,
    );
  }
  const bytes = Buffer.alloc(size);
  bytes.write('\x7fELF', 0, 'latin1');
  bytes.set([form === FORM_64 ? 2 : 1, 1, 1], 4);
  bytes.writeUInt16LE(ET_CORE, 16);
  bytes.writeUInt16LE(MACHINE_NUMBERS[machine], 18);
  bytes.writeUInt32LE(1, 20);
  form.writeHeader(bytes, count);
  const segments = [{ type: PT_NOTE, offset: notesAt, start: 0, size: notes.length, memory: 0 }];
  segments.push(...layout.runs.map((run) => ({ type: PT_LOAD, ...run, memory: run.size })));
  segments.forEach((segment, index) => {
    form.writeSegment(bytes, form.headerBytes + index * form.segmentBytes, segment);
  });
  bytes.set(notes, notesAt);
  return bytes;
}

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly start: number;
  readonly size: number;
  readonly memory: number;
}

interface Form {
  readonly headerBytes: number;
  readonly segmentBytes: number;
  /** The largest address and offset. */
  readonly most: number;
  writeHeader(bytes: Buffer, segments: number): void;
  writeSegment(bytes: Buffer, at: number, segment: Segment): void;
}

/** Elf64_Ehdr, Elf64_Phdr. */
const FORM_64: Form = {
  headerBytes: 64,
  segmentBytes: 56,
  most: Number.MAX_SAFE_INTEGER,
  writeHeader: (bytes, segments) => {
    bytes.writeBigUInt64LE(64n, 32);
    bytes.writeUInt16LE(64, 52);
    bytes.writeUInt16LE(56, 54);
    bytes.writeUInt16LE(segments, 56);
  },
  writeSegment: (bytes, at, { type, offset, start, size, memory }) => {
    bytes.writeUInt32LE(type, at);
    // QEMU writes the physical address for the virtual one too: what is mapped one to one can be read by gdb.
    [offset, start, start, size, memory].forEach((value, index) => {
      bytes.writeBigUInt64LE(BigInt(value), at + 8 + index * 8);
    });
  },
};

/** Elf32_Ehdr, Elf32_Phdr. */
const FORM_32: Form = {
  headerBytes: 52,
  segmentBytes: 32,
  most: 0xffff_ffff,
  writeHeader: (bytes, segments) => {
    bytes.writeUInt32LE(52, 28);
    bytes.writeUInt16LE(52, 40);
    bytes.writeUInt16LE(32, 42);
    bytes.writeUInt16LE(segments, 44);
  },
  writeSegment: (bytes, at, { type, offset, start, size, memory }) => {
    [type, offset, start, start, size, memory].forEach((value, index) => {
      bytes.writeUInt32LE(value, at + index * 4);
    });
  },
};
