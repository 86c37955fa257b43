// What QEMU's `migrate "exec:cat > FILE"` and `migrate file:FILE` (mapped-ram too) write, and `virsh save` around it: guest-physical RAM by
// the machine's memory map, registers of x86. The stream is in migration-stream.ts, what follows it in migration-devices.ts.

import { type ByteSource, readExactly, sliceSource } from '../../bytes/byte-source.ts';
import { Cursor } from '../../bytes/cursor.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import { UnidbgError } from '../../model/error.ts';
import { formatSize } from '../../model/quantity.ts';
import { malformed, readOrThrow } from './core-tables.ts';
import type { DumpContents, DumpFormat, DumpOptions } from './format.ts';
import { readVcpuStates } from './migration-devices.ts';
import { type MigrationStream, readMigrationStream, STREAM_MAGIC } from './migration-stream.ts';
import { createSyncReader } from './piece-reader.ts';
import { type FoundRegisters, findRegisters } from './raw.ts';

const GIB = 2 ** 30;
const PAGE_BYTES = 4096;

/** libvirt, src/qemu/qemu_saveimage.h: struct _virQEMUSaveHeader, 92 bytes in the host's byte order, then XML. */
const LIBVIRT_MAGIC = 'LibvirtQemudSave';
const LIBVIRT_PARTIAL = 'LibvirtQemudPart';
const LIBVIRT_HEADER_BYTES = 92;
const LIBVIRT_COMPRESSION = ['raw', 'gzip', 'bzip2', 'xz', 'lzop', 'zstd', 'sparse'];
const QCOW2_MAGIC = 0x514649fb;

/** The format. */
export const migration: DumpFormat = {
  name: 'migration',
  title: 'QEMU migration stream (migrate, virsh save)',
  recognise: (head) => kindOf(head) !== null,
  open: openMigration,
};

function kindOf(head: Uint8Array): 'stream' | 'libvirt' | 'qcow2' | null {
  if (head.length < 16) return null;
  const magic = new Cursor(head, { littleEndian: false }).u32();
  if (magic === STREAM_MAGIC) return 'stream';
  if (magic === QCOW2_MAGIC) return 'qcow2';
  const text = Buffer.from(head.subarray(0, 16)).toString('latin1');
  return text === LIBVIRT_MAGIC || text === LIBVIRT_PARTIAL ? 'libvirt' : null;
}

function openMigration(source: ByteSource, options: DumpOptions): DumpContents {
  const kind = kindOf(readExactly(source, 0, Math.min(16, source.size)) ?? new Uint8Array());
  if (kind === 'qcow2') {
    const message =
      'a qcow2 disk: the memory in its snapshots (savevm) is not read; start QEMU with `-loadvm NAME -S` and take a dump of it (unidbg dump)';
    throw unsupported(source, message);
  }
  if (kind !== 'libvirt') return contentsOf(source, options, 'QEMU migration stream', null);
  const { stream, partial } = openLibvirtSave(source);
  return contentsOf(stream, options, 'libvirt save file', partial);
}

function contentsOf(source: ByteSource, options: DumpOptions, title: string, cutShort: string | null): DumpContents {
  const stream = readMigrationStream(source);
  const low = lowMemoryOf(stream);
  if (low === null) {
    throw unsupported(
      source,
      `machine type ${stream.machineName || 'unknown'}: where its RAM lies is known of pc, q35 and microvm only`,
    );
  }
  const read = (address: number, into: Uint8Array): boolean => readPhysical(stream, low, address, into);
  const states = stream.devicesAt === 0 ? { refused: 'the stream ends within RAM' } : readVcpuStates(source, stream.devicesAt);
  const end = stream.main.bytes > low ? 4 * GIB + stream.main.bytes - low : low;
  const { machine, vcpus, diagnostics } =
    'vcpus' in states
      ? { machine: 'x86_64' as const, vcpus: states.vcpus, diagnostics: [] }
      : withReason(states.refused, findRegisters('the stream', { start: 0, end, read }, options));
  return {
    title: `${title} (${stream.machineName})`,
    machine,
    vcpus,
    memory: { kind: 'physical', reader: createSyncReader(title, read), bytes: stream.main.bytes },
    partial: stream.isCut ? 'the stream is cut off: pages and registers after that are missing' : cutShort,
    diagnostics: [...diagnostics, ...otherBlocks(stream)],
  };
}

/** Registers found otherwise, with why the stream's own cannot be had. */
function withReason(refused: string, found: FoundRegisters): FoundRegisters {
  return {
    ...found,
    diagnostics: [{ code: 'no-registers', message: `no vCPU's registers in the stream: ${refused}` }, ...found.diagnostics],
  };
}

/** Bytes of RAM below 4 GiB (QEMU hw/i386/pc_q35.c, pc_piix.c, microvm.c); null for machines that are not laid out like that. */
function lowMemoryOf({ machineName, main }: MigrationStream): number | null {
  if (machineName.startsWith('pc-q35')) return main.bytes >= 2.75 * GIB ? 2 * GIB : main.bytes;
  if (machineName.startsWith('pc-') || machineName.startsWith('microvm')) return main.bytes >= 3.5 * GIB ? 3 * GIB : main.bytes;
  return null;
}

function readPhysical({ main, pages }: MigrationStream, low: number, address: number, into: Uint8Array): boolean {
  for (let done = 0; done < into.length; ) {
    const at = address + done;
    const inRam = at < low ? at : at >= 4 * GIB ? at - 4 * GIB + low : null;
    if (inRam === null || inRam >= main.bytes) return false;
    const offset = inRam % PAGE_BYTES;
    const part = into.subarray(done, done + Math.min(into.length - done, PAGE_BYTES - offset));
    if (!pages.read(Math.floor(inRam / PAGE_BYTES), offset, part)) return false;
    done += part.length;
  }
  return true;
}

/** RAM of another block than the machine's own (`-numa node,memdev=`, DIMMs) is not placed. */
function* otherBlocks({ blocks, main }: MigrationStream): Generator<Diagnostic> {
  const others = blocks.filter((block) => block !== main && block.bytes >= 64 * 1024 * 1024);
  if (others.length === 0) return;
  const names = others.slice(0, 8).map(({ name, bytes }) => `${name} (${formatSize(bytes)})`);
  yield { code: 'dump-blocks', message: `RAM is read from block ${main.name} only; not placed: ${names.join(', ')}` };
}

function openLibvirtSave(source: ByteSource): { readonly stream: ByteSource; readonly partial: string | null } {
  const bytes = readOrThrow(source, 0, LIBVIRT_HEADER_BYTES, "libvirt's header");
  const magic = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  const cursor = new Cursor(bytes, { offset: 16 });
  const version = cursor.u32();
  const xmlBytes = cursor.u32();
  cursor.skip(4);
  const compression = cursor.u32();
  if (version > 0xffff) throw unsupported(source, 'a save file of libvirt from a big-endian host');
  const at = LIBVIRT_HEADER_BYTES + xmlBytes;
  const name = LIBVIRT_COMPRESSION[compression] ?? `number ${compression}`;
  if (compression !== 0) {
    const unpack = ['gzip', 'bzip2', 'xz', 'lzop', 'zstd'].includes(name)
      ? `: unpack it with \`tail -c +${at + 1} FILE | ${name} -dc > STREAM\``
      : '';
    throw unsupported(
      source,
      `a save file of libvirt whose stream is packed (${name})${unpack}, or save with save_image_format = "raw"`,
    );
  }
  if (at >= source.size)
    throw malformed(source, `libvirt's header says that the stream begins at ${at}; the file has ${source.size} bytes`);
  const partial = magic === LIBVIRT_PARTIAL ? 'libvirt did not finish writing it' : null;
  return { stream: sliceSource(source, source.name, at, source.size - at), partial };
}

function unsupported(source: ByteSource, what: string): UnidbgError {
  return new UnidbgError('DUMP_UNSUPPORTED', `${source.name}: ${what}`, { facts: { path: source.name } });
}
