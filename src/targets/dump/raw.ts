// Guest memory as it is, without any header: HMP and QMP `pmemsave`, the file of a memory-backend-file, dd. Where it begins is told
// (`physicalBase`); registers are told (`registersText`) or, as far as memory needs them, found by what the images must have in memory.
//
// Recognised without being told only where nothing else can look like it: RAM from address 0 of a guest that firmware has started begins
// with the real mode interrupt vectors, most of them into the BIOS at F000 (SeaBIOS leaves them there). A log is never that.

import type { ByteSource } from '../../bytes/byte-source.ts';
import { findPageTables, type SearchedMemory } from '../../memory/find-page-tables.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { Machine } from '../../model/machine.ts';
import { formatSize } from '../../model/quantity.ts';
import { findPc, type VcpuRegisters } from '../../model/registers.ts';
import { parseRegisters } from '../../qemu/registers.ts';
import type { DumpContents, DumpFormat, DumpOptions } from './format.ts';
import { createPieceReader, readPieces } from './piece-reader.ts';
import { PieceTableBuilder } from './piece-table.ts';

/** Memory without a header. */
export const rawMemory: DumpFormat = {
  name: 'raw',
  title: 'raw guest memory (pmemsave, memory-backend-file)',
  recognise,
  open,
};

const PAGE = 4096;
const MIN_BYTES = 1024 * 1024;
const VECTORS = 256;
/** Segments of the system BIOS and of the video BIOS. */
const BIOS_SEGMENTS = [0xf000, 0xc000];

function recognise(head: Uint8Array, source: ByteSource): boolean {
  if (source.size < MIN_BYTES || source.size % PAGE !== 0 || head.length < 4 * VECTORS) return false;
  let toBios = 0;
  for (let vector = 0; vector < VECTORS; vector += 1) {
    const segment = head[4 * vector + 2]! | (head[4 * vector + 3]! << 8);
    if (BIOS_SEGMENTS.includes(segment)) toBios += 1;
  }
  return toBios >= VECTORS / 4;
}

function open(source: ByteSource, options: DumpOptions): DumpContents {
  const base = Number(options.physicalBase);
  const builder = new PieceTableBuilder();
  builder.add(base, base + source.size, 0);
  const pieces = builder.build();
  const memory = {
    start: base,
    end: pieces.end,
    read: (address: number, into: Uint8Array) => readPieces(source, pieces, address, into),
  };
  const { machine, vcpus, diagnostics } = findRegisters('raw memory', memory, options);
  const rest = source.size % PAGE;
  return {
    title: 'raw memory',
    machine,
    vcpus,
    memory: { kind: 'physical', reader: createPieceReader('raw memory', source, pieces), bytes: pieces.bytes },
    partial: rest === 0 ? null : `cut off within a page, at ${formatSize(source.size)}`,
    diagnostics,
  };
}

/** What stands in for a dump's own registers. */
export interface FoundRegisters {
  readonly machine: Machine;
  readonly vcpus: readonly VcpuRegisters[];
  readonly diagnostics: readonly Diagnostic[];
}

/** Registers that a dump does not have: those that are told, else by page tables in memory. `what` is how the dump is called. */
export function findRegisters(what: string, memory: SearchedMemory, options: DumpOptions): FoundRegisters {
  if (options.registersText !== null) return readRegisters(options.registersText);
  const found = options.landmarks.length === 0 ? null : findPageTables(memory, options.landmarks);
  if (found === null) return { machine: 'x86_64', vcpus: [], diagnostics: [explainNone(what, options)] };
  const told = `${found.matched} of ${options.landmarks.length} places of the images are where they say`;
  const message = `${what} has no registers; ${found.what} were found in it: ${told}. Which code ran is not known`;
  return {
    machine: found.registers.machine,
    vcpus: [{ vcpu: 0, registers: found.registers }],
    diagnostics: [{ code: 'dump-page-tables-found', message }],
  };
}

/** The text says by its register names which machine it is of. */
function readRegisters(text: string): FoundRegisters {
  for (const machine of ['x86_64', 'riscv64', 'aarch64'] as const) {
    const vcpus = parseRegisters(text, machine);
    const [first] = vcpus;
    if (first !== undefined && findPc(first.registers) !== null)
      return { machine: first.registers.machine, vcpus, diagnostics: [] };
  }
  const message = 'the registers given are not the text of `info registers -a`: guest-virtual memory cannot be read';
  return { machine: 'x86_64', vcpus: [], diagnostics: [{ code: 'dump-no-registers', message }] };
}

function explainNone(what: string, { landmarks }: DumpOptions): Diagnostic {
  const why =
    landmarks.length === 0
      ? 'no image is known by whose bytes page tables could be recognised (--symbols)'
      : 'no page tables in it map the images to where they were linked: another image, a kernel that moved itself, or another --base-address';
  const message = `${what} has no registers, and ${why}; --registers takes the text of \`info registers -a\``;
  return { code: 'dump-no-registers', message };
}
