// Xen's cores, made by hand by the format: frames in any order, what is cut off, and what damage does.

import { describe, expect, it } from 'vitest';
import { createAddressSpace } from '../../../src/memory/address-space.ts';
import { errorCode } from '../../../src/model/error.ts';
import type { DumpContents } from '../../../src/targets/dump/format.ts';
import { xenCore } from '../../../src/targets/dump/xen-core.ts';
import { surviveCuts, surviveDamage, surviveDump } from './damage.ts';
import { codesOf, openBytes, readPhysical, recogniseBytes } from './opened.ts';
import { makeParavirtual, writeXenCore, type XenCore } from './xen-writer.ts';

const PAGE = 4096;
const LONG = { cr0: 0x8000_0011n, cr4: 0x20n };
/** Frames 1 to 4 are the page tables, from the top down; virtual 0x400000 + i * 4 KiB is frame 5 + i. */
const FRAMES = 16;

function guestMemory(): Buffer {
  const memory = Buffer.alloc(FRAMES * PAGE);
  const put = (table: number, index: number, frame: number): void => {
    memory.writeBigUInt64LE((BigInt(frame) << 12n) | 3n, table * PAGE + 8 * index);
  };
  put(1, 0, 2);
  put(2, 0, 3);
  put(3, 2, 4);
  for (let index = 0; index < FRAMES - 5; index += 1) {
    put(4, index, 5 + index);
    memory.fill(0x50 + index, (5 + index) * PAGE, (6 + index) * PAGE);
  }
  return memory;
}

const memory = guestMemory();
const registers = { ...LONG, cr3: 0x1000n, rip: 0x40_0010n, rsp: 0x40_1ff0n, rbp: 7n, cs: 0xe033n, eflags: 0x246n };

function hvm(change: Partial<XenCore> = {}): ReturnType<typeof writeXenCore> {
  const pages = Array.from({ length: FRAMES }, (_, pfn) => ({ pfn, bytes: memory.subarray(pfn * PAGE, (pfn + 1) * PAGE) }));
  return writeXenCore({ isParavirtual: false, vcpus: [registers], pages, ...change });
}

function paravirtual(change: Partial<XenCore> = {}): ReturnType<typeof writeXenCore> {
  // Frames scattered over 16 TiB, pages in the file in another order.
  const { pages, cr3 } = makeParavirtual(memory, registers.cr3, (pfn) => ((pfn * 7) % 16) * 0x1234_567 + 3);
  return writeXenCore({
    isParavirtual: true,
    vcpus: [{ ...registers, cr3 }],
    pages: pages.toReversed(),
    sharedCr2: 0x38n,
    ...change,
  });
}

function readVirtual(contents: DumpContents, address: bigint, length: number): Uint8Array | null {
  if (contents.memory.kind !== 'physical') return null;
  return createAddressSpace(contents.memory.reader, contents.vcpus[0]!.registers).read(address, length);
}

describe.each([
  ['PV', paravirtual],
  ['PVH or HVM', hvm],
])('a core of a %s domain', (kind, write) => {
  it('is recognised, and reads the same virtual memory', () => {
    const { bytes } = write();
    expect(recogniseBytes(bytes)).toBe('xen');
    const contents = openBytes(xenCore, bytes);
    expect(contents).toMatchObject({ title: `Xen core (${kind})`, machine: 'x86_64', partial: null, diagnostics: [] });
    expect(contents.memory.bytes).toBe(FRAMES * PAGE);
    for (let index = 0; index < FRAMES - 6; index += 1) {
      const across = readVirtual(contents, BigInt(0x40_0000 + index * PAGE + 0xff8), 16);
      expect(across).toEqual(Uint8Array.from([...Array<number>(8).fill(0x50 + index), ...Array<number>(8).fill(0x51 + index)]));
    }
    expect(readVirtual(contents, 0x30_0000n, 8)).toBeNull();
  });

  it('has the registers of each vCPU, and long mode', () => {
    const [vcpu] = openBytes(xenCore, write().bytes).vcpus;
    expect(vcpu!.registers.values).toMatchObject({
      rip: 0x40_0010n,
      rsp: 0x40_1ff0n,
      rbp: 7n,
      cs: 0xe033n,
      eflags: 0x246n,
      efer: 0x500n,
    });
  });

  it('is partial when it is cut off', () => {
    const { bytes, sections } = write();
    const half = openBytes(xenCore, bytes.subarray(0, sections['.xen_pages']! + 10 * PAGE + 5));
    expect(half.partial).toContain('10 of 16 pages are there');
    expect(half.vcpus).toHaveLength(1);
  });

  it('survives being cut anywhere, and any bytes changed', () => {
    const { bytes, sections } = write();
    surviveCuts(xenCore, bytes, 700);
    surviveCuts(xenCore, bytes.subarray(0, sections['.xen_prstatus']! + 0x1500));
    surviveDamage(xenCore, bytes, 700);
  });
});

describe('a core of a paravirtual domain', () => {
  it('has the address of the last fault where Xen shows it to the guest', () => {
    expect(openBytes(xenCore, paravirtual().bytes).vcpus[0]!.registers.values['cr2']).toBe(0x38n);
  });

  it('has no memory without the table of its frames', () => {
    const { bytes, sections } = paravirtual();
    const cut = openBytes(xenCore, bytes.subarray(0, sections['.xen_p2m']));
    expect(cut.partial).toContain('memory cannot be read');
    expect(readPhysical(cut, 3 * PAGE, 8)).toBeNull();
  });

  it('may have machine frames that are out of range, or given twice', () => {
    const { bytes, sections } = paravirtual();
    const table = sections['.xen_p2m']!;
    bytes.writeBigUInt64LE(1n << 40n, table + 8);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(table + 3 * 16 + 8), table + 5 * 16 + 8);
    const contents = openBytes(xenCore, bytes);
    expect(codesOf(contents)).toContain('dump-frames');
    expect(contents.memory.bytes).toBe((FRAMES - 1) * PAGE);
  });

  it('of 32 bits, or of another host, is refused in words', () => {
    for (const { bytes } of [paravirtual({ vcpus: [{ ...registers, cr0: 0n }] }), paravirtual({ contextBytes: 2800 })]) {
      expect(surviveDump(xenCore, bytes)).toBe('DUMP_UNSUPPORTED');
    }
  });
});

describe('a core of a PVH domain', () => {
  it('in 32-bit PAE is told from long mode by what its page tables map', () => {
    const pae = Buffer.alloc(FRAMES * PAGE);
    // Directory pointer table in frame 1, directory in 2, table in 3: virtual 0x200000 is frame 6.
    pae.writeBigUInt64LE(0x2001n, PAGE);
    pae.writeBigUInt64LE(0x3003n, 2 * PAGE + 8);
    pae.writeBigUInt64LE(0x6003n, 3 * PAGE);
    pae.fill(0x66, 6 * PAGE, 7 * PAGE);
    const pages = Array.from({ length: FRAMES }, (_, pfn) => ({ pfn, bytes: pae.subarray(pfn * PAGE, (pfn + 1) * PAGE) }));
    const contents = openBytes(xenCore, hvm({ pages, vcpus: [{ ...LONG, cr3: 0x1000n, rip: 0x20_0000n }] }).bytes);
    expect(contents.vcpus[0]!.registers.values['efer']).toBe(0n);
    expect(readVirtual(contents, 0x20_0000n, 4)).toEqual(new Uint8Array(4).fill(0x66));
  });

  it('that is cut off takes its pages to be in order, but for the VGA hole, and says so', () => {
    const pages = Array.from({ length: 0xb0 }, (_, index) => {
      const pfn = index < 0xa0 ? index : index + 0x20;
      return { pfn, bytes: pfn < FRAMES ? memory.subarray(pfn * PAGE, (pfn + 1) * PAGE) : new Uint8Array(PAGE).fill(pfn) };
    });
    const { bytes, sections } = hvm({ pages });
    const cut = openBytes(xenCore, bytes.subarray(0, sections['.xen_pfn']));
    expect(codesOf(cut)).toEqual(['dump-mended']);
    expect(readVirtual(cut, 0x40_0000n, 1)).toEqual(Uint8Array.of(0x50));
    expect(readPhysical(cut, 0xc5 * PAGE, 1)).toEqual(Uint8Array.of(0xc5));
    expect(readPhysical(cut, 0xa0 * PAGE, 1)).toBeNull();
  });

  it('whose stack lies in that hole says that it is lost', () => {
    const lost = Buffer.from(memory);
    lost.writeBigUInt64LE((0xa5n << 12n) | 3n, 4 * PAGE + 8);
    const pages = Array.from({ length: FRAMES }, (_, pfn) => ({ pfn, bytes: lost.subarray(pfn * PAGE, (pfn + 1) * PAGE) }));
    expect(codesOf(openBytes(xenCore, hvm({ pages }).bytes))).toEqual(['dump-hole']);
  });

  it('skips the padding that xl writes when the domain gave memory back', () => {
    const pages = Array.from({ length: 4 }, (_, pfn) => ({ pfn: pfn === 3 ? null : pfn, bytes: new Uint8Array(PAGE).fill(pfn) }));
    const contents = openBytes(xenCore, hvm({ pages }).bytes);
    expect(contents.memory.bytes).toBe(3 * PAGE);
    expect(contents.partial).toBeNull();
  });
});

describe('a hostile Xen core', () => {
  it('may have page tables that lead back to themselves', () => {
    const cyclic = Buffer.from(memory);
    for (let at = PAGE; at < 2 * PAGE; at += 8) cyclic.writeBigUInt64LE(0x1003n, at);
    const pages = Array.from({ length: FRAMES }, (_, pfn) => ({ pfn, bytes: cyclic.subarray(pfn * PAGE, (pfn + 1) * PAGE) }));
    expect(surviveDump(xenCore, hvm({ pages }).bytes)).toBeNull();
  });

  it('may claim sections that wrap around, and pages without end', () => {
    for (const section of [2, 3, 5, 6]) {
      for (const [field, value] of [
        [24, 0xffff_ffff_ffff_f000n],
        [32, 0xffff_ffff_ffff_ffffn],
        [32, 1n << 52n],
        [56, 0n],
      ] as const) {
        const { bytes } = hvm();
        bytes.writeBigUInt64LE(value, 64 + 64 * section + field);
        surviveDump(xenCore, bytes);
      }
    }
    const { bytes, sections } = hvm();
    const header = bytes.indexOf(Buffer.from('eeeb0ff0', 'hex'), sections['.note.Xen']);
    bytes.writeBigUInt64LE(1n << 40n, header + 16);
    expect(surviveDump(xenCore, bytes)).toBe('DUMP_UNSUPPORTED');
    bytes.writeBigUInt64LE(1n << 62n, header + 8);
    bytes.writeBigUInt64LE(16n, header + 16);
    expect(surviveDump(xenCore, bytes)).toBeNull();
  });

  it('is no Xen core without its note', () => {
    const { bytes, sections } = hvm();
    bytes.fill(0, sections['.note.Xen'], sections['.xen_prstatus']);
    expect(recogniseBytes(bytes)).not.toBe('xen');
    try {
      openBytes(xenCore, bytes);
      expect.unreachable();
    } catch (error) {
      expect(errorCode(error)).toBe('DUMP_MALFORMED');
    }
  });
});
