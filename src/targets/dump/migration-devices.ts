// The devices' state at the end of a migration stream: sections without lengths, which the JSON description after them makes readable
// (migration/vmstate.c, `vmdesc`). Only the vCPUs are read: VMState `cpu` of target/i386/machine.c.

import { type ByteSource, readExactly } from '../../bytes/byte-source.ts';
import type { Registers, VcpuRegisters } from '../../model/registers.ts';

/** What is left of a stream after RAM; devices with megabytes of state are rare. */
const MAX_DEVICE_BYTES = 64 * 1024 * 1024;
const MAX_DESCRIPTION_BYTES = 16 * 1024 * 1024;
/** What looks like a description and is none costs a parse. */
const MAX_TRIES = 8;
/** vCPUs that are described and not found cost a search through all devices. */
const MAX_MISSED = 8;
const MAX_DEVICES = 16_384;
const MAX_DEPTH = 16;
const SECTION_FULL = 4;
const SECTION_DESCRIPTION = 6;
const SECTION_FOOTER = 0x7e;

/** hflags: the vCPU ran 64-bit code (HF_CS64_MASK); otherwise `info registers` has EAX for RAX, and so have we. */
const HF_CS64 = 1n << 15n;

const GENERAL = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const SEGMENT_BYTES = 20;

/** The state of all vCPUs, or why there is none. */
export type VcpuStates = { readonly vcpus: readonly VcpuRegisters[] } | { readonly refused: string };

/** Reads the vCPUs out of what follows RAM at `devicesAt`. Throws FILE_UNREADABLE. */
export function readVcpuStates(source: ByteSource, devicesAt: number): VcpuStates {
  const bytes = readExactly(source, devicesAt, Math.min(MAX_DEVICE_BYTES, source.size - devicesAt));
  if (bytes === null || bytes.length === 0) return { refused: 'the stream ends before the state of its vCPUs' };
  const tail = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const devices = findDescription(tail);
  if (devices === null) {
    return {
      refused:
        'the stream has no description of its devices at the end (vmdesc): it is cut off, or QEMU was told not to write one',
    };
  }
  const halted = new Map<number, bigint>();
  const vcpus: VcpuRegisters[] = [];
  let [at, missed] = [0, 0];
  for (const device of devices) {
    if (missed >= MAX_MISSED) break;
    if (device.name !== 'cpu_common' && device.name !== 'cpu') continue;
    // Sections stand in the order of the description.
    const found = findSection(tail, device, at);
    if (found === null) {
      missed += 1;
      continue;
    }
    at = found.end;
    const fields = placeFields(device, found.start);
    if (device.name === 'cpu') vcpus.push(...readVcpu(tail, device.instance, fields, halted));
    else readHalted(tail, device.instance, fields, halted);
  }
  return vcpus.length > 0 ? { vcpus } : { refused: 'its vCPUs are none of x86; take the registers from `info registers -a`' };
}

/** A device as the description has it; fields are looked at when they are walked. */
interface Device {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  readonly fields: readonly unknown[];
  readonly subsections: readonly unknown[];
}

function findDescription(tail: Buffer): readonly Device[] | null {
  let at = tail.indexOf(SECTION_DESCRIPTION);
  for (let tries = 0; at >= 0 && tries < MAX_TRIES; at = tail.indexOf(SECTION_DESCRIPTION, at + 1)) {
    if (at + 6 > tail.length || tail[at + 5] !== 0x7b) continue;
    const length = tail.readUInt32BE(at + 1);
    // From { to }.
    if (length > MAX_DESCRIPTION_BYTES || tail[at + 4 + length] !== 0x7d) continue;
    tries += 1;
    const devices = devicesOf(tail.toString('utf8', at + 5, at + 5 + length));
    if (devices !== null) return devices;
  }
  return null;
}

function devicesOf(json: string): readonly Device[] | null {
  try {
    const devices = listOf(JSON.parse(json), 'devices').slice(0, MAX_DEVICES);
    return devices.map((device) => ({
      name: textOf(device, 'name'),
      instance: sizeOf(device, 'instance_id'),
      version: sizeOf(device, 'version'),
      fields: listOf(device, 'fields'),
      subsections: listOf(device, 'subsections'),
    }));
  } catch {
    return null;
  }
}

/** Where a device's fields begin and its section ends, from `from` on; null when it is not found. */
function findSection(
  tail: Buffer,
  { name, instance, version, fields, subsections }: Device,
  from: number,
): { readonly start: number; readonly end: number } | null {
  const head = Buffer.alloc(1 + name.length + 8);
  head[0] = name.length;
  head.write(name, 1, 'latin1');
  head.writeUInt32BE(instance, 1 + name.length);
  head.writeUInt32BE(version, 5 + name.length);
  const length = bytesOf(fields, subsections, 0);
  for (let at = tail.indexOf(head, from + 5); at >= 0; at = tail.indexOf(head, at + 1)) {
    const start = at + head.length;
    // A section is followed by a footer with its own number: other bytes that look like its head are not.
    const end = start + length;
    if (tail[at - 5] !== SECTION_FULL || end + 5 > tail.length) continue;
    if (tail[end] === SECTION_FOOTER && tail.readUInt32BE(end + 1) === tail.readUInt32BE(at - 4)) return { start, end: end + 5 };
  }
  return null;
}

/** Bytes of fields and subsections: a subsection is its type, its name with a length byte, a version, and its fields. */
function bytesOf(fields: readonly unknown[], subsections: readonly unknown[], depth: number): number {
  if (depth > MAX_DEPTH) return Infinity;
  const own = fields.reduce<number>((sum, field) => sum + fieldBytes(field), 0);
  return subsections.reduce<number>(
    (sum, part) =>
      sum + 2 + textOf(part, 'vmsd_name').length + 4 + bytesOf(listOf(part, 'fields'), listOf(part, 'subsections'), depth + 1),
    own,
  );
}

function fieldBytes(field: unknown): number {
  return sizeOf(field, 'size') * (memberOf(field, 'array_len') === undefined ? 1 : sizeOf(field, 'array_len'));
}

/** The fields of a device by name, each with where it lies and what it takes; of an array the first element's. */
type Fields = ReadonlyMap<string, { readonly at: number; readonly size: number; readonly count: number }>;

function placeFields(device: Device, start: number): Fields {
  const places = new Map<string, { at: number; size: number; count: number }>();
  let at = start;
  for (const field of device.fields) {
    const [name, size, bytes] = [textOf(field, 'name'), sizeOf(field, 'size'), fieldBytes(field)];
    if (!places.has(name) && size > 0) places.set(name, { at, size, count: Math.floor(bytes / size) });
    at += bytes;
  }
  return places;
}

function readHalted(tail: Buffer, vcpu: number, fields: Fields, halted: Map<number, bigint>): void {
  const field = fields.get('halted');
  const value = field === undefined ? undefined : readBig(tail, field.at, field.size);
  if (value !== undefined) halted.set(vcpu, value);
}

function readVcpu(tail: Buffer, vcpu: number, fields: Fields, halted: ReadonlyMap<number, bigint>): VcpuRegisters[] {
  const general = fields.get('env.regs');
  if (general === undefined || general.count < 8) return [];
  const number = (name: string): bigint | undefined => {
    const field = fields.get(name);
    return field === undefined ? undefined : readBig(tail, field.at, field.size);
  };
  const wide = ((number('env.hflags') ?? 0n) & HF_CS64) !== 0n && general.count >= 16;
  const width = wide ? 64 : 32;
  const values: Record<string, bigint> = {};
  const put = (name: string, value: bigint | undefined): void => {
    if (value !== undefined) values[name] = value;
  };
  for (let index = 0; index < (wide ? 16 : 8); index += 1) {
    const name = index < 8 ? `${wide ? 'r' : 'e'}${GENERAL[index]!}` : `r${index}`;
    const value = readBig(tail, general.at + index * general.size, general.size);
    put(name, value === undefined ? undefined : BigInt.asUintN(width, value));
  }
  const pc = number('env.eip');
  put(wide ? 'rip' : 'eip', pc === undefined ? undefined : BigInt.asUintN(width, pc));
  put('eflags', number('env.eflags'));
  putSegments(tail, fields, wide, put);
  for (const index of [0, 2, 3, 4]) put(`cr${index}`, number(`env.cr[${index}]`));
  put('efer', number('env.efer') ?? 0n);
  put('k_gs_base', number('env.kernelgsbase'));
  put('halted', halted.get(vcpu));
  const registers: Registers = { machine: wide ? 'x86_64' : 'i386', values };
  return [{ vcpu, registers }];
}

function putSegments(tail: Buffer, fields: Fields, wide: boolean, put: (name: string, value: bigint | undefined) => void): void {
  const base = (at: number): bigint | undefined => readBig(tail, at + 4, 8);
  const segments = fields.get('env.segs');
  if (segments?.size === SEGMENT_BYTES && segments.count === SEGMENTS.length) {
    for (const [index, name] of SEGMENTS.entries()) {
      put(name, readBig(tail, segments.at + index * SEGMENT_BYTES, 4));
      if (!wide || name === 'fs' || name === 'gs') put(`${name}_base`, base(segments.at + index * SEGMENT_BYTES));
    }
  }
  for (const table of ['gdt', 'idt']) {
    const field = fields.get(`env.${table}`);
    if (field?.size === SEGMENT_BYTES) put(`${table}_base`, base(field.at));
  }
}

function readBig(tail: Buffer, at: number, size: number): bigint | undefined {
  if (at + size > tail.length) return undefined;
  if (size === 8) return tail.readBigUInt64BE(at);
  return size === 4 ? BigInt(tail.readUInt32BE(at)) : undefined;
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

function listOf(value: unknown, key: string): readonly unknown[] {
  const member = memberOf(value, key);
  return Array.isArray(member) ? member : [];
}

/** A name as the stream has it: its length fits a byte. */
function textOf(value: unknown, key: string): string {
  const member = memberOf(value, key);
  return typeof member === 'string' ? member.slice(0, 255) : '';
}

/** A whole number of 32 bits; 0 for anything else. */
function sizeOf(value: unknown, key: string): number {
  const member = memberOf(value, key);
  return typeof member === 'number' && Number.isInteger(member) && member >= 0 && member < 2 ** 32 ? member : 0;
}
