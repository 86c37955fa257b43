// Migration streams and libvirt's save files, made by hand: pages sent again, the memory map, registers by the description, and damage.

import { describe, expect, it } from 'vitest';
import { memorySource } from '../../../src/bytes/byte-source.ts';
import { errorMessage } from '../../../src/model/error.ts';
import type { DumpContents } from '../../../src/targets/dump/format.ts';
import { migration } from '../../../src/targets/dump/migration.ts';
import { surviveCuts, surviveDamage, surviveDump } from './damage.ts';
import { type Stream, type StreamPage, writeStream } from './migration-writer.ts';
import { codesOf, openBytes, readPhysical, recogniseBytes } from './opened.ts';

const PAGE = 4096;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

function stored(page: number, fill: number, block = 'pc.ram'): StreamPage {
  return { block, page, content: new Uint8Array(PAGE).fill(fill) };
}

const values = {
  rax: 1n,
  rip: 0xffff_8000_0000_1234n,
  eflags: 0x246n,
  cr0: 0x8000_0011n,
  cr3: 0x5000n,
  cr4: 0x20n,
  efer: 0x500n,
  fs_base: 9n,
  idt_base: 7n,
  halted: 1n,
};
const stream: Stream = {
  blocks: [
    ['pc.ram', 8 * PAGE],
    ['pc.bios', 2 * PAGE],
  ],
  pages: [
    stored(0, 1),
    { block: 'pc.ram', page: 1, content: 0 },
    stored(0, 0xb1, 'pc.bios'),
    stored(2, 2),
    { block: 'pc.ram', page: 3, content: 0xaa },
    stored(4, 4),
    stored(1, 0x11),
    { block: 'pc.ram', page: 2, content: 0 },
  ],
  vcpus: [values, { eip: 0xfff0n, cs_base: 0xffff_0000n, cs: 0xf000n }],
};

/** The first byte of a page that is all the same, or null. */
function fillOf(bytes: Uint8Array, page: number): number | null {
  const content = readPhysical(openBytes(migration, bytes), page * PAGE, PAGE);
  return content === null || content.some((byte) => byte !== content[0]) ? null : content[0]!;
}

/** The same bytes as the beginning of a long file: only that may tell of much RAM. */
function openLong(bytes: Uint8Array): DumpContents {
  const source = memorySource('the dump', bytes);
  return migration.open({ ...source, size: 16 * MIB }, { registersText: null, landmarks: [], physicalBase: 0n, format: null });
}

/** What is said of a file that is not read. */
function refusalOf(bytes: Uint8Array): string {
  try {
    openBytes(migration, bytes);
    return '';
  } catch (error) {
    return errorMessage(error);
  }
}

describe('a migration stream', () => {
  const bytes = writeStream(stream);

  it('has each page as it was sent last, and none that was not', () => {
    expect(recogniseBytes(bytes)).toBe('migration');
    expect(openBytes(migration, bytes)).toMatchObject({
      title: 'QEMU migration stream (pc-q35-7.2)',
      partial: null,
      diagnostics: [],
    });
    expect([0, 1, 2, 3, 4, 5].map((page) => fillOf(bytes, page))).toEqual([1, 0x11, 0, 0xaa, 4, null]);
    expect(readPhysical(openBytes(migration, bytes), PAGE - 4, 8)).toEqual(Uint8Array.of(1, 1, 1, 1, 0x11, 0x11, 0x11, 0x11));
  });

  it('has the registers of each vCPU by the names that a live VM gives them', () => {
    const { vcpus } = openBytes(migration, bytes);
    expect(vcpus.map(({ vcpu, registers }) => [vcpu, registers.machine])).toEqual([
      [0, 'x86_64'],
      [1, 'i386'],
    ]);
    expect(vcpus[0]!.registers.values).toMatchObject(values);
    expect(vcpus[0]!.registers.values).not.toHaveProperty('cs_base');
    expect(vcpus[1]!.registers.values).toMatchObject({ eip: 0xfff0n, cs: 0xf000n, cs_base: 0xffff_0000n, halted: 0n });
  });

  it('without its description has memory and no registers, and says so', () => {
    const contents = openBytes(migration, writeStream({ ...stream, withDescription: false }));
    expect([contents.vcpus.length, codesOf(contents)]).toEqual([0, ['no-registers', 'dump-no-registers']]);
    expect(readPhysical(contents, 0, 1)).toEqual(Uint8Array.of(1));
    const registersText = 'CPU#0\nRAX=0000000000000001 RIP=0000000000001234\nCR0=80000011 CR3=0000000000001000 CR4=00000020\n';
    const told = openBytes(migration, writeStream({ ...stream, withDescription: false }), { registersText });
    expect(told.vcpus).toMatchObject([{ registers: { values: { rip: 0x1234n, cr3: 0x1000n } } }]);
  });

  it('is not fooled by bytes in a device that look like the head of a vCPU', () => {
    const fake = Buffer.concat([Buffer.from([3]), Buffer.from('cpu'), Buffer.alloc(8)]);
    fake.writeUInt32BE(12, 8);
    const [first] = stream.vcpus!;
    const contents = openBytes(
      migration,
      writeStream({ ...stream, vcpus: [{ ...first!, r8: fake.readBigUInt64BE(0), r9: BigInt(12) << 32n }] }),
    );
    expect(contents.vcpus[0]!.registers.values).toMatchObject(values);
  });

  it.each([
    ['pc-q35-7.2', 4 * GIB, 2 * GIB],
    ['pc-i440fx-10.0', 4 * GIB, 3 * GIB],
    ['pc-i440fx-10.0', 3 * GIB, 3 * GIB],
    ['microvm', 256 * MIB, 256 * MIB],
  ])('of %s with %i bytes has %i of them below 4 GiB', (machine, ram, low) => {
    const last = ram / PAGE - 1;
    // A stream tells of every page once, 9 bytes at least; a shorter file has the first ones.
    const pages = [stored(low / PAGE - 1, 7), stored(Math.min(low / PAGE, last), 8)];
    const sparse = { ...stream, machine, blocks: [['pc.ram', ram]] as const, pages };
    const contents = openLong(writeStream(sparse));
    expect(readPhysical(contents, low - PAGE, 1)).toEqual(Uint8Array.of(low === ram ? 8 : 7));
    expect(readPhysical(contents, low, 1)).toBeNull();
    expect(readPhysical(contents, 4 * GIB, 1)).toEqual(low === ram ? null : Uint8Array.of(8));
  });

  it('that is cut off has what came before', () => {
    const cut = openBytes(migration, bytes.subarray(0, bytes.lastIndexOf(Buffer.alloc(200, 4)) + 10));
    expect(cut.partial).toContain('cut off');
    expect(readPhysical(cut, 0, 1)).toEqual(Uint8Array.of(1));
  });

  it.each([
    ['xbzrle', 0x40],
    ['compress', 0x100],
    ['multifd', 0x200],
    ['unknown flags', 0x400],
  ])('with pages by %s is refused in words', (word, flag) => {
    const strange = Buffer.from(bytes);
    strange.writeUInt16BE(flag, strange.indexOf(Buffer.from('ram\0\0\0\0\0\0\0\x04')) + 11 + 6);
    expect(refusalOf(strange)).toContain(word);
  });

  it('whose RAM lies elsewhere, or whose machine is not known, is refused in words', () => {
    expect(refusalOf(writeStream({ ...stream, capabilities: ['x-ignore-shared'] }))).toContain('the one that backs it');
    expect(refusalOf(writeStream({ ...stream, machine: 'virt-7.2' }))).toContain('virt-7.2');
  });

  it('names RAM that it does not place', () => {
    const contents = openLong(
      writeStream({
        ...stream,
        blocks: [
          ['ram-node0', 128 * MIB],
          ['ram-node1', 64 * MIB],
        ],
        pages: [stored(0, 1, 'ram-node0')],
      }),
    );
    expect(contents.diagnostics.at(-1)!.message).toContain('ram-node1');
  });
});

describe('a stream of mapped-ram', () => {
  it('has each page at its place, and zeros where the bitmap has none', () => {
    const bytes = mappedStream();
    expect([0, 1, 2, 3].map((page) => fillOf(bytes, page))).toEqual([0x77, 0, 0x79, null]);
  });

  it('survives being cut anywhere, and any bytes changed', () => {
    surviveCuts(migration, mappedStream(), 400);
    surviveDamage(migration, mappedStream(), 300);
  });
});

describe("libvirt's save file", () => {
  const xml = '<domain/>';
  const save = (magic: string, compression: number): Buffer => {
    const header = Buffer.alloc(92);
    header.write(magic, 0);
    for (const [at, value] of [
      [16, 2],
      [20, xml.length],
      [24, 1],
      [28, compression],
    ] as const)
      header.writeUInt32LE(value, at);
    return Buffer.concat([header, Buffer.from(xml), writeStream(stream)]);
  };

  it('has the stream behind its XML', () => {
    const bytes = save('LibvirtQemudSave', 0);
    expect(recogniseBytes(bytes)).toBe('migration');
    expect(openBytes(migration, bytes)).toMatchObject({ title: 'libvirt save file (pc-q35-7.2)', partial: null });
    expect(fillOf(bytes, 0)).toBe(1);
    expect(openBytes(migration, save('LibvirtQemudPart', 0)).partial).toContain('did not finish');
  });

  it('that is packed says how to unpack it', () => {
    expect(refusalOf(save('LibvirtQemudSave', 1))).toContain('tail -c +102 FILE | gzip -dc > STREAM');
    expect(refusalOf(save('LibvirtQemudSave', 6))).toContain('save_image_format');
  });
});

describe('a damaged stream', () => {
  const bytes = writeStream(stream);

  it('gives less, or an error of ours, cut anywhere', () => {
    const devices = bytes.lastIndexOf(Buffer.from('cpu_common'));
    surviveCuts(migration, bytes, 400);
    for (let length = devices - 600; length < bytes.length; length += 1) surviveDump(migration, bytes.subarray(0, length));
  });

  it('gives less, or an error of ours, with any bytes changed', () => {
    surviveDamage(migration, bytes, 300);
    surviveDamage(migration, bytes, 4000, bytes.length - 4000);
  });

  it('may claim RAM and blocks without end', () => {
    expect(surviveDump(migration, writeStream({ ...stream, blocks: [['pc.ram', 2 ** 50]] }))).toBe('DUMP_UNSUPPORTED');
    const empty = Array.from({ length: 5000 }, (_, index) => [`b${index}`, 0] as const);
    expect(surviveDump(migration, writeStream({ ...stream, blocks: [...empty, ['pc.ram', 8 * PAGE]] }))).toBe('DUMP_MALFORMED');
  });
});

it('a qcow2 disk is refused with what to do instead', () => {
  const disk = Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(200)]);
  expect(recogniseBytes(disk)).toBe('migration');
  expect(refusalOf(disk)).toContain('-loadvm NAME -S');
});

/** Four pages of which 0 and 2 are stored; what the writer above does not know. */
function mappedStream(): Buffer {
  const head = writeStream({ ...stream, capabilities: ['mapped-ram'], blocks: [['pc.ram', 3 * PAGE]], pages: [], vcpus: [] });
  const list = head.indexOf(Buffer.from('\x06pc.ram')) + 7 + 8;
  const map = Buffer.alloc(28);
  map.writeUInt32BE(1, 0);
  map.writeBigUInt64BE(BigInt(PAGE), 4);
  map.writeBigUInt64BE(BigInt(list + 28), 12);
  map.writeBigUInt64BE(BigInt(PAGE), 20);
  const bitmap = Buffer.from([0b101]);
  const pages = Buffer.concat([Buffer.alloc(PAGE, 0x77), Buffer.alloc(PAGE, 0x78), Buffer.alloc(PAGE, 0x79)]);
  const before = Buffer.concat([head.subarray(0, list), map, bitmap]);
  // The list of blocks ends behind the pages of the last.
  return Buffer.concat([before, Buffer.alloc(PAGE - before.length), pages, head.subarray(list)]);
}
