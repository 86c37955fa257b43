import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import { errorCode } from '../../src/model/error.ts';
import { outputOf, Scratch, sectionHeaders } from './scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const SOURCE =
  'int counter = 7; char text[] = "hello"; int zeroed[100]; int main(void) { return counter + text[0] + zeroed[1]; }\n';
let program: string;
let tiny: string;
beforeAll(() => {
  scratch.write('main.c', SOURCE);
  scratch.write('tiny.c', 'int value = 41; void _start(void) { for (;;) value++; }\n');
  program = scratch.compile('main', ['main.c'], ['-g', '-O1', '-Wl,--build-id=sha1']);
  tiny = scratch.compile('tiny', ['tiny.c'], ['-nostdlib', '-static', '-Wl,--build-id=sha1', '-Wl,-z,noseparate-code', '-s']);
});

/** Opens and closes bytes as a file; the error code, or null when it opened. */
function codeOf(bytes: Uint8Array, use: (path: string) => void): string | null {
  const path = scratch.write('damaged', bytes);
  try {
    use(path);
    return null;
  } catch (error) {
    const code = errorCode(error);
    if (code === null) throw error;
    return code;
  }
}

function readEverything(path: string): void {
  const elf = openElf(path);
  try {
    for (const section of elf.sections) elf.readSection(section);
    for (const segment of elf.segments) elf.readVirtual(segment.virtualAddress, 16);
    expect(elf.buildId).not.toBe('');
  } finally {
    elf.close();
  }
}

describe('an ELF file', () => {
  it('has the sections and segments that readelf prints', () => {
    const elf = openElf(program);
    const sections = [
      ...outputOf('readelf', ['-SW', program]).matchAll(
        /^ +\[ *(\d+)\] (\S*) +([A-Z_]+) +([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]{2}) /gm,
      ),
    ];
    expect(sections.length).toBeGreaterThan(20);
    for (const [, index, name, , address, offset, size, entrySize] of sections) {
      const section = elf.sections[Number(index)]!;
      expect([section.name, section.address, section.offset, section.size, section.entrySize]).toEqual([
        name,
        BigInt(`0x${address!}`),
        ...[offset, size, entrySize].map((hex) => parseInt(hex!, 16)),
      ]);
    }
    const segments = [
      ...outputOf('readelf', ['-lW', program]).matchAll(
        /^ +[A-Z_]+ +0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) 0x([0-9a-f]+) /gm,
      ),
    ];
    expect(elf.segments.map((s) => [s.offset, s.virtualAddress, s.physicalAddress, s.fileSize, s.memorySize])).toEqual(
      segments.map(([, offset, virtual, physical, file, memory]) => [
        parseInt(offset!, 16),
        BigInt(`0x${virtual!}`),
        BigInt(`0x${physical!}`),
        parseInt(file!, 16),
        parseInt(memory!, 16),
      ]),
    );
    expect([elf.bits, elf.littleEndian, elf.machine, elf.type]).toEqual([64, true, 'x86_64', 'dyn']);
    elf.close();
  });

  it('has the build-id that readelf prints, and says where it is loaded', () => {
    const elf = openElf(program);
    expect(elf.buildId).toBe(/Build ID: ([0-9a-f]+)/.exec(outputOf('readelf', ['-n', program]))![1]);
    const note = elf.buildIdNote!;
    expect(elf.readVirtual(note.address!, note.descriptor.length)).toEqual(note.descriptor);
    elf.close();
  });

  it('reads memory as the loader would fill it from the file, and nothing else', () => {
    const elf = openElf(program);
    const data = elf.findSection('.data')!;
    const bytes = elf.readSection(data);
    expect(elf.readVirtual(data.address, data.size)).toEqual(bytes);
    expect(Buffer.from(bytes).toString('latin1')).toContain('hello');
    expect(elf.readVirtual(elf.findSection('.bss')!.address + 64n, 4)).toBeNull();
    expect(elf.readVirtual(elf.imageEnd, 1)).toBeNull();
    expect(elf.readVirtual(0xffff_ffff_ffff_fff0n, 64)).toBeNull();
    expect(elf.imageBase).toBe(0n);
    expect(elf.origin).toBe(elf.segments.find((s) => s.type === 1 && (s.flags & 1) !== 0)!.virtualAddress);
    elf.close();
  });

  it('reads a part of a section without its whole, and refuses what lies outside', () => {
    const elf = openElf(program);
    const text = elf.findSection('.text')!;
    const part = elf.readSectionAt(text, 5, 20);
    expect(part).toEqual(elf.readSection(text).subarray(5, 25));
    expect(() => elf.readSectionAt(text, text.size - 3, 4)).toThrow(expect.objectContaining({ code: 'ELF_TRUNCATED' }));
    expect(elf.readSection(elf.findSection('.bss')!)).toHaveLength(0);
    elf.close();
  });

  it('is read with 32 bits too', () => {
    const path = scratch.compile('tiny32', ['tiny.c'], ['-m32', '-nostdlib', '-static', '-fno-pic', '-no-pie']);
    const elf = openElf(path);
    expect([elf.bits, elf.machine, elf.type]).toEqual([32, 'i386', 'exec']);
    const data = elf.findSection('.data')!;
    expect(elf.readVirtual(data.address, 4)).toEqual(Uint8Array.of(41, 0, 0, 0));
    expect(elf.entry).toBe(BigInt(/Entry point address: +(0x[0-9a-f]+)/.exec(outputOf('readelf', ['-h', path]))![1]!));
    elf.close();
  });

  it.each(['zlib', 'zstd', 'zlib-gnu'])('gives sections compressed with %s as they were', (kind) => {
    const path = join(scratch.path, `packed-${kind}`);
    execFileSync('objcopy', [`--compress-debug-sections=${kind}`, program, path]);
    const [plain, packed] = [openElf(program), openElf(path)];
    const names = plain.sections.map(({ name }) => name).filter((name) => name.startsWith('.debug_'));
    expect(packed.sections.some(({ compressed }) => compressed)).toBe(true);
    for (const name of names)
      expect(packed.readSection(packed.findSection(name)!)).toEqual(plain.readSection(plain.findSection(name)!));
    const info = packed.findSection('.debug_info')!;
    expect(packed.readSectionAt(info, 11, 9)).toEqual(plain.readSection(plain.findSection('.debug_info')!).subarray(11, 20));
    plain.close();
    packed.close();
  });

  it('is read with big-endian headers too', () => {
    const bytes = new Uint8Array(64 + 56);
    const view = new DataView(bytes.buffer);
    bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 2, 1]);
    for (const [at, value] of [
      [16, 2],
      [18, 183],
      [54, 56],
      [56, 1],
      [58, 64],
    ] as const)
      view.setUint16(at, value);
    view.setBigUint64(24, 0x40_0078n);
    view.setBigUint64(32, 64n);
    view.setUint32(64, 1);
    view.setUint32(68, 5);
    for (const [at, value] of [
      [16, 0x40_0000n],
      [24, 0x40_0000n],
      [32, 120n],
      [40, 0x1000n],
    ] as const)
      view.setBigUint64(64 + at, value);
    const elf = openElf(scratch.write('big', bytes));
    expect([elf.littleEndian, elf.machine, elf.type, elf.entry]).toEqual([false, 'aarch64', 'exec', 0x40_0078n]);
    expect([elf.imageBase, elf.imageEnd]).toEqual([0x40_0000n, 0x40_1000n]);
    expect(elf.readVirtual(0x40_0000n, 4)).toEqual(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46));
    elf.close();
  });

  it('may have more than 65,280 sections', () => {
    const lines = Array.from({ length: 66_000 }, (_, index) => `.section .s${index},"a"\n.byte 1\n`);
    scratch.write('many.s', lines.join(''));
    const elf = openElf(scratch.compile('many.o', ['many.s'], ['-c']));
    expect(elf.sections.length).toBeGreaterThan(66_000);
    expect(elf.findSection('.s65999')?.size).toBe(1);
    elf.close();
  });
});

describe('a file that is no good ELF', () => {
  it('is refused by what it is', () => {
    expect(() => openElf(scratch.write('script', '#!/bin/sh\n'))).toThrow(expect.objectContaining({ code: 'ELF_NOT_ELF' }));
    expect(() => openElf(scratch.write('empty', ''))).toThrow(expect.objectContaining({ code: 'ELF_NOT_ELF' }));
    expect(() => openElf(join(scratch.path, 'absent'))).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
    expect(() => openElf(scratch.path)).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
    execFileSync('mkfifo', [join(scratch.path, 'fifo')]);
    expect(() => openElf(join(scratch.path, 'fifo'))).toThrow(expect.objectContaining({ code: 'FILE_UNREADABLE' }));
  });

  it('names the file, the part and the sizes when it is cut off', () => {
    const bytes = readFileSync(program);
    const path = scratch.write('cut', bytes.subarray(0, 4000));
    expect(() => openElf(path)).toThrow(/cut is truncated: section header table.* the file has 4000 bytes/);
  });

  it('gives typed errors only, cut at every length', () => {
    const bytes = readFileSync(tiny);
    const codes = new Set<string | null>();
    for (let length = 0; length < bytes.length; length += 1) codes.add(codeOf(bytes.subarray(0, length), readEverything));
    expect([...codes].sort()).toEqual(['ELF_NOT_ELF', 'ELF_TRUNCATED', 'ELF_UNSUPPORTED']);
  });

  it('gives typed errors only, with any bytes of its headers changed', () => {
    const bytes = new Uint8Array(readFileSync(tiny));
    const table = sectionHeaders(bytes)[0]!.header;
    const headers = [...Array(64 + 56 * 6).keys(), ...Array.from({ length: bytes.length - table }, (_, at) => table + at)];
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...headers), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const changed = bytes.slice();
          for (const [at, value] of changes) changed[at] = value;
          codeOf(changed, readEverything);
        },
      ),
      { numRuns: 600 },
    );
  });

  it.each([
    ['zlib', 8],
    ['zstd', 8],
    ['zlib-gnu', 4],
  ] as const)('cannot make a small %s section unpack to a large one', (kind, sizeAt) => {
    const packed = join(scratch.path, `bomb-${kind}`);
    execFileSync('objcopy', [`--compress-debug-sections=${kind}`, program, packed]);
    const bytes = new Uint8Array(readFileSync(packed));
    const elf = openElf(packed);
    const info = elf.findSection('.debug_info')!;
    const truth = elf.sectionSize(info);
    elf.close();
    for (const [claim, refusal] of [
      [2n ** 29n, /claims to unpack/],
      [2n ** 63n, /claims to unpack/],
      [BigInt(truth) - 1n, /damaged|unpacks to/],
      [BigInt(truth) + 1n, /unpacks to|damaged/],
    ] as const) {
      new DataView(bytes.buffer).setBigUint64(info.offset + sizeAt, claim, kind !== 'zlib-gnu');
      const bomb = openElf(scratch.write('bomb', bytes));
      expect(() => bomb.readSection(info)).toThrow(refusal);
      expect(() => bomb.readSectionAt(info, 0, 1)).toThrow(expect.objectContaining({ code: 'ELF_MALFORMED' }));
      bomb.close();
    }
  });

  it('says how large a compressed section is without unpacking it', () => {
    const packed = join(scratch.path, 'sized');
    execFileSync('objcopy', ['--compress-debug-sections=zlib', program, packed]);
    const bytes = new Uint8Array(readFileSync(packed));
    const elf = openElf(packed);
    const info = elf.findSection('.debug_info')!;
    const truth = elf.readSection(info).length;
    elf.close();
    bytes.fill(0xff, info.offset + 24, info.offset + info.size);
    const damaged = openElf(scratch.write('sized-damaged', bytes));
    expect(damaged.sectionSize(info)).toBe(truth);
    expect(() => damaged.readSection(info)).toThrow(/compressed data is damaged/);
    damaged.close();
  });
});
