// Xen cores as `xl dump-core` writes them (tools/libs/guest/xg_core.c), of any pages and registers, for tests; and a guest's memory as a
// paravirtual guest would have it: on machine frames of its own, which its page tables hold.

import { writeNote } from './core-writer.ts';

const PAGE = 4096;
const PRESENT = 1n;
const LARGE = 1n << 7n;
const FRAME_MASK = 0x000f_ffff_ffff_f000n;

/** What is to be in it. `pages` in the order of the file: { pfn, machine frame } for PV, pfn for others; null frame = padding. */
export interface XenCore {
  readonly isParavirtual: boolean;
  readonly vcpus: readonly Readonly<Record<string, bigint>>[];
  readonly pages: readonly { readonly pfn: number | null; readonly mfn?: number; readonly bytes: Uint8Array }[];
  /** CR2 of vCPU 0 in the shared info page. */
  readonly sharedCr2?: bigint;
  readonly contextBytes?: number;
}

/** The core's bytes, and where each section begins. */
export function writeXenCore(core: XenCore): { readonly bytes: Buffer; readonly sections: Readonly<Record<string, number>> } {
  const { isParavirtual, vcpus, pages, sharedCr2 = 0n, contextBytes = 0x1430 } = core;
  const header = words(isParavirtual ? 0xf00febedn : 0xf00febeen, BigInt(vcpus.length), BigInt(pages.length), 4096n);
  const notes = [xenNote(0x2000000, Buffer.alloc(0)), xenNote(0x2000001, header), xenNote(0x2000003, words(1n))];
  const shared = Buffer.alloc(PAGE);
  shared.writeBigUInt64LE(sharedCr2, 16);
  const frames = pages.map(({ pfn, mfn }) => {
    const number = pfn === null ? (1n << 64n) - 1n : BigInt(pfn);
    return isParavirtual ? words(number, mfn === undefined ? (1n << 64n) - 1n : BigInt(mfn)) : words(number);
  });
  const parts: readonly (readonly [string, number, number, Buffer])[] = [
    ['.note.Xen', 7, 0, Buffer.concat(notes)],
    ['.xen_prstatus', 1, contextBytes, Buffer.concat(vcpus.map((values) => writeContext(values, contextBytes)))],
    ['.xen_shared_info', 1, PAGE, shared],
    ['.xen_pages', 1, PAGE, Buffer.concat(pages.map(({ bytes }) => bytes))],
    [isParavirtual ? '.xen_p2m' : '.xen_pfn', 1, isParavirtual ? 16 : 8, Buffer.concat(frames)],
  ];
  const names = Buffer.from(['', '.shstrtab', ...parts.map(([name]) => name), ''].join('\0'));
  const table = Buffer.alloc(64 * (parts.length + 2));
  const sections: Record<string, number> = {};
  let at = 64 + table.length;
  const describe = (index: number, name: string, type: number, entryBytes: number, offset: number, size: number): void => {
    const entry = 64 * index;
    table.writeUInt32LE(names.indexOf(`${name}\0`), entry);
    table.writeUInt32LE(type, entry + 4);
    table.set(words(0n, 0n, BigInt(offset), BigInt(size)), entry + 8);
    table.set(words(0n, BigInt(entryBytes)), entry + 48);
    sections[name] = offset;
  };
  const placed: Buffer[] = [];
  for (const [index, [name, type, entryBytes, bytes]] of parts.entries()) {
    const padding = name === '.xen_pages' ? (PAGE - (at % PAGE)) % PAGE : 0;
    placed.push(Buffer.alloc(padding), bytes);
    describe(index + 2, name, type, entryBytes, at + padding, bytes.length);
    at += padding + bytes.length;
  }
  describe(1, '.shstrtab', 3, 0, at, names.length);
  return { bytes: Buffer.concat([elfHeader(parts.length + 2), table, ...placed, names]), sections };
}

function elfHeader(sections: number): Buffer {
  const header = Buffer.alloc(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [
    [16, 4],
    [18, 62],
    [52, 64],
    [54, 56],
    [58, 64],
    [60, sections],
    [62, 1],
  ] as const)
    header.writeUInt16LE(value, at);
  header.writeBigUInt64LE(64n, 40);
  return header;
}

function xenNote(type: number, descriptor: Uint8Array): Buffer {
  return writeNote('Xen', type, descriptor);
}

function writeContext(values: Readonly<Record<string, bigint>>, size: number): Buffer {
  const context = Buffer.alloc(0x1430);
  context.writeBigUInt64LE(4n, 512);
  const general = ['r15', 'r14', 'r13', 'r12', 'rbp', 'rbx', 'r11', 'r10', 'r9', 'r8', 'rax', 'rcx', 'rdx', 'rsi', 'rdi'];
  const put = (at: number, name: string): void => {
    context.writeBigUInt64LE(values[name] ?? 0n, at);
  };
  for (const [index, name] of general.entries()) put(520 + 8 * index, name);
  for (const [index, name] of ['rip', 'cs', 'eflags', 'rsp', 'ss', 'es', 'ds', 'fs', 'gs'].entries()) put(648 + 8 * index, name);
  for (const [index, name] of [
    [0, 'cr0'],
    [2, 'cr2'],
    [3, 'cr3'],
    [4, 'cr4'],
  ] as const)
    put(4984 + 8 * index, name);
  for (const [index, name] of ['fs_base', 'gs_base', 'k_gs_base'].entries()) put(5144 + 8 * index, name);
  return context.subarray(0, size);
}

function words(...values: readonly bigint[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(value, 8 * index);
  return bytes;
}

/**
 * Memory of a guest with four-level paging as a paravirtual guest's: each frame has a machine frame of its own, by blocks of 2 MiB so that
 * large pages stay whole, and page tables hold those. What maps no RAM is not present.
 */
export function makeParavirtual(
  memory: Uint8Array,
  cr3: bigint,
  machineFrameOf: (pfn: number) => number,
): { readonly pages: XenCore['pages']; readonly cr3: bigint } {
  const copy = Buffer.from(memory);
  const frames = memory.length / PAGE;
  const seen = new Set<number>();
  const rewrite = (table: number, level: number): void => {
    if (table >= frames || seen.has(table)) return;
    seen.add(table);
    for (let at = table * PAGE; at < (table + 1) * PAGE; at += 8) {
      const entry = copy.readBigUInt64LE(at);
      if ((entry & PRESENT) === 0n) continue;
      const pfn = Number((entry & FRAME_MASK) >> 12n);
      if (pfn >= frames) copy.writeBigUInt64LE(0n, at);
      else {
        if (level > 1 && (entry & LARGE) === 0n) rewrite(pfn, level - 1);
        copy.writeBigUInt64LE((entry & ~FRAME_MASK) | (BigInt(machineFrameOf(pfn)) << 12n), at);
      }
    }
  };
  rewrite(Number(cr3 >> 12n), 4);
  const pages = Array.from({ length: frames }, (_, pfn) => ({
    pfn,
    mfn: machineFrameOf(pfn),
    bytes: copy.subarray(pfn * PAGE, (pfn + 1) * PAGE),
  }));
  return { pages, cr3: BigInt(machineFrameOf(Number(cr3 >> 12n))) << 12n };
}
