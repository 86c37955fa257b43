import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openElf } from '../../src/elf/file.ts';
import { UnidbgError } from '../../src/model/error.ts';
import { ByteWriter, type HandmadeElf, makeElf, makeSymbols } from './handmade-elf.ts';
import { outputOf, Scratch } from './scratch.ts';

const scratch = new Scratch();
afterAll(() => {
  scratch.remove();
});

const SHT = { PROGBITS: 1, SYMTAB: 2, RELA: 4, NOBITS: 8, REL: 9 };
const ALLOC = 2;
const CODE = ALLOC | 4;
const EM = { i386: 3, x86_64: 62, aarch64: 183, riscv64: 243 };

interface Entry {
  readonly at: bigint | number;
  readonly type: number;
  readonly symbol: number;
  readonly addend?: bigint | number;
}

type Order = Pick<HandmadeElf, 'bits' | 'littleEndian'>;
const LITTLE64: Order = { bits: 64, littleEndian: true };

function tableOf(order: Order, entries: readonly Entry[], withAddends: boolean): Uint8Array {
  const table = new ByteWriter(order);
  for (const { at, type, symbol, addend = 0 } of entries) {
    table.words(at, order.bits === 64 ? (BigInt(symbol) << 32n) | BigInt(type) : (symbol << 8) | type);
    if (withAddends) table.words(addend);
  }
  return table.done;
}

/** .text of 0x123 bytes, .data aligned to 16 behind it (0x130), and .debug_x with its relocations; symbols 1–5. */
function objectFile(
  machine: number,
  debug: Uint8Array,
  entries: readonly Entry[],
  options: { order?: Order; rel?: boolean; type?: number } = {},
): Uint8Array {
  const { order = LITTLE64, rel = false, type = 1 } = options;
  const symbols = [
    { value: 0x10n, section: 1 },
    { value: 0x8n, section: 2 },
    { value: 0xffff_ffff_8000_0000n & (order.bits === 64 ? 2n ** 64n - 1n : 0xffff_ffffn), section: 0xfff1 },
    { value: 0n, section: 0 },
    { value: 0x20n, section: 2, info: 6 },
  ];
  return makeElf({
    ...order,
    type,
    machine,
    sections: [
      { name: '.text', type: SHT.PROGBITS, flags: CODE, bytes: new Uint8Array(0x123) },
      { name: '.data', type: SHT.PROGBITS, flags: ALLOC, bytes: new Uint8Array(0x20), alignment: 16 },
      { name: '.debug_x', type: SHT.PROGBITS, bytes: debug },
      { name: '.rela.debug_x', type: rel ? SHT.REL : SHT.RELA, link: 5, info: 3, bytes: tableOf(order, entries, !rel) },
      { name: '.symtab', type: SHT.SYMTAB, link: 6, bytes: makeSymbols(order, symbols) },
    ],
  });
}

function relocated(bytes: Uint8Array): Uint8Array {
  const elf = openElf(scratch.write('handmade.o', bytes));
  const section = elf.findSection('.debug_x')!;
  const whole = elf.readSection(section);
  elf.close();
  return whole;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function fieldsOf(machine: number, length: number, entries: readonly Entry[], fill = 0): string {
  return hexOf(relocated(objectFile(machine, new Uint8Array(length).fill(fill), entries)));
}

describe('relocations of debug sections', () => {
  it('lay sections out one after the other, aligned, and add the address of the symbol in its section', () => {
    expect(fieldsOf(EM.x86_64, 8, [{ at: 0, type: 1, symbol: 2, addend: 1 }])).toBe('3901000000000000');
    const elf = openElf(scratch.write('laid.o', objectFile(EM.x86_64, new Uint8Array(0), [])));
    expect(elf.sections.slice(1, 4).map(({ address }) => address)).toEqual([0n, 0x130n, 0n]);
    expect([elf.imageBase, elf.imageEnd, elf.origin]).toEqual([0n, 0x150n, 0n]);
    elf.close();
  });

  it('of x86-64: absolute of each width, relative to their place, thread-local offsets, 64-bit symbols', () => {
    const entries = [
      { at: 0, type: 1, symbol: 3, addend: -1 },
      { at: 8, type: 10, symbol: 1, addend: 5 },
      { at: 12, type: 11, symbol: 3 },
      { at: 16, type: 12, symbol: 2 },
      { at: 18, type: 14, symbol: 1 },
      { at: 20, type: 2, symbol: 1 },
      { at: 24, type: 17, symbol: 5, addend: 2 },
      { at: 32, type: 24, symbol: 2 },
    ];
    expect(fieldsOf(EM.x86_64, 40, entries)).toBe(
      ['ffffff7fffffffff', '15000000', '00000080', '3801', '10', '00', 'fcffffff', '2200000000000000', '1801000000000000'].join(
        '',
      ),
    );
  });

  it('of i386 take their addend from the field', () => {
    const order: Order = { bits: 32, littleEndian: true };
    const debug = Uint8Array.of(4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0);
    const entries = [
      { at: 0, type: 1, symbol: 1 },
      { at: 4, type: 2, symbol: 2 },
      { at: 8, type: 20, symbol: 2 },
    ];
    expect(hexOf(relocated(objectFile(EM.i386, debug, entries, { order, rel: true })))).toBe('14000000330100003901');
  });

  it('of AArch64', () => {
    const entries = [
      { at: 0, type: 257, symbol: 1, addend: 1 },
      { at: 8, type: 258, symbol: 2 },
      { at: 12, type: 261, symbol: 2 },
      { at: 16, type: 260, symbol: 1 },
      { at: 24, type: 259, symbol: 1 },
      { at: 26, type: 0, symbol: 1 },
    ];
    expect(fieldsOf(EM.aarch64, 28, entries)).toBe('1100000000000000380100002c010000000000000000000010000000');
  });

  it('of RISC-V: differences of labels as pairs, in any width, the 6-bit and the ULEB128 ones too', () => {
    const pair = (at: number, type: number, from: number): Entry[] => [
      { at, type, symbol: 2, addend: 8 },
      { at, type: from, symbol: 1, addend: 4 },
    ];
    const debug = new Uint8Array(24);
    debug.set([0xc0], 19);
    debug.set([0x80, 0x80, 0x00], 20);
    const entries = [
      ...pair(0, 36, 40),
      ...pair(8, 35, 39),
      ...pair(12, 56, 39),
      ...pair(16, 34, 38),
      ...pair(18, 33, 37),
      ...pair(19, 53, 52),
      ...pair(20, 60, 61),
      { at: 20, type: 51, symbol: 1 },
    ];
    // .data + 8 + 8 is 0x140, .text + 0x10 + 4 is 0x14: 0x12c between them, 6 bits of it 0x2c.
    expect(hexOf(relocated(objectFile(EM.riscv64, debug, entries)))).toBe(
      ['2c01000000000000', '2c010000', '2c010000', '2c01', '2c', 'ec', 'ac8200', '00'].join(''),
    );
  });

  it('are read in either byte order', () => {
    const order: Order = { bits: 64, littleEndian: false };
    const entries = [{ at: 0, type: 257, symbol: 2, addend: 1 }];
    expect(hexOf(relocated(objectFile(EM.aarch64, new Uint8Array(8), entries, { order })))).toBe('0000000000000139');
  });

  it('of symbols defined elsewhere, of unknown types and outside of the section change nothing, and the types are told', () => {
    const entries = [
      { at: 0, type: 1, symbol: 4, addend: 9 },
      { at: 8, type: 99, symbol: 1 },
      { at: 13, type: 1, symbol: 1 },
      { at: 2n ** 63n, type: 1, symbol: 1 },
      { at: 8, type: 1, symbol: 77 },
    ];
    const elf = openElf(scratch.write('odd.o', objectFile(EM.x86_64, new Uint8Array(16).fill(7), entries)));
    expect(hexOf(elf.readSection(elf.findSection('.debug_x')!))).toBe('07'.repeat(16));
    expect(elf.damage).toEqual([expect.stringMatching(/odd\.o: relocations of type 99 are not known for x86_64/)]);
    elf.close();
  });

  it('are the same read in parts, with fields across the edges, and from tables in any order', () => {
    const length = 20_000;
    const entries = Array.from({ length: length / 9 }, (_, index) => ({ at: index * 9 + 1, type: 1, symbol: 2, addend: index }));
    entries.length -= 1;
    const sorted = openElf(scratch.write('sorted.o', objectFile(EM.x86_64, new Uint8Array(length), entries)));
    const shuffled = [...entries].sort((a, b) => (a.at % 101) - (b.at % 101));
    const unsorted = openElf(scratch.write('unsorted.o', objectFile(EM.x86_64, new Uint8Array(length), shuffled)));
    const section = sorted.findSection('.debug_x')!;
    // Read by position first: the whole is kept once it was read.
    fc.assert(
      fc.property(fc.integer({ min: 0, max: length }), fc.integer({ min: 0, max: 600 }), (offset, count) => {
        const size = Math.min(count, length - offset);
        const part = sorted.readSectionAt(section, offset, size);
        expect(hexOf(unsorted.readSectionAt(section, offset, size))).toBe(hexOf(part));
        for (let at = 0; at + 8 <= size; at += 1) {
          if ((offset + at) % 9 !== 1 || (offset + at - 1) / 9 >= entries.length) continue;
          const value = new DataView(part.buffer, part.byteOffset + at).getBigUint64(0, true);
          expect(value).toBe(0x138n + BigInt((offset + at - 1) / 9));
        }
      }),
      { numRuns: 200 },
    );
    const part = sorted.readSectionAt(section, 4090, 16);
    expect(hexOf(sorted.readSection(section).subarray(4090, 4106))).toBe(hexOf(part));
    expect(hexOf(unsorted.readSection(section))).toBe(hexOf(sorted.readSection(section)));
    sorted.close();
    unsorted.close();
  });

  it('are not applied to a linked file, where the linker has done so', () => {
    const debug = new Uint8Array(8).fill(1);
    expect(hexOf(relocated(objectFile(EM.x86_64, debug, [{ at: 0, type: 1, symbol: 1 }], { type: 2 })))).toBe('01'.repeat(8));
  });

  it('leave code alone', () => {
    const table = tableOf(LITTLE64, [{ at: 0, type: 1, symbol: 1, addend: 1 }], true);
    const bytes = makeElf({
      ...LITTLE64,
      type: 1,
      machine: EM.x86_64,
      sections: [
        { name: '.text', type: SHT.PROGBITS, flags: CODE, bytes: new Uint8Array(16) },
        { name: '.rela.text', type: SHT.RELA, link: 3, info: 1, bytes: table },
        { name: '.symtab', type: SHT.SYMTAB, link: 4, bytes: makeSymbols(LITTLE64, [{ value: 5n, section: 1 }]) },
      ],
    });
    const elf = openElf(scratch.write('code.o', bytes));
    expect(hexOf(elf.readSection(elf.findSection('.text')!))).toBe('00'.repeat(16));
    elf.close();
  });

  it('and sections that lie about each other give typed errors only, in bounded time', () => {
    const bytes = objectFile(EM.riscv64, new Uint8Array(64), [
      { at: 0, type: 36, symbol: 2, addend: 8 },
      { at: 9, type: 60, symbol: 1 },
    ]);
    const start = bytes.length - 7 * 64;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 64, max: bytes.length - 1 }), fc.constantFrom(0, 1, 2, 4, 9, 0x7f, 0xff)), {
          maxLength: 8,
        }),
        fc.boolean(),
        (changes, headersOnly) => {
          const changed = bytes.slice();
          for (const [at, value] of changes) changed[headersOnly ? start + (at % (7 * 64)) : at] = value;
          try {
            const elf = openElf(scratch.write('lies.o', changed));
            for (const section of elf.sections) {
              try {
                elf.readSection(section);
              } catch (error) {
                expect(error).toBeInstanceOf(UnidbgError);
              }
            }
            elf.readVirtual(0x130n, 8);
            elf.close();
          } catch (error) {
            expect(error).toBeInstanceOf(UnidbgError);
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

describe('relocations that gcc and ld write', () => {
  beforeAll(() => {
    scratch.write(
      'one.c',
      'int shared = 3;\nstatic int twice(int x) { return 2 * x; }\nint one(int x) { return twice(x) + shared; }\n',
    );
    scratch.write(
      'two.c',
      'extern int one(int);\n__attribute__((section(".text.two"))) int two(int x) { return one(x) + 1; }\nint main(void) { return two(0); }\n',
    );
  });

  /** Addresses in .debug_aranges: each is a relocation against code. */
  function rangesOf(path: string): string[] {
    const elf = openElf(path);
    const section = elf.findSection('.debug_aranges')!;
    const view = new DataView(elf.readSection(section).slice().buffer);
    const found: string[] = [];
    for (let at = 0; at + 4 <= view.byteLength; at += 4 + view.getUint32(at, true)) {
      for (let tuple = at + 16; tuple < at + 4 + view.getUint32(at, true); tuple += 16) {
        const [start, size] = [view.getBigUint64(tuple, true), view.getBigUint64(tuple + 8, true)];
        if (size > 0n) found.push(`${start.toString(16)}+${size.toString(16)}`);
      }
    }
    elf.close();
    return found;
  }

  it('are applied to .debug_aranges as the layout has it, in one object and in several joined by ld -r', () => {
    const one = scratch.compile('one.o', ['one.c'], ['-g', '-c']);
    const two = scratch.compile('two.o', ['two.c'], ['-g', '-c']);
    const joined = scratch.compile('joined.o', [one, two], ['-r', '-nostdlib']);
    for (const path of [one, two, joined]) {
      const elf = openElf(path);
      const code = elf.sections.filter(({ flags, size }) => (flags & CODE) === CODE && size > 0);
      const inCode = (start: bigint, size: bigint): boolean =>
        code.some((s) => s.address <= start && start + size <= s.address + BigInt(s.size));
      const ranges = rangesOf(path).map((range) => range.split('+').map((hex) => BigInt(`0x${hex}`)));
      expect(ranges.length).toBe(path === one ? 1 : path === two ? 2 : 3);
      expect(ranges.filter(([start, size]) => !inCode(start!, size!))).toEqual([]);
      elf.close();
    }
  });

  it('that --emit-relocs keeps in a program are not applied again', () => {
    const plain = scratch.compile('plain', ['one.c', 'two.c'], ['-g']);
    const kept = scratch.compile('kept', ['one.c', 'two.c'], ['-g', '-Wl,--emit-relocs']);
    expect(outputOf('readelf', ['-SW', kept])).toContain('.rela.debug_aranges');
    expect(rangesOf(kept)).toEqual(rangesOf(plain));
  });
});
