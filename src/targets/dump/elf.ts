// ELF cores of QEMU's `dump-guest-memory` (also `virsh dump --memory-only`): dump/dump.c and target/<arch>/arch_dump.c of QEMU. A PT_LOAD for
// each block of RAM by its guest-physical address, notes for each vCPU.
//
// Folklore: paging=true. QEMU then writes a PT_LOAD for each mapped run with a guest-virtual p_vaddr, and sets the upper 16 bits of
// all of them (walk_pml4e starts with 0xffff << 48; QEMU 7.2 and 10.0): in a guest that lives in the low half (OSv, Unikraft, Nanos
// programs) p_vaddr is wrong. So p_vaddr is not used at all; p_paddr is right, and the guest's own page tables translate.
// Such a file holds all RAM, though its PT_LOADs name mapped pages only: see `fillBetween`.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import type { ElfHeader } from '../../elf/header.ts';
import { decodeNotes } from '../../elf/notes.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Machine } from '../../model/machine.ts';
import { formatSize } from '../../model/quantity.ts';
import { countSegments, findNoteSegment, isMemory, readCoreHeader, readNoteSegment, visitSegments } from './elf-segments.ts';
import type { DumpContents, DumpFormat } from './format.ts';
import { withHalted } from './halted.ts';
import { createPieceReader } from './piece-reader.ts';
import { type PieceTable, PieceTableBuilder, ZEROS } from './piece-table.ts';

import { isQemuState, readVcpuNotes } from './vcpu-notes.ts';

/** Cores of a guest's physical memory as QEMU writes them. */
export const qemuElf: DumpFormat = {
  name: 'elf',
  title: 'ELF core of QEMU (dump-guest-memory, virsh dump --memory-only)',
  recognise,
  open,
};

function recognise(head: Uint8Array, source: ByteSource): boolean {
  if (!isLittleEndianCore(head)) return false;
  try {
    const header = readCoreHeader(source);
    const bytes = readNoteSegment(source, findNoteSegment(source, header));
    const notes = bytes === null ? [] : decodeNotes(bytes, { littleEndian: true, alignment: 4, address: null });
    // A process's core has its name, its auxiliary vector and so on; QEMU writes nothing but these.
    const isOfArm = header.machine === 'aarch64' || header.machine === 'riscv64';
    const onlyRegisters = notes.length > 0 && notes.every(({ name, type }) => name === 'CORE' && (type === 1 || type === 2));
    return notes.some(isQemuState) || (isOfArm && onlyRegisters);
  } catch {
    return false;
  }
}

function isLittleEndianCore(head: Uint8Array): boolean {
  const [kind, low, high] = [String.fromCharCode(...head.subarray(0, 4)), head[16], head[17]];
  return kind === '\x7fELF' && (head[4] === 1 || head[4] === 2) && head[5] === 1 && low === 4 && high === 0;
}

function open(source: ByteSource): DumpContents {
  const head = readExactly(source, 0, Math.min(18, source.size)) ?? new Uint8Array();
  if (!isLittleEndianCore(head)) {
    throw new UnidbgError('DUMP_MALFORMED', `${source.name} is no little-endian ELF core`, { facts: { path: source.name } });
  }
  const header = readCoreHeader(source);
  if (header.machine === null) {
    const message = `${source.name} is a core of ELF machine ${header.machineNumber}; x86_64, i386, aarch64 and riscv64 are read`;
    throw new UnidbgError('DUMP_UNSUPPORTED', message, { facts: { path: source.name, machine: header.machineNumber } });
  }
  const layout = readLayout(source, header);
  const notes = readNoteSegment(source, findNoteSegment(source, header));
  const { vcpus } = readVcpuNotes(notes ?? new Uint8Array());
  const title = layout.isPaged ? 'QEMU ELF dump (paging=true)' : 'QEMU ELF dump';
  const reader = createPieceReader(title, source, layout.pieces);
  return {
    title,
    machine: header.machine,
    vcpus: withHalted(vcpus, reader),
    memory: { kind: 'physical', reader, bytes: layout.pieces.bytes },
    partial: explainLoss(source, layout),
    diagnostics: [...layout.diagnostics, ...(vcpus.length === 0 ? [noRegisters(header.machine)] : [])],
  };
}

interface Layout {
  readonly pieces: PieceTable;
  readonly isPaged: boolean;
  /** Program headers that the file should have and has. */
  readonly segments: { readonly told: number; readonly there: number };
  readonly diagnostics: readonly Diagnostic[];
}

function readLayout(source: ByteSource, header: ElfHeader): Layout {
  const told = countSegments(source, header);
  const seen = { isPaged: false, refused: 0 };
  const zeros: { start: number; end: number }[] = [];
  const stored = new PieceTableBuilder();
  const there = visitSegments(source, header, told, (segment) => {
    if (!isMemory(segment)) return true;
    seen.isPaged ||= segment.virtualAddress !== segment.physicalAddress;
    const start = Number(segment.physicalAddress);
    const size = Math.min(segment.fileSize, segment.memorySize);
    if (!stored.add(start, start + size, size === 0 ? 0 : segment.offset)) seen.refused += 1;
    // What RAM a block holds beyond its stored bytes is zero; few dumps have any, so hostile ones may not have many.
    if (size < segment.memorySize && zeros.length < 65_536) zeros.push({ start: start + size, end: start + segment.memorySize });
    return true;
  });
  const diagnostics: Diagnostic[] = [];
  const { isPaged, refused } = seen;
  if (refused > 0) {
    diagnostics.push({
      code: 'dump-segments',
      message: `${refused} program headers describe no memory that can be, or are too many`,
    });
  }
  if (isPaged) diagnostics.push(PAGED);
  const pieces = isPaged ? withUpperMemory(source, fillBetween(stored.build()), zeros) : withZeros(stored.build(), zeros);
  return { pieces, isPaged, segments: { told, there }, diagnostics };
}

const PAGED: Diagnostic = {
  code: 'dump-virtual-addresses',
  message:
    'written with paging=true, whose guest-virtual addresses are wrong for guests in the low half: they are not used; ' +
    "guest-physical ones and the guest's own page tables are. RAM that is not mapped and lies outside of what is mapped cannot be reached",
};

/**
 * A paging=true file has the same blocks of RAM behind its headers as any other, one behind the other: PT_LOADs of the same distance between
 * file and physical address belong to one block, which is stored between them too (page tables lie there that map all but themselves).
 * No zeros: where a run goes beyond its block QEMU cuts p_filesz, though another block follows there.
 */
function fillBetween(mapped: PieceTable): PieceTable {
  const blocks = new Map<number, { start: number; end: number }>();
  for (let index = 0; index < mapped.count; index += 1) {
    const [start, end] = [mapped.start(index), mapped.endOf(index)];
    const shift = mapped.position(index) - start;
    const block = blocks.get(shift);
    blocks.set(shift, { start: Math.min(start, block?.start ?? start), end: Math.max(end, block?.end ?? end) });
  }
  const filled = new PieceTableBuilder();
  for (const [shift, { start, end }] of blocks) filled.add(start, end, start + shift);
  // Where blocks seem to overlap, what a PT_LOAD says itself counts.
  for (let index = 0; index < mapped.count; index += 1)
    filled.add(mapped.start(index), mapped.endOf(index), mapped.position(index));
  return filled.build();
}

/** A PC with a VGA card has RAM up to here, and again from there on. */
const LOWER_END = 0xa_0000;
const UPPER_START = 0xc_0000;
/** Where a PC starts, and the jump that SeaBIOS has there. */
const RESET_VECTOR = 0xf_fff0;
const RESET_JUMP = Uint8Array.of(0xea, 0x5b, 0xe0, 0x00, 0xf0);

/**
 * A guest that maps its memory from 0 on by large pages alone gives one PT_LOAD, which QEMU cuts where the VGA card's hole begins (seen: an
 * identity map of 2 MiB pages on `-vga std`). The next block follows in the file; its BIOS is at its place when it is the RAM behind the hole.
 */
function withUpperMemory(source: ByteSource, mapped: PieceTable, cuts: readonly { start: number; end: number }[]): PieceTable {
  const cut = cuts.find(({ start }) => start === LOWER_END);
  const below = mapped.find(LOWER_END - 1);
  if (cut === undefined || below === null || mapped.find(RESET_VECTOR) !== null) return mapped;
  const position = mapped.position(below) + (LOWER_END - mapped.start(below));
  const jump = readExactly(source, position + RESET_VECTOR - UPPER_START, RESET_JUMP.length);
  if (jump === null || Buffer.compare(jump, RESET_JUMP) !== 0) return mapped;
  const all = new PieceTableBuilder();
  all.add(UPPER_START, Math.min(cut.end, UPPER_START + source.size - position), position);
  for (let index = 0; index < mapped.count; index += 1) all.add(mapped.start(index), mapped.endOf(index), mapped.position(index));
  return all.build();
}

/** Stored bytes win over zeros, whatever the order of the program headers. */
function withZeros(stored: PieceTable, zeros: readonly { start: number; end: number }[]): PieceTable {
  if (zeros.length === 0) return stored;
  const all = new PieceTableBuilder();
  for (const { start, end } of zeros) all.add(start, end, ZEROS);
  for (let index = 0; index < stored.count; index += 1) all.add(stored.start(index), stored.endOf(index), stored.position(index));
  return all.build();
}

function explainLoss(source: ByteSource, { pieces, segments }: Layout): string | null {
  if (segments.there < segments.told) {
    return `cut off within its program headers: ${segments.there} of ${segments.told} are there, and no memory`;
  }
  const there = pieces.bytesWithin(source.size);
  if (there >= pieces.bytes) return null;
  return `cut off at ${formatSize(source.size)}: ${formatSize(there)} of ${formatSize(pieces.bytes)} guest memory are there`;
}

function noRegisters(machine: Machine): Diagnostic {
  const message = `no registers of a vCPU of ${machine} are in it: its notes are cut off or others than QEMU's`;
  return { code: 'dump-no-registers', message };
}
