// Cores of processes: of unikernels that run hosted (solo5-spt, Rumprun, Unikraft linuxu, any Go or OCaml program), by the Linux
// kernel (fs/binfmt_elf.c), gcore, gdbserver; and Nanos' cores of its own program (src/unix/coredump.c). Memory is by virtual address,
// a thread takes the place of a vCPU.

import type { ByteSource } from '../../bytes/byte-source.ts';
import { Cursor, decodeText } from '../../bytes/cursor.ts';
import { type Address, formatAddress } from '../../model/address.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { Machine } from '../../model/machine.ts';
import {
  type CoreNote,
  type CoreTables,
  coreNotes,
  findCoreTables,
  isElfCore,
  malformed,
  readCoreTables,
  readNote,
} from './core-tables.ts';
import type { DumpContents, DumpFormat, DumpSignal, LoadedFile } from './format.ts';
import { decodeMappedRanges, findLoadedElf, type MappedRange, NT_FILE } from './mapped-files.ts';
import { openProcessMemory, type ProcessMemory } from './process-memory.ts';
import { decodeThreadStatus, MAX_PRSTATUS_BYTES, NT_PRSTATUS, type ThreadStatus } from './prstatus.ts';

const NT_PRPSINFO = 3;
const NT_AUXV = 6;
const NT_SIGINFO = 0x53494749;
/** auxv (elf.h): program headers, entry point, the program's own name. */
const [AT_NULL, AT_PHDR, AT_BASE, AT_ENTRY, AT_EXECFN] = [0, 3, 7, 9, 31];

const MAX_THREADS = 10_000;
const MAX_FILE_NOTE_BYTES = 64 * 1024 * 1024;
const MAX_AUXV_BYTES = 65_536;
const MAX_LOADED = 256;
const MAX_PATH_BYTES = 4096;
const MAX_LISTED = 16;

/** Signals whose siginfo holds an address: ILL, TRAP, BUS, FPE, SEGV, SYS (their numbers are those of x86, ARM and RISC-V alike). */
const WITH_ADDRESS = new Set([4, 5, 7, 8, 11, 31]);

/** SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH end nobody: who made the core stopped the process. */
const HARMLESS = new Set([17, 18, 19, 20, 21, 22, 23, 28]);

/** The format. */
export const userCore: DumpFormat = {
  name: 'core',
  title: 'core of a process (gcore, kernel, gdbserver, Nanos)',
  recognise: (head, source) => isElfCore(head) && isUserCore(source),
  open: (source) => openUserCore(source),
};

function isUserCore(source: ByteSource): boolean {
  const tables = findCoreTables(source);
  if (tables === null) return false;
  let isProcess = false;
  for (const { name, type } of coreNotes(source, tables.header.littleEndian, tables.noteRanges)) {
    // QEMU's dumps of whole guests have both its notes and these.
    if (name === 'QEMU' || name === 'VMCOREINFO') return false;
    if (name === 'CORE' && (type === NT_PRPSINFO || type === NT_AUXV || type === NT_FILE)) isProcess = true;
  }
  return isProcess;
}

/** What the notes tell of the process. */
interface ProcessNotes {
  readonly threads: readonly ThreadStatus[];
  readonly signal: DumpSignal | null;
  readonly auxv: ReadonlyMap<number, bigint>;
  readonly program: string | null;
  readonly mapped: readonly MappedRange[];
  readonly diagnostics: readonly Diagnostic[];
}

function openUserCore(source: ByteSource): DumpContents {
  const tables = readCoreTables(source);
  const { machine, machineNumber, bits, littleEndian } = tables.header;
  if (machine === null || !littleEndian)
    throw malformed(source, `a core of machine number ${machineNumber}: little-endian x86, AArch64 and RISC-V are read`);
  const notes = readProcessNotes(source, tables, machine);
  const memory = openProcessMemory(source, tables.loads, notes.mapped);
  return {
    title: `core of a process (${bits} bit)`,
    machine,
    vcpus: notes.threads.map(({ registers }, vcpu) => ({ vcpu, registers })),
    memory: { kind: 'virtual', memory: { read: memory.read }, bytes: memory.dumpedBytes },
    partial: howPartial(source, tables, notes.threads.length),
    diagnostics: [...notes.diagnostics, ...threadWords(notes.threads), ...signalWords(notes), ...memory.diagnostics],
    loaded: findLoaded(notes, memory),
    signal: notes.signal,
    close: memory.close,
  };
}

function readProcessNotes(source: ByteSource, { header, noteRanges }: CoreTables, machine: Machine): ProcessNotes {
  const { bits, littleEndian } = header;
  const threads: ThreadStatus[] = [];
  const diagnostics: Diagnostic[] = [];
  let signal: DumpSignal | null = null;
  let auxv: ReadonlyMap<number, bigint> = new Map();
  let program: string | null = null;
  let mapped: readonly MappedRange[] = [];
  const bytesOf = (note: CoreNote, most: number): Uint8Array => readNote(source, note, most) ?? new Uint8Array();
  for (const note of coreNotes(source, littleEndian, noteRanges)) {
    if (note.name !== 'CORE') continue;
    if (note.type === NT_PRSTATUS && threads.length < MAX_THREADS) {
      const thread = decodeThreadStatus(bytesOf(note, MAX_PRSTATUS_BYTES), machine);
      if (thread === null)
        diagnostics.push({
          code: 'core-thread-damaged',
          message: `the registers of a thread are too short (${note.size} bytes)`,
        });
      else threads.push(thread);
    }
    if (note.type === NT_SIGINFO) signal ??= decodeSignal(bytesOf(note, MAX_PRSTATUS_BYTES), bits, threads.length - 1);
    if (note.type === NT_AUXV) auxv = decodeAuxv(bytesOf(note, MAX_AUXV_BYTES), bits);
    if (note.type === NT_PRPSINFO) program = decodeProgram(bytesOf(note, MAX_PRSTATUS_BYTES), bits);
    if (note.type === NT_FILE) mapped = decodeMappedRanges(bytesOf(note, MAX_FILE_NOTE_BYTES), bits, littleEndian);
  }
  return { threads, signal, auxv, program, mapped, diagnostics: diagnostics.slice(0, 1) };
}

/** siginfo_t (signal.h): number, errno, code, then the address of a fault. */
function decodeSignal(note: Uint8Array, bits: 32 | 64, vcpu: number): DumpSignal | null {
  const addressAt = bits === 64 ? 16 : 12;
  if (note.length < addressAt + bits / 8) return null;
  const cursor = new Cursor(note);
  const number = cursor.i32();
  cursor.skip(4);
  const code = cursor.i32();
  cursor.seek(addressAt);
  const address = bits === 64 ? cursor.u64() : BigInt(cursor.u32());
  if (number <= 0 || HARMLESS.has(number)) return null;
  // Codes of 0 and below: sent by kill() and the like, what follows is the sender.
  return { number, code, vcpu: Math.max(0, vcpu), faultAddress: code > 0 && WITH_ADDRESS.has(number) ? address : null };
}

function decodeAuxv(note: Uint8Array, bits: 32 | 64): ReadonlyMap<number, bigint> {
  const cursor = new Cursor(note);
  const word = bits === 64 ? (): bigint => cursor.u64() : (): bigint => BigInt(cursor.u32());
  const values = new Map<number, bigint>();
  while (cursor.remaining >= bits / 4) {
    const key = Number(word());
    if (key === AT_NULL) break;
    values.set(key, word());
  }
  return values;
}

/** pr_fname of elf_prpsinfo: the program's name, at most 16 bytes. */
function decodeProgram(note: Uint8Array, bits: 32 | 64): string | null {
  const name = note.subarray(bits === 64 ? 40 : 28, bits === 64 ? 56 : 44);
  const text = decodeText(name.subarray(0, Math.max(0, name.indexOf(0))));
  return text === '' ? null : text;
}

function* threadWords(threads: readonly ThreadStatus[]): Generator<Diagnostic> {
  if (threads.length < 2 && threads[0]?.lwp !== 0) return;
  const listed = threads.slice(0, MAX_LISTED).map(({ lwp }, vcpu) => `${vcpu} is LWP ${lwp}`);
  const rest = threads.length > MAX_LISTED ? `, and ${threads.length - MAX_LISTED} more` : '';
  yield { code: 'core-threads', message: `threads take the place of vCPUs: ${listed.join(', ')}${rest}` };
}

function* signalWords({ signal, threads }: ProcessNotes): Generator<Diagnostic> {
  if (signal === null) return;
  const at = signal.faultAddress === null ? '' : ` at address ${formatAddress(signal.faultAddress)}`;
  const lwp = threads[signal.vcpu]?.lwp;
  const message = `signal ${signal.number} (code ${signal.code})${at}${lwp === undefined ? '' : `, thread ${signal.vcpu} (LWP ${lwp})`}`;
  yield { code: 'core-signal', message };
}

function howPartial(source: ByteSource, { loads, noteRanges }: CoreTables, threads: number): string | null {
  const end = [
    ...loads.map(({ offset, fileSize }) => offset + fileSize),
    ...noteRanges.map(({ offset, size }) => offset + size),
  ].reduce((most, at) => Math.max(most, at), 0);
  if (end > source.size) return `the core is cut off: it should have ${end} bytes, the file has ${source.size}`;
  return threads === 0 ? 'the core has no registers of any thread' : null;
}

/** The program, by its auxiliary vector, then every mapped ELF file. */
function findLoaded({ auxv, program, mapped }: ProcessNotes, { read }: ProcessMemory): LoadedFile[] {
  const entry = auxv.get(AT_ENTRY) ?? null;
  const headers = auxv.get(AT_PHDR);
  const first = mapped.filter(({ offset }) => offset === 0);
  const isMain = (range: MappedRange): boolean =>
    headers !== undefined && mapped.some(({ path, start, end }) => path === range.path && headers >= start && headers < end);
  const files = first.slice(0, MAX_LOADED).flatMap((range): LoadedFile[] => {
    const elf = findLoadedElf(read, range.start);
    const main = isMain(range);
    if (elf === null && !main) return [];
    return [
      {
        path: range.path,
        start: range.start,
        bias: elf?.bias ?? null,
        buildId: elf?.buildId ?? null,
        entry: main ? entry : null,
      },
    ];
  });
  if (files.some((file) => file.entry !== null) || headers === undefined) return files;
  // Nanos has no NT_FILE. Program headers follow the ELF header, in the file's first page.
  const start = headers & ~0xfffn;
  const elf = findLoadedElf(read, start);
  const path = pathAt(read, auxv.get(AT_EXECFN)) ?? program ?? 'the program';
  return [
    { path, start, bias: elf?.bias ?? null, buildId: elf?.buildId ?? null, entry },
    ...files,
    ...interpreter(auxv, read, files),
  ];
}

function interpreter(auxv: ReadonlyMap<number, bigint>, read: ProcessMemory['read'], known: readonly LoadedFile[]): LoadedFile[] {
  const start = auxv.get(AT_BASE) ?? 0n;
  if (start === 0n || known.some((file) => file.start === start)) return [];
  const elf = findLoadedElf(read, start);
  return [{ path: 'the dynamic loader', start, bias: elf?.bias ?? start, buildId: elf?.buildId ?? null, entry: null }];
}

function pathAt(read: ProcessMemory['read'], address: Address | undefined): string | null {
  if (address === undefined) return null;
  for (let length = 64; length <= MAX_PATH_BYTES; length *= 2) {
    const bytes = read(address, length);
    const end = bytes?.indexOf(0) ?? -1;
    if (bytes !== null && end > 0) return decodeText(bytes.subarray(0, end));
    if (bytes === null) break;
  }
  return null;
}
