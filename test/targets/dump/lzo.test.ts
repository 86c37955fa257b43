// LZO1X and snappy, against what liblzo2 (through makedumpfile) and snappyjs write, and against damage.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { compress } from 'snappyjs';
import { describe, expect, it } from 'vitest';
import { kdump } from '../../../src/targets/dump/kdump.ts';
import { decompressLzo } from '../../../src/targets/dump/lzo.ts';
import { decompressSnappy } from '../../../src/targets/dump/snappy.ts';
import { writeCore } from './core-writer.ts';
import { samplePages } from './kdump-writer.ts';
import { openBytes, readPhysical } from './opened.ts';

describe('LZO1X', () => {
  it('gives the pages that liblzo2 compressed', () => {
    const pages = samplePages(600);
    const folder = mkdtempSync(join(tmpdir(), 'unidbg-lzo-'));
    writeFileSync(join(folder, 'core'), writeCore([{ physical: 0, bytes: Buffer.concat(pages) }], [{}]));
    execFileSync('makedumpfile', ['-l', '-d', '0', join(folder, 'core'), join(folder, 'lzo')], { stdio: 'ignore' });
    const file = readFileSync(join(folder, 'lzo'));
    rmSync(folder, { recursive: true });
    const contents = openBytes(kdump, file);
    expect(contents.title).toBe('kdump-compressed (lzo)');
    expect(file.length).toBeLessThan(0.8 * 4096 * pages.length);
    for (const [number, page] of pages.entries()) expect(readPhysical(contents, 4096 * number, 4096)).toEqual(page);
  });

  // By hand after lzo.rst: literals, then one instruction of each kind, then the end mark (0x11 0 0).
  it.each([
    ['only literals', [17 + 5, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]],
    ['a long literal run', [0, 1, ...Array<number>(19).fill(9)], Array<number>(19).fill(9)],
    ['2 bytes within 1 KiB after one literal', [17 + 1, 7, 0, 0], [7, 7, 7]],
    ['3 and 4 bytes within 2 KiB', [17 + 4, 1, 2, 3, 4, 0x40 | (3 << 2), 0], [1, 2, 3, 4, 1, 2, 3]],
    ['5 to 8 bytes within 2 KiB, overlapping', [17 + 4, 1, 2, 3, 4, 0xe0 | (1 << 2), 0], [1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 3, 4]],
    ['a block within 16 KiB and its literal', [17 + 4, 1, 2, 3, 4, 0x21, (3 << 2) | 1, 0, 8], [1, 2, 3, 4, 1, 2, 3, 8]],
  ])('knows %s', (_, instructions, expected) => {
    const out = new Uint8Array(expected.length);
    expect(decompressLzo(Uint8Array.from([...instructions, 0x11, 0, 0]), out)).toBe(true);
    expect([...out]).toEqual(expected);
  });

  it('refuses blocks from before the beginning, too much output, too little, and what has no end', () => {
    const end = [0x11, 0, 0];
    const cases: readonly (readonly [readonly number[], number])[] = [
      [[17 + 4, 1, 2, 3, 4, 0x40 | (3 << 2), 1, ...end], 7],
      [[17 + 4, 1, 2, 3, 4, ...end], 3],
      [[17 + 4, 1, 2, 3, 4, ...end], 5],
      [[17 + 4, 1, 2, 3, 4], 4],
      [[17 + 4, 1, 2, 3, 4, ...end, 0], 4],
      [[0, ...Array<number>(5000).fill(0)], 4096],
      [[], 0],
    ];
    for (const [input, size] of cases) expect(decompressLzo(Uint8Array.from(input), new Uint8Array(size))).toBe(false);
  });

  it('ends on any bytes, and writes nothing outside', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
        const memory = new Uint8Array(600).fill(0xaa);
        decompressLzo(input, memory.subarray(100, 500));
        expect(
          memory.subarray(0, 100).every((byte) => byte === 0xaa) && memory.subarray(500).every((byte) => byte === 0xaa),
        ).toBe(true);
      }),
      { numRuns: 1500 },
    );
  });
});

describe('snappy', () => {
  it('gives the pages that were compressed', () => {
    for (const page of samplePages(60)) {
      const out = new Uint8Array(4096);
      expect(decompressSnappy(compress(page), out)).toBe(true);
      expect(out).toEqual(page);
    }
  });

  it('refuses a claim of 4 GiB, and six bytes that make snappyjs go backwards for ever', () => {
    const page = new Uint8Array(4096);
    expect(decompressSnappy(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]), page)).toBe(false);
    expect(decompressSnappy(Uint8Array.from([0x80, 0x20, 0xfc, 0xfa, 0xff, 0xff, 0xff]), page)).toBe(false);
  });

  it('ends on any bytes that begin as a page, and on any damage of a page', () => {
    const packed = compress(samplePages(6)[4]!);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(packed.length - 1), fc.nat(255), (tail, at, value) => {
        decompressSnappy(Uint8Array.from([0x80, 0x20, ...tail]), new Uint8Array(4096));
        const damaged = Uint8Array.from(packed);
        damaged[at] = value;
        decompressSnappy(damaged, new Uint8Array(4096));
      }),
      { numRuns: 1500 },
    );
  });
});
