// A dump as a Target: the format is recognised, its tables are read, its pages when somebody asks for them.

import { type ByteSource, openFileSource, readExactly } from '../../bytes/byte-source.ts';
import { openSeekableZstd, type SeekableZstd } from '../../bytes/seekable-zstd.ts';
import { createAddressSpace } from '../../memory/address-space.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import type { Machine } from '../../model/machine.ts';
import type { Registers, VcpuRegisters } from '../../model/registers.ts';
import type { AddressSpace } from '../../model/target.ts';
import type { VmState } from '../../qemu/vm-status.ts';
import type { OpenTarget, TargetFacts } from '../target.ts';
import type { DumpContents, DumpFormat, DumpOptions, DumpSignal, LoadedFile } from './format.ts';
import { DUMP_FORMATS } from './formats.ts';

/** An opened dump. It never moves. */
export interface DumpTarget extends OpenTarget {
  readonly kind: 'dump';
  /** For people: `QEMU ELF dump`. */
  readonly title: string;
  /** Why it is not whole; null when it is. */
  readonly partial: string | null;
  /** What it says is loaded where; of cores of processes. */
  readonly loaded: readonly LoadedFile[];
  /** The signal that ended the process; of cores of processes. */
  readonly signal: DumpSignal | null;
}

/** How to read it where the file does not say; `name` is what the guest is called. */
export interface OpenDumpOptions extends Partial<DumpOptions> {
  readonly name?: string;
}

const HEAD_BYTES = 65_536;
const NO_OPTIONS: DumpOptions = { registersText: null, landmarks: [], physicalBase: 0n, format: null };

/** Opens a dump's file. Throws FILE_UNREADABLE, DUMP_MALFORMED, DUMP_UNSUPPORTED. */
export function openDump(path: string, options: OpenDumpOptions = {}): DumpTarget {
  return openDumpSource(openDumpFile(path), options);
}

const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** The bytes of a dump's file: what zstd compressed in frames is read through them. Throws FILE_UNREADABLE, DUMP_MALFORMED. */
export function openDumpFile(path: string): ByteSource {
  const source = openFileSource(path);
  const head = readExactly(source, 0, ZSTD.length);
  if (head === null || ZSTD.compare(head) !== 0) return source;
  try {
    return openSeekableZstd(source);
  } catch (error) {
    source.close();
    throw error;
  }
}

/** Opens a dump wherever its bytes are; closes `source` with it, and when it is none. Throws as openDump does. */
export function openDumpSource(source: ByteSource, options: OpenDumpOptions = {}): DumpTarget {
  try {
    const all = { ...NO_OPTIONS, ...options };
    const format = chooseFormat(source, all.format);
    return new Dump(source, format.open(source, all), options.name ?? source.name);
  } catch (error) {
    source.close();
    throw error;
  }
}

/** The format of a file by its own bytes; null when it is none that is known. Never throws. */
export function findDumpFormat(source: ByteSource): DumpFormat | null {
  const head = readExactly(source, 0, Math.min(HEAD_BYTES, source.size)) ?? new Uint8Array();
  return DUMP_FORMATS.find((format) => format.recognise(head, source)) ?? null;
}

function chooseFormat(source: ByteSource, wanted: string | null): DumpFormat {
  const known = DUMP_FORMATS.map(({ name }) => name).join(', ');
  if (wanted !== null) {
    const format = DUMP_FORMATS.find(({ name }) => name === wanted);
    if (format === undefined)
      throw new UnidbgError('USAGE', `--dump-format ${wanted}: not one that is known; these are: ${known}`);
    return format;
  }
  const format = findDumpFormat(source);
  if (format !== null) return format;
  throw new UnidbgError('DUMP_UNSUPPORTED', `${source.name} is no dump that unidbg knows; --dump-format says which: ${known}`, {
    facts: { path: source.name },
  });
}

/** A dump is of a guest that stood still. */
const STATE: VmState = { status: 'shutdown', reason: 'a dump', event: null, cause: null };

class Dump implements DumpTarget {
  readonly kind = 'dump';
  readonly machine: Machine;
  readonly facts: TargetFacts;
  readonly title: string;
  readonly isVirtual: boolean;
  readonly partial: string | null;
  readonly loaded: readonly LoadedFile[];
  readonly signal: DumpSignal | null;
  private readonly source: ByteSource;
  private readonly contents: DumpContents;

  constructor(source: ByteSource, contents: DumpContents, name: string) {
    this.source = source;
    this.contents = contents;
    this.machine = contents.machine;
    this.title = contents.title;
    this.partial = contents.partial ?? partialOf(source);
    this.loaded = contents.loaded ?? [];
    this.signal = contents.signal ?? null;
    this.isVirtual = contents.memory.kind === 'virtual';
    this.facts = {
      name,
      machine: contents.machine,
      memoryBytes: contents.memory.bytes,
      vcpus: contents.vcpus.length,
      memoryReader: contents.title,
    };
  }

  vcpus(): readonly number[] {
    return this.contents.vcpus.map(({ vcpu }) => vcpu);
  }

  registers(vcpu: number): Promise<Registers> {
    const found = this.contents.vcpus.find((file) => file.vcpu === vcpu);
    if (found !== undefined) return Promise.resolve(found.registers);
    const there = this.vcpus().join(', ') || 'none';
    return Promise.reject(
      new UnidbgError('REGISTERS_UNREADABLE', `the dump has no vCPU ${vcpu}; there: ${there}`, { facts: { vcpu } }),
    );
  }

  allRegisters(): Promise<readonly VcpuRegisters[]> {
    return Promise.resolve(this.contents.vcpus);
  }

  memory(space: Registers): AddressSpace {
    const { memory } = this.contents;
    if (memory.kind === 'physical') return createAddressSpace(memory.reader, space);
    const { read } = memory.memory;
    return { read, walk: (body) => Promise.resolve().then(() => body({ read })) };
  }

  state(): VmState {
    return STATE;
  }

  describe(): readonly Diagnostic[] {
    const { partial } = this;
    return [...(partial === null ? [] : [{ code: 'dump-partial', message: partial }]), ...this.contents.diagnostics];
  }

  close(): void {
    this.contents.close?.();
    this.source.close();
  }
}

/** Of what was compressed and cut off. */
function partialOf(source: ByteSource | SeekableZstd): string | null {
  return 'partial' in source ? source.partial : null;
}
