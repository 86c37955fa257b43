// kdump-compressed files in all their forms, what is left out of them, and damage.

import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openFileSource } from '../../../src/bytes/byte-source.ts';
import { errorCode } from '../../../src/model/error.ts';
import { kdump } from '../../../src/targets/dump/kdump.ts';
import { writeCore, writeNotes } from './core-writer.ts';
import { flatten, samplePages, writeKdump } from './kdump-writer.ts';
import { openBytes, readPhysical, recogniseBytes } from './opened.ts';

const PAGE = 4096;
const notes = writeNotes([{ values: { cr3: 0x5000n } }]);
/** Pages 40 to 49 are a hole. */
const pages = samplePages(70).map((page, number) => (number >= 40 && number < 50 ? null : page));

function expectPages(file: Uint8Array): void {
  const contents = openBytes(kdump, file);
  expect(contents.partial).toBeNull();
  for (const [number, page] of pages.entries()) expect(readPhysical(contents, PAGE * number, PAGE)).toEqual(page);
  expect(readPhysical(contents, PAGE * pages.length, 1)).toBeNull();
}

describe('a kdump-compressed file', () => {
  it.each(['none', 'zlib', 'snappy', 'zstd'] as const)(
    'with %s has all pages and no holes, in 64 and 32 bits, plain and flattened',
    (compression) => {
      for (const bits of [64, 32] as const) {
        const file = writeKdump(pages, { compression, bits, notes });
        expectPages(file);
        expectPages(flatten(file));
      }
      expect(openBytes(kdump, flatten(writeKdump(pages, { compression }))).title).toBe(
        `kdump-compressed (${compression === 'none' ? '' : `${compression}, `}flattened)`,
      );
    },
  );

  it('has the registers of its notes, from version 4 on', () => {
    for (const bits of [64, 32] as const) {
      const { vcpus, memory, machine } = openBytes(kdump, writeKdump(pages, { bits, notes, version: 4 }));
      expect(machine).toBe('x86_64');
      expect(vcpus[0]?.registers.values['cr3']).toBe(0x5000n);
      expect(memory.bytes).toBe(60 * PAGE);
    }
    expect(openBytes(kdump, writeKdump(pages, { notes, version: 3 })).diagnostics[0]?.code).toBe('dump-no-registers');
  });

  it.each([['-c'], ['-l'], ['-d 1'], ['-c -F']])(
    'that makedumpfile %s makes of an ELF core has the same pages and registers',
    (options) => {
      const folder = mkdtempSync(join(tmpdir(), 'unidbg-kdump-'));
      const core = join(folder, 'core');
      const whole = samplePages(200);
      writeFileSync(core, writeCore([{ physical: 0, bytes: Buffer.concat(whole) }], [{ values: { cr3: 0x5000n } }]));
      const isFlat = options.includes('-F');
      const args = [...options.split(' '), core, ...(isFlat ? [] : [join(folder, 'out')])];
      const stdout = execFileSync('makedumpfile', args, { stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 1e8 });
      const contents = openBytes(kdump, isFlat ? stdout : readFileSync(join(folder, 'out')));
      rmSync(folder, { recursive: true });
      expect(contents.partial).toBeNull();
      for (const [number, page] of whole.entries()) expect(readPhysical(contents, PAGE * number, PAGE)).toEqual(page);
      expect(contents.vcpus[0]?.registers.values['cr3']).toBe(0x5000n);
    },
  );

  it('with blocks of 64 KiB is read across and within them', () => {
    const big = [0, 1, 2].map((number) => Buffer.concat(samplePages(16, number + 1)));
    const contents = openBytes(kdump, writeKdump(big, { blockSize: 65_536, machineName: 'aarch64' }));
    expect(contents.machine).toBe('aarch64');
    expect(readPhysical(contents, 65_536 - 100, 65_736)).toEqual(new Uint8Array(Buffer.concat(big).subarray(65_436, 131_172)));
  });

  it('has no bytes for pages that were left out, and says how many and why', () => {
    const contents = openBytes(kdump, writeKdump(pages, { excluded: new Set([3, 60]), dumpLevel: 17 }));
    expect(contents.partial).toBe(
      '8.00 KiB of guest memory were left out (dump level 17: zero pages, free pages) and cannot be read',
    );
    for (const left of [3, 60]) expect(readPhysical(contents, PAGE * left, PAGE)).toBeNull();
    for (const kept of [2, 4, 59, 61]) expect(readPhysical(contents, PAGE * kept, PAGE)).toEqual(pages[kept]);
  });

  it('of a split dump has its part; one of a dump without space says so', () => {
    const part = openBytes(kdump, writeKdump(pages, { part: { first: 10, end: 55 } }));
    expect(part.partial).toBe('one part of a split dump, pages 0xa to 0x37');
    expect(readPhysical(part, PAGE * 9, PAGE)).toBeNull();
    for (const number of [10, 39, 50, 54]) expect(readPhysical(part, PAGE * number, PAGE)).toEqual(pages[number]);
    expect(readPhysical(part, PAGE * 55, PAGE)).toBeNull();
    expect(openBytes(kdump, writeKdump(pages, { status: 8 })).partial).toBe('makedumpfile ran out of space while it wrote it');
  });

  it('flattened has what was written last, and zeros where nothing was', () => {
    expectPages(flatten(writeKdump(pages), 700, true));
    expectPages(flatten(writeKdump(pages), 1_000_000));
  });

  it('of 8 GiB is looked up without its tables in memory', () => {
    const folder = mkdtempSync(join(tmpdir(), 'unidbg-kdump-'));
    const path = join(folder, 'sparse');
    // 2 Mi pages of RAM, all the one page at the end of the file: headers and bitmaps by the writer's own shape, descriptors sparse but the last.
    const count = 2 ** 21;
    const head = writeKdump([samplePages(1)[0]!], { compression: 'none' }).subarray(0, 2 * PAGE);
    head.writeUInt32LE((2 * count) / 8 / PAGE, 436);
    head.writeBigUInt64LE(BigInt(count), PAGE + 96);
    const fd = openSync(path, 'w');
    writeSync(fd, head);
    writeSync(fd, Buffer.alloc(count / 4, 0xff), 0, count / 4, 2 * PAGE);
    const descriptors = 2 * PAGE + count / 4;
    const data = descriptors + 24 * count;
    const last = Buffer.alloc(24);
    last.writeBigUInt64LE(BigInt(data), 0);
    last.writeUInt32LE(PAGE, 8);
    writeSync(fd, last, 0, 24, descriptors + 24 * (count - 1));
    writeSync(fd, samplePages(2)[1]!, 0, PAGE, data);
    ftruncateSync(fd, data + PAGE);
    closeSync(fd);
    const source = openFileSource(path);
    const before = process.memoryUsage();
    const contents = kdump.open(source, { registersText: null, landmarks: [], physicalBase: 0n, format: null });
    expect(readPhysical(contents, (count - 1) * PAGE, PAGE)).toEqual(samplePages(2)[1]);
    expect(readPhysical(contents, (count - 2) * PAGE, PAGE)).toBeNull();
    expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(20e6);
    source.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a damaged kdump-compressed file', () => {
  const file = writeKdump(pages, { notes });
  const flat = flatten(file, 5000);
  const descriptors = 2 * PAGE + 2 * PAGE;

  it.each([
    ['plain', file],
    ['flattened', flat],
  ])('that is cut off (%s) has the pages before, and says about how many', (_, whole) => {
    const contents = openBytes(kdump, whole.subarray(0, whole.length - 60_000));
    expect(contents.partial).toMatch(/^cut off at .* KiB: about [1-9]\d? % of its pages are there$/);
    expect(readPhysical(contents, 0, PAGE)).toEqual(pages[0]);
    expect(readPhysical(contents, 69 * PAGE, PAGE)).toBeNull();
  });

  it('cut anywhere before its pages is partial or malformed', () => {
    for (const whole of [file, flat]) {
      for (let length = 0; length < descriptors + 3000; length += length < 200 || length % PAGE > PAGE - 3 ? 1 : 37) {
        const cut = whole.subarray(0, length);
        try {
          expect(openBytes(kdump, cut).partial).toMatch(/^cut off/);
        } catch (error) {
          expect(errorCode(error), `${length}: ${String(error)}`).toBe('DUMP_MALFORMED');
        }
      }
    }
  });

  it('with any bytes changed gives pages, nothing, or DUMP_*', () => {
    fc.assert(
      fc.property(
        fc.boolean(),
        fc.array(fc.tuple(fc.oneof(fc.nat(600), fc.nat(file.length - 1)), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), {
          minLength: 1,
          maxLength: 8,
        }),
        (isFlat, changes) => {
          const damaged = Buffer.from(isFlat ? flat : file);
          for (const [at, value] of changes) damaged[isFlat ? at + 4096 : at] = value;
          try {
            recogniseBytes(damaged);
            const contents = openBytes(kdump, damaged);
            for (const number of [0, 5, 39, 69]) readPhysical(contents, number * PAGE, PAGE);
          } catch (error) {
            expect(errorCode(error), String(error)).toMatch(/^DUMP_/);
          }
        },
      ),
      { numRuns: 250 },
    );
  });

  it('whose descriptor points to itself, behind the end, or claims 4 GiB has no such page', () => {
    const damaged = Buffer.from(file);
    damaged.writeBigUInt64LE(BigInt(descriptors), descriptors);
    damaged.writeBigUInt64LE(2n ** 63n, descriptors + 24);
    damaged.writeUInt32LE(0xffff_ffff, descriptors + 2 * 24 + 8);
    const contents = openBytes(kdump, damaged);
    for (const number of [0, 1, 2]) expect(readPhysical(contents, number * PAGE, PAGE)).toBeNull();
    expect(readPhysical(contents, 3 * PAGE, PAGE)).toEqual(pages[3]);
  });

  it('that claims 2^60 pages, or a zlib bomb, is refused without an allocation', () => {
    const huge = Buffer.from(file);
    huge.writeBigUInt64LE(2n ** 60n, PAGE + 96);
    expect(() => openBytes(kdump, huge)).toThrow(/pages/);
    const bomb = writeKdump([new Uint8Array(65_536)]);
    expect(readPhysical(openBytes(kdump, bomb), 0, PAGE)).toBeNull();
  });

  it('flattened with a record of no bytes, or one that overlaps all others, ends', () => {
    const empty = Buffer.from(flat);
    empty.writeBigUInt64BE(0n, 4096 + 8);
    expect(() => openBytes(kdump, empty)).toThrow(expect.objectContaining({ code: 'DUMP_MALFORMED' }));
    const overlapping = Buffer.from(flat);
    overlapping.writeBigUInt64BE(0n, 4096 + 16 + 5000);
    expect(() => openBytes(kdump, overlapping)).toThrow(expect.objectContaining({ code: 'DUMP_MALFORMED' }));
  });
});
