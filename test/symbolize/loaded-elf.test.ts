import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PT_LOAD } from '../../src/elf/constants.ts';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import type { Memory } from '../../src/model/target.ts';
import { readLoadedElf } from '../../src/symbolize/loaded-elf.ts';
import { Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
let program: ElfFile;
let library: ElfFile;
let fixed: ElfFile;

beforeAll(() => {
  scratch.write('code.c', 'int value = 7; int twice(int x) { return 2 * x + value; } void _start(void) { twice(3); }\n');
  const build = (name: string, ...flags: string[]): ElfFile =>
    openElf(scratch.compile(name, ['code.c'], ['-nostdlib', '-Wl,--build-id=sha1', ...flags]));
  program = build('program', '-pie', '-fPIE');
  library = build('libcode.so', '-shared', '-fPIC', '-Wl,-soname,libcode.so.3');
  fixed = build('fixed', '-static', '-no-pie', '-Wl,-Ttext-segment=0x600000');
});
afterAll(() => {
  for (const file of [program, library, fixed]) file.close();
  scratch.remove();
});

/** Guest memory into which `file` was loaded, whole pages of it; `patch` changes what is read. */
function memoryOf(file: ElfFile, bias: bigint, patch: (bytes: Uint8Array, address: bigint) => void = () => undefined): Memory {
  const pages = new Uint8Array(Math.ceil(Number(file.imageEnd - file.imageBase) / 4096) * 4096);
  for (const { type, virtualAddress, fileSize } of file.segments) {
    if (type === PT_LOAD) pages.set(file.readVirtual(virtualAddress, fileSize)!, Number(virtualAddress - file.imageBase));
  }
  return {
    read(address, length) {
      const at = Number(address - bias - file.imageBase);
      if (at < 0 || at + length > pages.length) return null;
      const bytes = pages.slice(at, at + length);
      patch(bytes, address - bias);
      return bytes;
    },
  };
}

describe('an ELF image in guest memory', () => {
  it('says where it lies, of which build it is and how it is called', () => {
    const bias = 0x1000_0000_0000n;
    expect(readLoadedElf(memoryOf(library, bias), bias, bias)).toMatchObject({
      machine: 'x86_64',
      loadBias: bias,
      base: bias + library.imageBase,
      end: bias + library.imageEnd,
      buildId: library.buildId,
      soname: 'libcode.so.3',
    });
    expect(readLoadedElf(memoryOf(program, bias), bias, bias)).toMatchObject({ buildId: program.buildId, soname: null });
    expect(readLoadedElf(memoryOf(fixed, 0n), 0x600000n, 0x600000n)).toMatchObject({ loadBias: 0n, base: 0x600000n });
  });

  it('has code where its executable segments are', () => {
    const { text } = readLoadedElf(memoryOf(program, 0x4000n), 0x4000n, 0x4000n)!;
    const section = program.findSection('.text')!;
    expect(text.some(({ start, end }) => start <= section.address + 0x4000n && section.address + 0x4000n < end)).toBe(true);
    expect(text.every(({ start, end }) => end - start < program.imageEnd)).toBe(true);
  });

  it('may have its header elsewhere than its segments', () => {
    const file = memoryOf(library, 0x7000_0000n);
    const loaded = memoryOf(library, 0xffff_8000_0000_0000n);
    const both: Memory = { read: (address, length) => file.read(address, length) ?? loaded.read(address, length) };
    const found = readLoadedElf(both, 0x7000_0000n, 0xffff_8000_0000_0000n);
    expect(found).toMatchObject({ loadBias: 0xffff_8000_0000_0000n, buildId: library.buildId });
  });

  it('of which only the first page is there lacks what lies behind', () => {
    const whole = memoryOf(library, 0n);
    const page: Memory = { read: (address, length) => (address + BigInt(length) <= 4096n ? whole.read(address, length) : null) };
    expect(readLoadedElf(page, 0n, 0n)).toMatchObject({ buildId: library.buildId, soname: null });
  });
});

describe('memory that is no ELF image', () => {
  it('gives none, cut or damaged anywhere in its headers', () => {
    const whole = library.readVirtual(0n, 0x240)!;
    for (let length = 0; length < whole.length; length += 1) {
      const cut: Memory = {
        read: (address, size) =>
          Number(address) + size <= length ? whole.subarray(Number(address), Number(address) + size) : null,
      };
      const found = readLoadedElf(cut, 0n, 0n);
      expect(found === null || found.machine === 'x86_64').toBe(true);
    }
    let changed = { at: 0, value: 0 };
    const damaged = memoryOf(library, 0n, (bytes, address) => {
      const into = changed.at - Number(address);
      if (into >= 0 && into < bytes.length) bytes[into] = changed.value;
    });
    for (let at = 0; at < whole.length; at += 1) {
      for (const value of [0, 0x7f, 0xff]) {
        changed = { at, value };
        const found = readLoadedElf(damaged, 0n, 0n);
        if (found !== null) expect(found.end).toBeTypeOf('bigint');
      }
    }
  });

  it('gives none where nothing is, or something else', () => {
    expect(readLoadedElf({ read: () => null }, 0n, 0n)).toBeNull();
    expect(readLoadedElf({ read: (_, length) => new Uint8Array(length) }, 0n, 0n)).toBeNull();
    expect(readLoadedElf({ read: (_, length) => new Uint8Array(length).fill(0x7f) }, 0n, 0n)).toBeNull();
  });
});
