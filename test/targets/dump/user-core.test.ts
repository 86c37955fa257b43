// Cores of processes, made by hand: what kernels, gdb and Nanos put into them, and what damage does.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { DumpContents } from '../../../src/targets/dump/format.ts';
import { userCore } from '../../../src/targets/dump/user-core.ts';
import { type CoreBlock, writeCore, writeNote } from './core-writer.ts';
import { surviveCuts, surviveDamage, surviveDump } from './damage.ts';
import { codesOf, openBytes, recogniseBytes } from './opened.ts';

const PAGE = 4096;
const folder = mkdtempSync(join(tmpdir(), 'unidbg-user-core-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function words(...values: readonly (bigint | number)[]): Buffer {
  const bytes = Buffer.alloc(8 * values.length);
  for (const [index, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 8 * index);
  return bytes;
}

function prstatus(lwp: number, { rip = 0n, rsp = 0n }: { rip?: bigint; rsp?: bigint } = {}): Buffer {
  const status = Buffer.alloc(336);
  status.writeUInt32LE(lwp, 32);
  status.writeBigUInt64LE(rip, 112 + 8 * 16);
  status.writeBigUInt64LE(rsp, 112 + 8 * 19);
  return writeNote('CORE', 1, status);
}

function siginfo(signal: number, code: number, address: bigint): Buffer {
  const info = Buffer.alloc(128);
  info.writeInt32LE(signal, 0);
  info.writeInt32LE(code, 8);
  info.writeBigUInt64LE(address, 16);
  return writeNote('CORE', 0x53494749, info);
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
  readonly page: number;
  readonly path: string;
}

function files(mappings: readonly Mapping[], count = mappings.length): Buffer {
  const table = words(count, PAGE, ...mappings.flatMap(({ start, end, page }) => [start, end, page]));
  return writeNote('CORE', 0x46494c45, Buffer.concat([table, ...mappings.map(({ path }) => Buffer.from(`${path}\0`))]));
}

const PSINFO = writeNote(
  'CORE',
  3,
  Buffer.concat([Buffer.alloc(40), Buffer.from('program\0\0\0\0\0\0\0\0\0'), Buffer.alloc(80)]),
);
const BASE = 0x5555_5555_0000n;
const blocks: readonly CoreBlock[] = [
  { physical: 0, virtual: BASE, bytes: new Uint8Array(PAGE).fill(1) },
  { physical: 0, virtual: BASE + 0x1000n, bytes: new Uint8Array(100).fill(2), memorySize: PAGE },
  { physical: 0, virtual: 0xffff_ffff_ff60_0000n, bytes: new Uint8Array(PAGE).fill(3) },
];

function coreWith(...notes: readonly Buffer[]): Buffer {
  return writeCore(blocks, [], { notes: Buffer.concat(notes) });
}

function read({ memory }: DumpContents, address: bigint, length: number): Uint8Array | null {
  return memory.kind === 'virtual' ? memory.memory.read(address, length) : null;
}

describe('a core of a process', () => {
  it('is told from a dump of a guest by its notes', () => {
    expect(recogniseBytes(coreWith(PSINFO, prstatus(1)))).toBe('core');
    expect(recogniseBytes(coreWith(prstatus(1), writeNote('QEMU', 0, Buffer.alloc(440))))).toBe('elf');
  });

  it('has each thread in the place of a vCPU', () => {
    const contents = openBytes(userCore, coreWith(PSINFO, prstatus(77, { rip: 0x1234n, rsp: 0x5678n }), prstatus(78)));
    expect(contents.vcpus.map(({ vcpu, registers }) => [vcpu, registers.values['rip']])).toEqual([
      [0, 0x1234n],
      [1, 0n],
    ]);
    expect(contents.vcpus[0]!.registers.values).toMatchObject({ rsp: 0x5678n, fs_base: 0n });
    expect(contents.diagnostics[0]!.message).toContain('0 is LWP 77, 1 is LWP 78');
    expect(contents).toMatchObject({ machine: 'x86_64', partial: null, signal: null });
  });

  it('holds memory by virtual address up to where it was written, up to the top of all addresses', () => {
    const contents = openBytes(userCore, coreWith(PSINFO, prstatus(1)));
    expect(read(contents, BASE + 0xff0n, 32)).toEqual(
      Uint8Array.from([...Array<number>(16).fill(1), ...Array<number>(16).fill(2)]),
    );
    expect(read(contents, BASE + 0x1000n, 100)).toHaveLength(100);
    expect(read(contents, BASE + 0x1000n, 101)).toBeNull();
    expect(read(contents, 0xffff_ffff_ff60_0ff0n, 16)).toHaveLength(16);
    for (const nowhere of [0n, BASE - 1n, 0xffff_ffff_ffff_fff8n]) expect(read(contents, nowhere, 16)).toBeNull();
  });

  it('says which signal ended it and where the fault was, and not what only stopped it', () => {
    const fault = openBytes(userCore, coreWith(PSINFO, prstatus(5), siginfo(11, 1, 0x38n), prstatus(6)));
    expect(fault.signal).toEqual({ number: 11, code: 1, vcpu: 0, faultAddress: 0x38n });
    expect(openBytes(userCore, coreWith(PSINFO, prstatus(5), siginfo(6, -6, 0x1234n))).signal).toMatchObject({
      number: 6,
      faultAddress: null,
    });
    expect(openBytes(userCore, coreWith(PSINFO, prstatus(5), siginfo(19, 128, 0n))).signal).toBeNull();
  });

  it('is partial when it is cut off, and tells how much is missing', () => {
    const whole = coreWith(PSINFO, prstatus(1));
    const { partial } = openBytes(userCore, whole.subarray(0, whole.length - 10));
    expect(partial).toBe(`the core is cut off: it should have ${whole.length} bytes, the file has ${whole.length - 10}`);
  });
});

describe('a file that was mapped', () => {
  const image = elfImage('1122334455667788');
  const path = join(folder, 'program');
  const loads: readonly CoreBlock[] = [{ physical: 0, virtual: BASE, bytes: image.subarray(0, PAGE) }];
  const mapped = files([
    { start: BASE, end: BASE + 0x1000n, page: 0, path },
    { start: BASE + 0x1000n, end: BASE + 0x3000n, page: 1, path },
  ]);
  const auxv = writeNote('CORE', 6, words(3, BASE + 64n, 9, BASE + 0x1010n, 0, 0));
  const open = (): DumpContents =>
    openBytes(userCore, writeCore(loads, [], { notes: Buffer.concat([PSINFO, prstatus(1), auxv, mapped]) }));

  it('gives the pages that the core leaves out, if it has the same build-id', () => {
    writeFileSync(path, image);
    const contents = open();
    expect(read(contents, BASE + 0x1000n, 2 * PAGE)).toEqual(Uint8Array.from(image.subarray(PAGE)));
    expect(read(contents, BASE + 0xff0n, 32)).toEqual(Uint8Array.from(image.subarray(0xff0, 0x1010)));
    expect(codesOf(contents)).toContain('core-mapped-files');
    expect(contents.loaded).toEqual([
      { path, start: BASE, bias: BASE - 0x40_0000n, buildId: '1122334455667788', entry: BASE + 0x1010n },
    ]);
    contents.close?.();
  });

  it('is not read when it is another one now, or gone, and that is said', () => {
    writeFileSync(path, elfImage('ffff334455667788'));
    const other = open();
    expect(read(other, BASE + 0x1000n, 16)).toBeNull();
    expect(other.diagnostics.at(-1)!.message).toContain('the file is another one now');
    rmSync(path);
    expect(open().diagnostics.at(-1)!.message).toContain('ENOENT');
  });

  it('is never read just because a core names it', () => {
    const secret = join(folder, 'secret');
    writeFileSync(secret, Buffer.alloc(2 * PAGE, 's'));
    const claims = files([{ start: BASE, end: BASE + 0x2000n, page: 0, path: secret }]);
    for (const first of [[], [{ physical: 0, virtual: BASE, bytes: Buffer.alloc(PAGE, 's') }]]) {
      const contents = openBytes(userCore, writeCore(first, [], { notes: Buffer.concat([PSINFO, prstatus(1), claims]) }));
      expect(read(contents, BASE + 0x1000n, 16)).toBeNull();
      expect(codesOf(contents)).toContain('core-pages-missing');
    }
  });
});

describe('a core without a list of files (Nanos)', () => {
  it('has its program by its program headers and entry point', () => {
    const image = elfImage('aa');
    const auxv = writeNote('CORE', 6, words(3, BASE + 64n, 9, BASE + 0x1010n, 0, 0));
    const core = writeCore([{ physical: 0, virtual: BASE, bytes: image }], [], {
      notes: Buffer.concat([PSINFO, prstatus(2), auxv]),
    });
    expect(openBytes(userCore, core).loaded).toEqual([
      { path: 'program', start: BASE, bias: BASE - 0x40_0000n, buildId: 'aa', entry: BASE + 0x1010n },
    ]);
    const bare = writeCore([], [], { notes: Buffer.concat([PSINFO, prstatus(2), auxv]) });
    expect(openBytes(userCore, bare).loaded).toMatchObject([{ path: 'program', start: BASE, bias: null, entry: BASE + 0x1010n }]);
  });
});

describe('a damaged core', () => {
  const whole = coreWith(
    PSINFO,
    prstatus(1),
    siginfo(11, 1, 1n),
    files([{ start: BASE, end: BASE + 0x2000n, page: 0, path: '/nowhere' }]),
  );

  it('gives less, or an error of ours, cut anywhere', () => {
    surviveCuts(userCore, whole, 2048);
  });

  it('gives less, or an error of ours, with any bytes changed', () => {
    surviveDamage(userCore, whole, 1600);
  });

  it('may claim notes of 4 GiB, threads and mappings without end', () => {
    const huge = Buffer.from(PSINFO);
    huge.writeUInt32LE(0xffff_ffff, 4);
    expect(surviveDump(userCore, coreWith(prstatus(1), huge, prstatus(2)))).toBeNull();
    expect(surviveDump(userCore, coreWith(PSINFO, files([], 2 ** 40)))).toBeNull();
    const many = Buffer.concat(Array.from({ length: 20_000 }, (_, index) => prstatus(index)));
    expect(openBytes(userCore, coreWith(PSINFO, many)).vcpus).toHaveLength(10_000);
  });

  it('may say that its segments wrap around or lie outside of the file', () => {
    for (const [field, value] of [
      [8, 0xffff_ffff_ffff_f000n],
      [8, 0x7fff_ffff_ffff_ffffn],
      [16, 0xffff_ffff_ffff_ffffn],
      [32, 0xffff_ffff_ffff_ffffn],
    ] as const) {
      const core = coreWith(PSINFO, prstatus(1));
      core.writeBigUInt64LE(value, 64 + 56 + field);
      surviveDump(userCore, core);
    }
  });
});

/** An ELF file of three pages, linked at 0x400000, with a build-id in its first page. */
function elfImage(buildId: string): Buffer {
  const image = Buffer.alloc(3 * PAGE, 0xcc);
  const id = Buffer.from(buildId, 'hex');
  const note = Buffer.concat([Buffer.alloc(12), Buffer.from('GNU\0'), id]);
  note.writeUInt32LE(4, 0);
  note.writeUInt32LE(id.length, 4);
  note.writeUInt32LE(3, 8);
  image.fill(0, 0, PAGE);
  image.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  image.writeUInt16LE(2, 16);
  image.writeUInt16LE(62, 18);
  image.writeBigUInt64LE(64n, 32);
  image.writeUInt16LE(64, 52);
  image.writeUInt16LE(56, 54);
  image.writeUInt16LE(2, 56);
  const segment = (index: number, type: number, offset: number, size: number): void => {
    const at = 64 + 56 * index;
    image.writeUInt32LE(type, at);
    image.set(words(offset, 0x40_0000 + offset, 0x40_0000 + offset, size, size, 4), at + 8);
  };
  segment(0, 1, 0, 3 * PAGE);
  segment(1, 4, 512, note.length);
  image.set(note, 512);
  return image;
}
