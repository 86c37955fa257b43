// ELF cores as QEMU writes them (dump/dump.c, target/i386/arch_dump.c), of any memory and registers, for tests. Program headers stand right
// behind the ELF header, as older QEMUs put them and as makedumpfile expects them.

/** A PT_LOAD. `bytes` are stored; `memorySize` is more where a tail is zero. */
export interface CoreBlock {
  readonly physical: number;
  readonly bytes: Uint8Array;
  readonly virtual?: bigint;
  readonly memorySize?: number;
}

/** A vCPU's state. Registers left out are 0. `long`: 64-bit code. */
export interface CoreVcpu {
  readonly long?: boolean;
  readonly values?: Readonly<Record<string, bigint>>;
}

/** What else may differ. */
export interface CoreOptions {
  readonly bits?: 32 | 64;
  readonly machine?: number;
  readonly notes?: Uint8Array;
  /** Writes the count of program headers into section 0, as beyond 65534 of them. */
  readonly manySegments?: boolean;
}

/** The core's bytes. Blocks with the same `bytes` object are stored once, as with paging=true. */
export function writeCore(blocks: readonly CoreBlock[], vcpus: readonly CoreVcpu[], options: CoreOptions = {}): Buffer {
  const { bits = 64, machine = vcpus[0]?.long === false ? 3 : 62, notes = writeNotes(vcpus), manySegments = false } = options;
  const [headerSize, entrySize, sectionSize] = bits === 64 ? [64, 56, 64] : [52, 32, 40];
  const count = blocks.length + 1;
  const sectionAt = headerSize + count * entrySize;
  const notesAt = sectionAt + (manySegments ? sectionSize : 0);
  const places = new Map<Uint8Array, number>();
  let end = notesAt + notes.length;
  for (const { bytes } of blocks) {
    if (places.has(bytes)) continue;
    places.set(bytes, end);
    end += bytes.length;
  }
  const out = Buffer.alloc(end);
  const view = new DataView(out.buffer, out.byteOffset, out.length);
  const word = (at: number, value: bigint): void => {
    if (bits === 64) view.setBigUint64(at, BigInt.asUintN(64, value), true);
    else view.setUint32(at, Number(BigInt.asUintN(32, value)), true);
  };
  out.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, machine, true);
  view.setUint32(20, 1, true);
  word(bits === 64 ? 32 : 28, BigInt(headerSize));
  word(bits === 64 ? 40 : 32, BigInt(manySegments ? sectionAt : 0));
  const tail = bits === 64 ? 52 : 40;
  for (const [index, value] of [
    headerSize,
    entrySize,
    manySegments ? 0xffff : count,
    sectionSize,
    manySegments ? 1 : 0,
  ].entries()) {
    view.setUint16(tail + 2 * index, value, true);
  }
  if (manySegments) view.setUint32(sectionAt + (bits === 64 ? 44 : 28), count, true);

  const segment = (
    index: number,
    type: number,
    offset: number,
    virtual: bigint,
    physical: bigint,
    file: number,
    memory: number,
  ): void => {
    const at = headerSize + index * entrySize;
    view.setUint32(at, type, true);
    const fields = [BigInt(offset), virtual, physical, BigInt(file), BigInt(memory)];
    for (const [field, value] of fields.entries()) word(at + (bits === 64 ? 8 + 8 * field : 4 + 4 * field), value);
  };
  segment(0, 4, notesAt, 0n, 0n, notes.length, notes.length);
  out.set(notes, notesAt);
  for (const [index, { physical, bytes, virtual = BigInt(physical), memorySize = bytes.length }] of blocks.entries()) {
    segment(index + 1, 1, places.get(bytes)!, virtual, BigInt(physical), bytes.length, memorySize);
    out.set(bytes, places.get(bytes));
  }
  return out;
}

/** CORE and QEMU notes of all vCPUs, in QEMU's order. */
export function writeNotes(vcpus: readonly CoreVcpu[]): Buffer {
  const statuses = vcpus.map(({ long = true }, index) => {
    const status = Buffer.alloc(long ? 336 : 144);
    status.writeUInt32LE(index + 1, long ? 32 : 24);
    return writeNote('CORE', 1, status);
  });
  return Buffer.concat([...statuses, ...vcpus.map((vcpu) => writeNote('QEMU', 0, writeState(vcpu)))]);
}

/** One note, padded to 4. */
export function writeNote(name: string, type: number, descriptor: Uint8Array): Buffer {
  const padded = (size: number): number => Math.ceil(size / 4) * 4;
  const note = Buffer.alloc(12 + padded(name.length + 1) + padded(descriptor.length));
  note.writeUInt32LE(name.length + 1, 0);
  note.writeUInt32LE(descriptor.length, 4);
  note.writeUInt32LE(type, 8);
  note.write(name, 12, 'latin1');
  note.set(descriptor, 12 + padded(name.length + 1));
  return note;
}

const STATE_ORDER = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rsp', 'rbp'].concat(
  ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
  ['rip', 'eflags'],
);
const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'ldt', 'tr', 'gdt', 'idt'];

function writeState({ long = true, values = {} }: CoreVcpu): Buffer {
  const state = Buffer.alloc(440);
  state.writeUInt32LE(1, 0);
  state.writeUInt32LE(440, 4);
  for (const [index, name] of STATE_ORDER.entries()) state.writeBigUInt64LE(values[name] ?? 0n, 8 + 8 * index);
  for (const [index, name] of SEGMENTS.entries()) {
    const at = 152 + 24 * index;
    state.writeUInt32LE(Number(values[name] ?? 0n), at);
    state.writeUInt32LE(name === 'cs' && long ? 0x00af9a00 : 0, at + 8);
    state.writeBigUInt64LE(values[`${name}_base`] ?? 0n, at + 16);
  }
  for (const [index, name] of ['cr0', 'cr1', 'cr2', 'cr3', 'cr4', 'k_gs_base'].entries()) {
    state.writeBigUInt64LE(values[name] ?? 0n, 392 + 8 * index);
  }
  return state;
}
