// Xen's `xl dump-core` (docs/misc/dump-core-format.txt, tools/libs/guest/xg_core.c): an ELF core without program headers; sections hold
// the vCPUs, the pages in any order, and which frame each page is. Page tables of a paravirtual guest hold machine frames, so its
// "physical" memory here is the host's: the page walk stays what it is.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import { SHT_NOTE } from '../../elf/constants.ts';
import { createAddressSpace } from '../../memory/address-space.ts';
import { getTranslation } from '../../memory/page-walk.ts';
import type { PhysicalReader } from '../../memory/physical.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Registers, VcpuRegisters } from '../../model/registers.ts';
import {
  type CoreSection,
  coreNotes,
  findCoreTables,
  isElfCore,
  malformed,
  readCoreSections,
  readCoreTables,
  readNote,
  readOrThrow,
} from './core-tables.ts';
import type { DumpContents, DumpFormat } from './format.ts';
import { FrameTable, FrameTableBuilder, MAX_FRAMES } from './frame-table.ts';
import { createSyncReader } from './piece-reader.ts';
import { CONTEXT_BYTES, decodeContext, EFER_LONG_MODE, findFaultAddress } from './xen-context.ts';

const NOTE_HEADER = 0x2000001;
const MAGIC_PV = 0xf00febedn;
const MAGIC_HVM = 0xf00febeen;
const PAGE_BYTES = 4096;
const MAX_VCPUS = 4096;
const TABLE_BYTES_AT_ONCE = 1024 * 1024;
/** Frames 0xa0 to 0xbf, the VGA hole, are never written of a domain that has its own physical addresses. */
const HOLE = { start: 0xa0, frames: 0x20 };

/** The format. */
export const xenCore: DumpFormat = {
  name: 'xen',
  title: 'core of a Xen domain (xl dump-core)',
  recognise: (head, source) => isElfCore(head) && isXenCore(source),
  open: (source) => openXenCore(source),
};

function isXenCore(source: ByteSource): boolean {
  try {
    const tables = findCoreTables(source);
    return (
      tables !== null &&
      tables.header.segments.count === 0 &&
      findHeader(source, readCoreSections(source, tables.header)) !== null
    );
  } catch {
    return false;
  }
}

/** The note that heads the core. */
interface XenHeader {
  readonly isParavirtual: boolean;
  readonly vcpus: number;
  readonly pages: number;
}

function findHeader(source: ByteSource, sections: readonly CoreSection[]): XenHeader | null {
  for (const note of coreNotes(
    source,
    true,
    sections.filter(({ type }) => type === SHT_NOTE),
  )) {
    if (note.name !== 'Xen' || note.type !== NOTE_HEADER) continue;
    const bytes = readNote(source, note, PAGE_BYTES);
    if (bytes === null || bytes.length < 32) return null;
    const cursor = new Cursor(bytes);
    const magic = cursor.u64();
    const [vcpus, pages, pageBytes] = [cursor.u64Number(), cursor.u64Number(), cursor.u64Number()];
    const known = (magic === MAGIC_PV || magic === MAGIC_HVM) && pageBytes === PAGE_BYTES;
    return known ? { isParavirtual: magic === MAGIC_PV, vcpus, pages } : null;
  }
  return null;
}

/** Where everything lies. */
interface Layout extends XenHeader {
  readonly contexts: CoreSection;
  readonly sharedInfo: CoreSection | null;
  readonly pagesAt: number;
  /** Which frame each page is: { pfn, machine frame } of a paravirtual domain, pfn of others. */
  readonly frames: CoreSection;
}

function openXenCore(source: ByteSource): DumpContents {
  const layout = readLayout(source);
  const { frames, diagnostics, partial } = readFrames(source, layout);
  const reader = createSyncReader(`the pages of ${source.name}`, (address, into) =>
    readFramed(source, layout, frames, address, into),
  );
  const contexts = readContexts(source, layout);
  const vcpus = contexts.map((registers, vcpu) => ({
    vcpu,
    registers: completeRegisters(source, layout, reader, registers, vcpu),
  }));
  const kind = layout.isParavirtual ? 'PV' : 'PVH or HVM';
  return {
    title: `Xen core (${kind})`,
    machine: 'x86_64',
    vcpus,
    memory: { kind: 'physical', reader, bytes: frames.count * PAGE_BYTES },
    partial,
    diagnostics: [...diagnostics, ...vcpus.flatMap((vcpu) => doubtsOf(reader, vcpu, layout.isParavirtual))],
  };
}

function readLayout(source: ByteSource): Layout {
  const { header } = readCoreTables(source);
  const sections = readCoreSections(source, header);
  const head = findHeader(source, sections);
  if (head === null) throw malformed(source, 'no Xen core: it has no note `Xen` with its header');
  // The names come last in the file: of a core that was cut off, sections are known by their entries.
  const find = (name: string, entrySize: number): CoreSection | null =>
    sections.find((section) => section.name === name) ??
    sections.findLast((section) => section.name === '' && section.entrySize === entrySize) ??
    null;
  const contexts = find('.xen_prstatus', CONTEXT_BYTES);
  const pages = find('.xen_pages', PAGE_BYTES);
  const frames = head.isParavirtual ? find('.xen_p2m', 16) : find('.xen_pfn', 8);
  if (contexts === null || pages === null || frames === null) {
    throw malformed(source, 'a Xen core without .xen_prstatus, .xen_pages or the table of its frames: x86-64 cores have them');
  }
  if (contexts.entrySize !== CONTEXT_BYTES) {
    throw unsupported(source, `vCPUs of ${contexts.entrySize} bytes: domains of x86-64 hosts are read (${CONTEXT_BYTES} bytes)`);
  }
  if (head.pages > MAX_FRAMES) throw unsupported(source, `${head.pages} pages; up to ${MAX_FRAMES} are read`);
  const sharedInfo = sections.find(({ name }) => name === '.xen_shared_info') ?? null;
  return { ...head, contexts, sharedInfo, pagesAt: pages.offset, frames };
}

function unsupported(source: ByteSource, what: string): UnidbgError {
  return new UnidbgError('DUMP_UNSUPPORTED', `${source.name}: ${what}`, { facts: { path: source.name } });
}

interface Frames {
  readonly frames: FrameTable;
  readonly diagnostics: readonly Diagnostic[];
  readonly partial: string | null;
}

/** Reads the table of frames; of a cut-off core of a domain with its own physical addresses it is made up. */
function readFrames(source: ByteSource, layout: Layout): Frames {
  const { isParavirtual, frames: section, pages, pagesAt } = layout;
  const entryBytes = isParavirtual ? 16 : 8;
  const there = Math.max(0, Math.floor((source.size - pagesAt) / PAGE_BYTES));
  const told = Math.min(pages, Math.floor(section.size / entryBytes));
  const readable = Math.max(0, Math.floor((Math.min(source.size, section.offset + section.size) - section.offset) / entryBytes));
  const known = Math.min(told, readable);
  const cut = `the core is cut off: ${Math.min(there, pages)} of ${pages} pages are there`;
  if (known === 0 && pages > 0) {
    if (isParavirtual) {
      const partial = `${cut}, and not the table at its end that says which is which: memory cannot be read`;
      return { frames: new FrameTable(new FrameTableBuilder(0)), diagnostics: [], partial };
    }
    const message =
      'the table of frames at the end is missing: pages are taken to be all of memory in order, but for the VGA hole';
    return { frames: framesInOrder(Math.min(there, pages)), diagnostics: [{ code: 'dump-mended', message }], partial: cut };
  }
  const builder = new FrameTableBuilder(Math.min(known, there));
  let bad = 0;
  const atOnce = TABLE_BYTES_AT_ONCE / entryBytes;
  for (let first = 0; first < known; first += atOnce) {
    const count = Math.min(atOnce, known - first);
    const bytes = readOrThrow(source, section.offset + first * entryBytes, count * entryBytes, 'the table of frames');
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    // The machine frame, or the only one, is the entry's last 8 bytes; both halves set: the page was not there.
    for (let entry = 0; entry < count; entry += 1) {
      const at = ((entry + 1) * entryBytes) / 4 - 2;
      const [low, high] = [words[at]!, words[at + 1]!];
      if (low === 0xffff_ffff && high === 0xffff_ffff) continue;
      if (high !== 0 || first + entry >= there || !builder.add(low, first + entry)) bad += 1;
    }
  }
  const diagnostics =
    bad === 0
      ? []
      : [
          {
            code: 'dump-frames',
            message: `${bad} of ${pages} pages cannot be read: their frame numbers or the pages are out of range`,
          },
        ];
  const isCut = there < pages || known < pages;
  return { frames: new FrameTable(builder), diagnostics, partial: isCut ? cut : null };
}

function framesInOrder(count: number): FrameTable {
  const builder = new FrameTableBuilder(count);
  for (let index = 0; index < count; index += 1) builder.add(index < HOLE.start ? index : index + HOLE.frames, index);
  return new FrameTable(builder);
}

function readFramed(source: ByteSource, { pagesAt }: Layout, frames: FrameTable, address: number, into: Uint8Array): boolean {
  for (let done = 0; done < into.length; ) {
    const at = address + done;
    const offset = at % PAGE_BYTES;
    const index = frames.find(Math.floor(at / PAGE_BYTES));
    if (index === null) return false;
    const part = into.subarray(done, done + Math.min(into.length - done, PAGE_BYTES - offset));
    if (source.read(pagesAt + index * PAGE_BYTES + offset, part) < part.length) return false;
    done += part.length;
  }
  return true;
}

function readContexts(source: ByteSource, { contexts, vcpus, isParavirtual }: Layout): Registers[] {
  const count = Math.min(vcpus, Math.floor(contexts.size / CONTEXT_BYTES), MAX_VCPUS);
  const files: Registers[] = [];
  for (let vcpu = 0; vcpu < count; vcpu += 1) {
    const record = readExactly(source, contexts.offset + vcpu * CONTEXT_BYTES, CONTEXT_BYTES);
    if (record === null) break;
    files.push(decodeContext(record));
  }
  // CR0.PE and PG: a 64-bit paravirtual guest never runs without; in a 32-bit one's record other things stand there.
  if (isParavirtual && files.length > 0 && files.every(({ values }) => ((values['cr0'] ?? 0n) & 0x8000_0001n) !== 0x8000_0001n)) {
    throw unsupported(source, 'a 32-bit paravirtual domain; 64-bit ones are read');
  }
  return files;
}

/** What the record lacks: EFER, and CR2 of a paravirtual domain. */
function completeRegisters(
  source: ByteSource,
  layout: Layout,
  reader: PhysicalReader,
  { machine, values }: Registers,
  vcpu: number,
): Registers {
  const long: Registers = { machine, values: { ...values, efer: EFER_LONG_MODE } };
  if (layout.isParavirtual) {
    const page = layout.sharedInfo;
    const bytes = page === null ? null : readExactly(source, page.offset, Math.min(page.size, PAGE_BYTES));
    const cr2 = findFaultAddress(bytes, vcpu);
    return cr2 === null ? long : { machine, values: { ...long.values, cr2 } };
  }
  const short: Registers = { machine, values: { ...values, efer: 0n } };
  return !isMapped(reader, long) && isMapped(reader, short) ? short : long;
}

/** Whether the page tables have the instruction that the vCPU is at. */
function isMapped(reader: PhysicalReader, registers: Registers): boolean {
  return createAddressSpace(reader, registers).read(registers.values['rip'] ?? 0n, 1) !== null;
}

/**
 * Folklore: xc_core_arch_gpfn_may_present (Xen 4.17 and master) leaves out frames 0xa0 to 0xbf of every domain with its own physical addresses, but a
 * PVH one has RAM there: Mini-OS has the stacks of its threads in it. Nothing brings them back.
 */
function doubtsOf(reader: PhysicalReader, { vcpu, registers }: VcpuRegisters, isParavirtual: boolean): Diagnostic[] {
  if (!isMapped(reader, registers)) {
    const message = `the page tables of vCPU ${vcpu} do not map its own program counter: its memory may not be readable`;
    return [{ code: 'dump-page-tables', message }];
  }
  const frame = isParavirtual ? null : findFrame(reader, registers, registers.values['rsp'] ?? 0n);
  if (frame === null || frame < HOLE.start || frame >= HOLE.start + HOLE.frames) return [];
  const message = `the stack of vCPU ${vcpu} is not in the dump: it lies at guest-physical 0xa0000–0xbffff, which xl dump-core always leaves out`;
  return [{ code: 'dump-hole', message }];
}

/** The guest-physical frame behind a guest-virtual address. */
function findFrame(reader: PhysicalReader, registers: Registers, address: bigint): number | null {
  const physical = getTranslation(registers)(address, (at, size) => {
    const bytes = new Uint8Array(size);
    if (reader.readSync?.(at, bytes) !== true) return null;
    const cursor = new Cursor(bytes);
    return size === 8 ? cursor.u64() : BigInt(cursor.u32());
  });
  return physical === null ? null : Number(physical >> 12n);
}
