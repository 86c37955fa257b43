// Values as text, from layouts made by hand: what a stack's line shows, and that hostile memory cannot make it long or dangerous.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Contents, memoryContents, missingContents, valueContents } from '../../src/dwarf/contents.ts';
import type { Layout, LayoutMember } from '../../src/model/layout.ts';
import { formatValue, type ValueGuest } from '../../src/symbolize/values.ts';

const integer = (size: number, signed = true): Layout => ({ kind: 'integer', name: 'int', size, signed });
const CHAR: Layout = { kind: 'integer', name: 'char', size: 1, signed: true, is: 'character' };
const BOOL: Layout = { kind: 'integer', name: 'bool', size: 1, signed: false, is: 'boolean' };
const U8 = integer(1, false);
const INT = integer(4);
const LONG = integer(8);
const pointer = (target: Layout | null, is?: 'reference'): Layout => ({
  ...{ kind: 'pointer', name: 'pointer', size: 8, target: () => target },
  ...(is === undefined ? {} : { is }),
});
const member = (name: string, offset: number, layout: Layout, more: Partial<LayoutMember> = {}): LayoutMember => ({
  ...{ name, offset, layout: () => layout, bits: null },
  ...more,
});
const struct = (name: string, size: number, members: readonly LayoutMember[]): Extract<Layout, { kind: 'struct' | 'union' }> => ({
  ...{ kind: 'struct', name, size, members },
});
const array = (element: Layout, count: number | null): Layout => ({
  ...{ kind: 'array', name: 'array', size: (count ?? 0) * element.size, element: () => element, count },
});
const enumeration = (names: Readonly<Record<string, bigint>>, more: { scoped?: true; signed?: true } = {}): Layout => ({
  ...{ kind: 'enum', name: 'Colour', size: 4 },
  enumerators: Object.entries(names).map(([name, value]) => ({ name, value })),
  ...more,
});

/** Guest memory: texts and words at addresses. */
const MEMORY = new Map<bigint, Uint8Array>([
  [0x1000n, Buffer.from('hello\0')],
  [0x2000n, Buffer.from('\u001b[31mred\u0007\n"quoted"\u202e\u00e9\0')],
  [0x3000n, Buffer.from('x'.repeat(300))],
  [0x4ffcn, Buffer.from('end!')],
  [0x6000n, words(7n, 0x1000n)],
  [0x7000n, words(1n, 2n, 3n, 4n, 5n, 6n)],
]);
const guest: ValueGuest = {
  machine: 'x86_64',
  functionAt: (address) => (address === 0x8000n ? 'callback' : null),
  memory: {
    read: (address, length) => {
      for (const [start, bytes] of MEMORY) {
        const from = Number(address - start);
        if (address >= start && from + length <= bytes.length) return bytes.subarray(from, from + length);
        if (address >= start && from < bytes.length && start !== 0x4ffcn) {
          return Uint8Array.from({ length }, (_, at) => bytes[from + at] ?? 0);
        }
      }
      return null;
    },
  },
};

function words(...values: readonly bigint[]): Uint8Array {
  const out = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => out.writeBigUInt64LE(BigInt.asUintN(64, value), index * 8));
  return out;
}

const of = (layout: Layout, ...values: readonly bigint[]): string =>
  formatValue(valueContents(words(...values)), layout, guest).text;

describe('a scalar', () => {
  it.each<[string, Layout, bigint, string]>([
    ['a signed number', INT, -7n, '-7'],
    ['an unsigned one', integer(4, false), -7n, '4294967289'],
    ['a character', CHAR, 0x78n, "120 'x'"],
    ['a control character', CHAR, 0x1bn, "27 '\\033'"],
    ['a character beyond ASCII', { ...CHAR, size: 4, signed: false }, 0xe9n, "233 '\u00e9'"],
    ['a lone surrogate', { ...CHAR, size: 4, signed: false }, 0xd800n, "55296 '\ufffd'"],
    ['true', BOOL, 1n, 'true'],
    ['a boolean that is none', BOOL, 2n, '2'],
    ['an enumerator', enumeration({ RED: 0n, GREEN: 5n }), 5n, 'GREEN'],
    ['a scoped enumerator', enumeration({ red: 0n }, { scoped: true }), 0n, 'Colour::red'],
    ['a negative enumerator', enumeration({ LOW: -3n }, { signed: true }), -3n, 'LOW'],
    ['flags', enumeration({ A: 1n, B: 2n, C: 8n }), 9n, '(A | C)'],
    ['flags with a bit nobody named', enumeration({ A: 1n, B: 2n }), 5n, '5'],
    ['a number that is no enumerator', enumeration({ RED: 0n, GREEN: 5n }), 3n, '3'],
    ['a double', { kind: 'float', name: 'double', size: 8 }, 0x3fb999999999999an, '0.1'],
    ['a float', { kind: 'float', name: 'float', size: 4 }, 0x3dcccccdn, '0.1'],
    ['an infinity', { kind: 'float', name: 'float', size: 4 }, 0xff800000n, '-inf'],
    ['not a number', { kind: 'float', name: 'double', size: 8 }, 0x7ff8000000000000n, 'nan'],
    ['no member', { kind: 'member-pointer', name: '', size: 8, ofFunction: false }, -1n, 'NULL'],
    ['a function', pointer({ kind: 'function', name: '()', size: 0 }), 0x8000n, '0x8000 <callback>'],
    ['null', pointer(CHAR), 0n, '0x0'],
    ['a pointer to anything', pointer(null), 0x1234n, '0x1234'],
  ])('%s', (_, layout, value, expected) => {
    expect(of(layout, value)).toBe(expected);
  });

  it('of 80 and of 128 bits', () => {
    expect(of({ kind: 'float', name: 'long double', size: 16 }, 0xc000000000000000n, 0x4000n)).toBe('3');
    expect(of({ kind: 'complex', name: 'complex double', size: 16 }, 0x3ff0000000000000n, 0x4000000000000000n)).toBe('1 + 2i');
    expect(of(integer(16), -1n, -1n)).toBe('-1');
    expect(of(integer(16, false), 0n, 1n)).toBe('18446744073709551616');
  });
});

describe('text', () => {
  it('of a guest is escaped: no control character and no direction mark goes through', () => {
    expect(of(pointer(CHAR), 0x1000n)).toBe('0x1000 "hello"');
    expect(of(pointer(CHAR), 0x2000n)).toBe('0x2000 "\\033[31mred\\007\\n\\"quoted\\"\\342\\200\\256\u00e9"');
  });

  it('is cut where it is long, and read to the end of the last page', () => {
    expect(of(pointer(CHAR), 0x3000n)).toBe(`0x3000 "${'x'.repeat(48)}"...`);
    expect(of(pointer(CHAR), 0x4ffcn)).toBe('0x4ffc "end!"...');
    expect(of(pointer(CHAR), 0x9000n)).toBe('0x9000 <unreadable>');
    expect(of(array(CHAR, 8), 0x6f6c6c6568n)).toBe('"hello"');
  });

  it.each<[string, Layout, readonly bigint[], string]>([
    ["Rust's &str", struct('&str', 16, [member('data_ptr', 0, pointer(U8)), member('length', 8, LONG)]), [0x1000n, 4n], '"hell"'],
    [
      'a slice of Rust',
      struct('&[i64]', 16, [member('data_ptr', 0, pointer(LONG)), member('length', 8, LONG)]),
      [0x7000n, 6n],
      '[1, 2, 3, 4...]',
    ],
    [
      "Rust's String, however deep the pointer lies",
      struct('String', 24, [
        member(
          'vec',
          0,
          struct('Vec<u8>', 24, [
            member('buf', 8, struct('RawVec', 16, [member('ptr', 0, struct('Unique', 8, [member('p', 0, pointer(U8))]))])),
            member('len', 0, LONG),
          ]),
        ),
      ]),
      [5n, 0x1000n],
      '"hello"',
    ],
    ["Go's string", struct('string', 16, [member('str', 0, pointer(U8)), member('len', 8, LONG)]), [0x1000n, 5n], '"hello"'],
    [
      'a slice of Go',
      struct('[]int', 24, [member('array', 0, pointer(LONG)), member('len', 8, LONG), member('cap', 16, LONG)]),
      [0x7000n, 2n, 9n],
      '[1, 2]',
    ],
    [
      'std::string',
      struct('basic_string<char, std::char_traits<char>, std::allocator<char> >', 32, [
        member('_M_dataplus', 0, struct('_Alloc_hider', 8, [member('_M_p', 0, pointer(CHAR))])),
        member('_M_string_length', 8, LONG),
      ]),
      [0x1000n, 5n],
      '"hello"',
    ],
    [
      'a length that lies',
      struct('string', 16, [member('str', 0, pointer(U8)), member('len', 8, LONG)]),
      [0x9000n, -1n],
      '<unreadable>',
    ],
  ])('%s', (_, layout, values, expected) => {
    expect(of(layout, ...values)).toBe(expected);
  });
});

describe('a structure', () => {
  const LIST = struct('list', 16, [member('size', 0, LONG), member('head', 8, pointer(CHAR))]);

  it('is shown one level deep, behind a pointer too', () => {
    expect(of(LIST, 7n, 0x1000n)).toBe('{size=7, head=0x1000 "hello"}');
    expect(of(pointer(LIST), 0x6000n)).toBe('0x6000 {size=7, head=0x1000 "hello"}');
    expect(of(struct('outer', 16, [member('inner', 0, LIST)]), 7n, 0n)).toBe('{inner={...}}');
    expect(of(pointer(LIST), 0x9000n)).toBe('0x9000 <unreadable>');
    expect(of(pointer(pointer(LIST)), 0x6000n)).toBe('0x6000');
    expect(of(pointer(LIST, 'reference'), 0x6000n)).toBe('@0x6000: {size=7, head=0x1000 "hello"}');
  });

  it('has bit-fields, and bases in place', () => {
    const bits = struct('bits', 8, [
      member('a', 0, integer(4, false), { bits: { offset: 0, size: 3 } }),
      member('b', 0, INT, { bits: { offset: 3, size: 5 } }),
      member('c', 0, integer(8, false), { bits: { offset: 8, size: 40 } }),
    ]);
    expect(of(bits, 0x123456789a_edn)).toBe('{a=5, b=-3, c=78187493530}');
    const derived = struct('derived', 16, [member('base', 0, LIST, { base: 'direct' }), member('own', 8, BOOL)]);
    expect(of(derived, 7n, 0n)).toBe('{size=7, head=0x0, own=false}');
  });

  it('has a virtual base where its table says, once', () => {
    const base = struct('Base', 8, [member('id', 0, LONG)]);
    const locate = (object: bigint): bigint => object + 8n;
    const left = member('Base', 0, base, { base: 'virtual', locate });
    const both = struct('Both', 16, [left, left, member('b', 0, LONG)]);
    expect(formatValue(memoryContents(guest.memory, 0x7000n), both, guest).text).toBe('{id=2, b=1}');
  });

  it('of which parts are gone shows the others', () => {
    const half: Contents = {
      address: null,
      pointee: null,
      read: (at, length) => (at < 8 ? words(7n).subarray(at, at + length) : 'optimized out'),
    };
    expect(formatValue(half, LIST, guest)).toEqual({ text: '{size=7, head=<optimized out>}', known: true });
    expect(formatValue(missingContents('not saved'), LIST, guest)).toEqual({ text: '<not saved>', known: false });
    expect(formatValue(missingContents('optimized out'), array(LIST, 3), guest)).toEqual({
      text: '<optimized out>',
      known: false,
    });
  });

  it('with variants shows the one that is there, be its tag a niche', () => {
    const some = struct('Some', 8, [member('__0', 0, LONG)]);
    const none = struct('None', 8, []);
    const option: Layout = {
      ...struct('Option<i64>', 8, []),
      variantParts: [
        {
          discriminant: member('', 0, integer(8, false)),
          variants: [
            { values: [{ low: 0n, high: 0n }], members: [member('None', 0, none)] },
            { values: null, members: [member('Some', 0, some)] },
          ],
        },
      ],
    };
    expect([of(option, 0n), of(option, 9n)]).toEqual(['None', 'Some(9)']);
    expect(formatValue(missingContents('optimized out'), option, guest).text).toBe('<optimized out>');
  });

  it('whose pointer was optimised out is still shown', () => {
    const pointee = (): Contents => valueContents(words(7n, 0n));
    const contents: Contents = { address: null, read: () => 'synthetic pointer', pointee };
    expect(formatValue(contents, pointer(LIST), guest).text).toBe('<synthetic pointer> {size=7, head=0x0}');
  });
});

it('a value is one short line of safe characters, whatever memory holds', () => {
  const text = pointer(CHAR);
  const deep = struct('deep', 64, [
    ...Array.from({ length: 6 }, (_, index) => member(`text${index}`, index * 8, text)),
    member('flags', 48, enumeration({ A: 1n })),
    member('name', 52, array(CHAR, 12)),
  ]);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.uint8Array({ minLength: 1, maxLength: 64 }), (own, other) => {
      const memory = { read: (_: bigint, length: number) => Uint8Array.from({ length }, (__, at) => other[at % other.length]!) };
      for (const layout of [deep, pointer(deep), array(deep, 1000), array(CHAR, 64), struct('string', 16, deep.members)]) {
        const { text: shown } = formatValue(valueContents(own), layout, { ...guest, memory });
        expect(shown.length).toBeLessThanOrEqual(160);
        expect(shown).toMatch(/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u);
      }
    }),
    { numRuns: 500 },
  );
});
