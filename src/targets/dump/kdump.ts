// kdump-compressed files: what QEMU's dump-guest-memory -z, -l, -s and makedumpfile write (makedumpfile's IMPLEMENTATION, QEMU's dump/dump.c),
// plain or flattened. Pages that were left out by dump level are not readable: they are not known to be zero.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import { decodeText } from '../../bytes/cursor.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Machine } from '../../model/machine.ts';
import { formatSize } from '../../model/quantity.ts';
import { FLATTENED_SIGNATURE, unflatten } from './flattened.ts';
import type { DumpContents, DumpFormat } from './format.ts';
import { withHalted } from './halted.ts';
import { DUMP_INCOMPLETE, KDUMP_SIGNATURE, type KdumpHeader, readKdumpHeader } from './kdump-header.ts';
import { KdumpPages } from './kdump-pages.ts';
import { PAGE_COMPRESSIONS } from './page-compression.ts';
import { createSyncReader } from './piece-reader.ts';
import { readVcpuNotes } from './vcpu-notes.ts';

/** kdump-compressed files. */
export const kdump: DumpFormat = {
  name: 'kdump',
  title: 'kdump-compressed file (dump-guest-memory -z, makedumpfile)',
  recognise: (head) => beginsWith(head, KDUMP_SIGNATURE) || beginsWith(head, FLATTENED_SIGNATURE),
  open,
};

/** 4096 vCPUs have 3.3 MB of notes. */
const MAX_NOTE_BYTES = 16 * 1024 * 1024;

function open(file: ByteSource): DumpContents {
  const head = readExactly(file, 0, Math.min(16, file.size)) ?? new Uint8Array();
  const flat = beginsWith(head, FLATTENED_SIGNATURE) ? unflatten(file) : null;
  const source = flat?.source ?? file;
  if (!beginsWith(readExactly(source, 0, Math.min(8, source.size)) ?? head, KDUMP_SIGNATURE)) {
    throw new UnidbgError('DUMP_MALFORMED', `${file.name} is no kdump-compressed file: it does not begin as one`, {
      facts: { path: file.name },
    });
  }
  const header = readKdumpHeader(source);
  const pages = new KdumpPages(source, header);
  const size = Math.min(header.notes.size, MAX_NOTE_BYTES, source.size - header.notes.offset);
  const notes = size > 0 ? readExactly(source, header.notes.offset, size) : null;
  const { machine: machineOfNotes, vcpus } = readVcpuNotes(notes ?? new Uint8Array());
  const machine = machineOfNotes ?? machineOf(file, header);
  const title = nameFile(header, flat !== null);
  const reader = createSyncReader(title, (address, into) => readPages(pages, address, into));
  return {
    title,
    machine,
    vcpus: withHalted(vcpus, reader),
    memory: { kind: 'physical', reader, bytes: pages.ram * pages.pageBytes },
    partial: explainLoss(file, header, pages, (flat?.isWhole ?? true) && source.size >= header.descriptorsOffset),
    diagnostics: vcpus.length > 0 ? [] : [NO_REGISTERS],
  };
}

const NO_REGISTERS: Diagnostic = {
  code: 'dump-no-registers',
  message: 'no registers of a vCPU are in it: its notes are cut off, or makedumpfile was told not to keep them',
};

function beginsWith(bytes: Uint8Array, text: string): boolean {
  return bytes.length >= text.length && decodeText(bytes.subarray(0, text.length)) === text;
}

const MACHINES: readonly (readonly [RegExp, Machine])[] = [
  [/^x86_64$/, 'x86_64'],
  [/^i[3-6]86$/, 'i386'],
  [/^aarch64/, 'aarch64'],
  [/^riscv64/, 'riscv64'],
];

function machineOf(file: ByteSource, { machineName }: KdumpHeader): Machine {
  const found = MACHINES.find(([pattern]) => pattern.test(machineName));
  if (found !== undefined) return found[1];
  const message = `${file.name} is of a machine "${machineName.replace(/[^\x20-\x7e]/g, '?')}"; x86_64, i386, aarch64 and riscv64 are read`;
  throw new UnidbgError('DUMP_UNSUPPORTED', message, { facts: { path: file.name } });
}

function nameFile({ status }: KdumpHeader, isFlat: boolean): string {
  const compressions = PAGE_COMPRESSIONS.filter(({ flag }) => (status & flag) !== 0).map(({ name }) => name);
  return `kdump-compressed (${[...compressions, ...(isFlat ? ['flattened'] : [])].join(', ') || 'not compressed'})`;
}

function readPages(pages: KdumpPages, address: number, into: Uint8Array): boolean {
  const { pageBytes } = pages;
  for (let done = 0; done < into.length; ) {
    const page = pages.read(Math.floor((address + done) / pageBytes));
    if (page === null) return false;
    const from = (address + done) % pageBytes;
    const part = page.subarray(from, from + into.length - done);
    into.set(part, done);
    done += part.length;
  }
  return true;
}

/** Names of makedumpfile's -d bits, lowest first. */
const LEVELS = ['zero pages', 'cache pages', 'private cache pages', 'user pages', 'free pages'];

function explainLoss(file: ByteSource, header: KdumpHeader, pages: KdumpPages, isWhole: boolean): string | null {
  const reasons: string[] = [];
  if (!isWhole || pages.endsEarly()) {
    const percent = Math.min(99, Math.round(100 * pages.shareThere()));
    reasons.push(`cut off at ${formatSize(file.size)}: about ${percent} % of its pages are there`);
  }
  if ((header.status & DUMP_INCOMPLETE) !== 0) reasons.push('makedumpfile ran out of space while it wrote it');
  const excluded = header.part === null ? pages.ram - pages.stored : 0;
  if (header.part !== null) {
    reasons.push(`one part of a split dump, pages 0x${header.part.first.toString(16)} to 0x${header.part.end.toString(16)}`);
  }
  if (excluded > 0) {
    const kinds = LEVELS.filter((_, bit) => (header.dumpLevel & (1 << bit)) !== 0).join(', ');
    const size = formatSize(excluded * pages.pageBytes);
    reasons.push(
      `${size} of guest memory were left out (dump level ${header.dumpLevel}: ${kinds || 'nothing'}) and cannot be read`,
    );
  }
  return reasons.length === 0 ? null : reasons.join('; ');
}
