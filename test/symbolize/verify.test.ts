import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ElfFile, openElf } from '../../src/elf/file.ts';
import type { Memory } from '../../src/model/target.ts';
import { verifyImage } from '../../src/symbolize/verify.ts';
import { Scratch } from '../elf/scratch.ts';

const scratch = new Scratch();
let elf: ElfFile;
let rebuilt: ElfFile;
let withId: ElfFile;
let withOtherId: ElfFile;

/** A program of some pages of code; `seed` changes constants in it, as another version of the source would. */
function sourceOf(seed: number): string {
  const functions = Array.from({ length: 300 }, (_, index) => {
    const key = (index * 7919 + seed * 104_729) % 65_521;
    return `int f${index}(int x) { int s = ${key}; for (int i = 0; i < x; i++) s = s * ${(key % 97) + 3} + i ${seed % 2 === 0 ? '+' : '^'} ${key}; ${key % 3 === 0 ? 's ^= x;' : ''} return s; }`;
  });
  return `${functions.join('\n')}\nvoid _start(void) { for (;;) f${seed}(3); }\n`;
}

beforeAll(() => {
  scratch.write('one.c', sourceOf(1));
  scratch.write('two.c', sourceOf(2));
  for (const name of ['one', 'two']) scratch.compile(`${name}.o`, [`${name}.c`], ['-O1', '-c']);
  const build = (name: string, object: string, more: string): ElfFile =>
    openElf(scratch.compile(name, [object], ['-nostdlib', '-static', more]));
  elf = build('one', 'one.o', '-Wl,--build-id=none');
  rebuilt = build('two', 'two.o', '-Wl,--build-id=none');
  withId = build('one-id', 'one.o', '-Wl,--build-id=sha1');
  withOtherId = build('two-id', 'two.o', '-Wl,--build-id=sha1');
}, 30_000);
afterAll(() => {
  for (const file of [elf, rebuilt, withId, withOtherId]) file.close();
  scratch.remove();
});

/** Guest memory into which `file` was loaded; `patch` changes what is read. */
function memoryOf(
  file: ElfFile,
  bias = 0n,
  patch: (address: bigint, bytes: Uint8Array) => Uint8Array | null = (_, bytes) => bytes,
): Memory {
  return {
    read(address, length) {
      const bytes = file.readVirtual(address - bias, length);
      return bytes === null ? null : patch(address, bytes.slice());
    },
  };
}

describe('an image without a build-id', () => {
  it("is the guest's when its code is there, wherever it was moved", () => {
    for (const bias of [0n, 0x20_0000n, 0xffff_ffff_4000_0000n]) {
      expect(verifyImage({ elf }, bias, memoryOf(elf, bias))).toMatchObject({ match: 'text', diagnostic: null });
    }
  });

  it("stays the guest's with breakpoints, patched calls and a freed page, and says so", () => {
    const patched = memoryOf(elf, 0n, (_, bytes) => {
      for (let at = 0; at < 5; at += 1) bytes[40 + at] = 0xcc;
      return bytes;
    });
    expect(verifyImage({ elf }, 0n, patched)).toMatchObject({ match: 'text', diagnostic: null });
    const text = elf.findSection('.text')!;
    const freed = memoryOf(elf, 0n, (address, bytes) =>
      address < text.address + BigInt(Math.floor(text.size / 8)) ? bytes.fill(0) : bytes,
    );
    expect(verifyImage({ elf }, 0n, freed)).toMatchObject({ match: 'text', diagnostic: { code: 'image-patched' } });
  });

  it("is not the guest's when another build runs, and what differs is shown", () => {
    const { match, diagnostic } = verifyImage({ elf }, 0n, memoryOf(rebuilt));
    expect(match).toBe('mismatch');
    expect(diagnostic!.code).toBe('image-mismatch');
    expect(diagnostic!.message).toMatch(
      /^\S+one is not what the guest runs at its link address: \d+ of \d+ samples of its code differ, first at 0x[0-9a-f]+ \(file [0-9a-f]+, guest [0-9a-f]+\)\. No names are taken from it/,
    );
  });

  it("is not the guest's with the wrong load bias", () => {
    expect(verifyImage({ elf }, 0x1000n, memoryOf(elf)).match).toBe('mismatch');
    expect(verifyImage({ elf }, 0n, memoryOf(elf, 0x4000_0000n)).diagnostic!.message).toMatch(
      /no guest memory is mapped where its code would be/,
    );
  });

  it('counts only what can be read', () => {
    const half = elf.findSection('.text')!.address + 4096n;
    expect(
      verifyImage(
        { elf },
        0n,
        memoryOf(elf, 0n, (address, bytes) => (address > half ? null : bytes)),
      ),
    ).toMatchObject({ match: 'text', diagnostic: null });
  });

  it('is used unverified where a stack ran over its code, and says where', () => {
    const text = elf.findSection('.text')!;
    const overwritten = memoryOf(elf, 0n, (address, bytes) => {
      if (address > text.address + BigInt(Math.floor(text.size * 0.4))) return bytes;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const words = [0x108a10n, 7n, 0n, 0x7fff_ffd0n];
      for (let at = Number(-address & 7n); at + 8 <= bytes.length; at += 8) view.setBigUint64(at, words[(at >> 3) % 4]!, true);
      return bytes;
    });
    const { match, diagnostic } = verifyImage({ elf }, 0n, overwritten);
    expect(match).toBe('unverified');
    expect(diagnostic!.code).toBe('image-damaged');
    expect(diagnostic!.message).toMatch(/\d+ of \d+ samples of its code differ, .*the guest has overwritten its own code/);
  });

  it("is not the guest's where other code stands in the same share of places", () => {
    const half = elf.findSection('.text')!.address + BigInt(Math.floor(elf.findSection('.text')!.size * 0.4));
    const other = memoryOf(elf, 0n, (address, bytes) => (address > half ? bytes : rebuilt.readVirtual(address, bytes.length)));
    expect(verifyImage({ elf }, 0n, other)).toMatchObject({ match: 'mismatch', proven: true });
  });

  it('that is not loaded yet is told from one that another was loaded for', () => {
    const empty = memoryOf(elf, 0n, (_, bytes) => bytes.fill(0));
    expect(verifyImage({ elf }, 0n, empty)).toMatchObject({ match: 'mismatch', proven: false });
    expect(verifyImage({ elf }, 0n, { read: () => null })).toMatchObject({ match: 'mismatch', proven: false });
    expect(verifyImage({ elf }, 0n, memoryOf(rebuilt))).toMatchObject({ match: 'mismatch', proven: true });
  });

  it('with no code to compare cannot be verified', () => {
    scratch.write('data.s', '.data\n.quad 1\n');
    const data = openElf(scratch.compile('data.o', ['data.s'], ['-c']));
    expect(verifyImage({ elf: data }, 0n, memoryOf(data))).toMatchObject({
      match: 'unverified',
      diagnostic: { code: 'image-unverified' },
    });
    data.close();
  });
});

describe('an image with a build-id', () => {
  it("is the guest's when the guest has the same", () => {
    expect(verifyImage({ elf: withId }, 0x1000n, memoryOf(withId, 0x1000n))).toMatchObject({
      match: 'build-id',
      diagnostic: null,
    });
  });

  it("is not the guest's when the guest has another, which is named", () => {
    const { match, diagnostic } = verifyImage({ elf: withId }, 0n, memoryOf(withOtherId));
    expect(match).toBe('mismatch');
    expect(diagnostic!.message).toContain(`its build-id is ${withId.buildId!}, the guest's is ${withOtherId.buildId!}`);
  });

  it('is compared by its code when the guest dropped the note', () => {
    const { address } = withId.buildIdNote!;
    const dropped = memoryOf(withId, 0n, (at, bytes) => (at < address! && at + 64n > address! ? bytes.fill(0) : bytes));
    expect(verifyImage({ elf: withId }, 0n, dropped).match).toBe('text');
  });
});
