// Location descriptions: where an expression says that an object is, and the bytes that are there.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ContentsContext, contentsAt, missingContents, partOf, valueContents } from '../../src/dwarf/contents.ts';
import { evaluateLocation, type Location, type LocationContext } from '../../src/dwarf/location.ts';
import { errorCode } from '../../src/model/error.ts';

const DOUBLE = 0x20;
const SHORT = 0x30;
const CONTEXT: LocationContext = {
  addressSize: 8,
  offsetSize: 4,
  referenceSize: 4,
  loadBias: 0x1000n,
  cfa: 0x7000n,
  register: (number) => (number < 17 ? BigInt(number) * 0x100n : null),
  readMemory: (address, size) => (address < 0x10000n ? BigInt.asUintN(size * 8, address * 3n) : null),
  frameBase: () => 0x6000n,
  // An index beyond 2^53 reads as Infinity: no table has it.
  indexedAddress: (index) => (Number.isSafeInteger(index) ? 0x400000n + BigInt(index) : null),
  indexedConstant: (index) => (Number.isSafeInteger(index) ? 0x300000n + BigInt(index) : null),
  scalarType: (offset) =>
    offset === DOUBLE
      ? { kind: 'float', signed: true, size: 8 }
      : offset === SHORT
        ? { kind: 'integer', signed: true, size: 2 }
        : null,
  entryValue: (expression) => (expression[0] === 0x55 ? 42n : null),
  parameterValue: (offset) => (offset === 0x1234 ? 77n : null),
  expressionOf: (offset) => (offset === 0x99 ? bytes('77 10') : null),
};
const contents: ContentsContext = {
  memory: {
    read: (address, length) => (address < 0x10000n ? Uint8Array.from({ length }, (_, at) => Number(address) + at) : null),
  },
  registerBytes: (number) => (number < 17 ? Uint8Array.from([number, 0xab, 0, 0, 0, 0, 0, 0x80]) : 'not saved'),
  implicitTarget: (offset) => valueContents(Uint8Array.from([offset, 1, 2, 3, 4])),
};

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
}

const locate = (hex: string): Location => evaluateLocation(bytes(hex), CONTEXT);

function read(hex: string, length: number, offset = 0): string {
  const found = contentsAt(locate(hex), contents).read(offset, length);
  return typeof found === 'string' ? found : Buffer.from(found).toString('hex');
}

describe('a location description', () => {
  it.each<[string, string, Location]>([
    ['nothing is nowhere', '', { kind: 'missing', why: 'optimized out' }],
    ['fbreg −16', '91 70', { kind: 'memory', address: 0x5ff0n }],
    ['addr moves with the image', '03 00 20 00 00 00 00 00 00', { kind: 'memory', address: 0x3000n }],
    ['addrx', 'a1 05', { kind: 'memory', address: 0x400005n }],
    ['GNU_addr_index', 'fb 05', { kind: 'memory', address: 0x400005n }],
    ['reg5', '55', { kind: 'register', register: 5 }],
    ['regx 200', '90 c8 01', { kind: 'register', register: 200 }],
    ['implicit_value', '9e 02 aa bb', { kind: 'value', bytes: bytes('aabb') }],
    ['a value from a register', '75 01 9f', { kind: 'value', bytes: bytes('0105 000000000000') }],
    ['constx', 'a2 02 9f', { kind: 'value', bytes: bytes('020030 0000000000') }],
    ['entry_value', 'a3 01 55 9f', { kind: 'value', bytes: bytes('2a 00000000000000') }],
    ['GNU_entry_value', 'f3 01 55 31 22 9f', { kind: 'value', bytes: bytes('2b 00000000000000') }],
    ['an entry value nobody knows', 'a3 01 54 9f', { kind: 'missing', why: 'optimized out' }],
    ['GNU_parameter_ref', 'fa 34 12 00 00 9f', { kind: 'value', bytes: bytes('4d 00000000000000') }],
    ['implicit_pointer', 'a0 40 00 00 00 04', { kind: 'implicit-pointer', target: 0x40, offset: 4 }],
    ['a register that is not known', '92 20 00', { kind: 'missing', why: 'not saved' }],
    ['memory that is not there', '0e 00 00 00 00 00 00 00 70 06', { kind: 'missing', why: 'unreadable at 0x7000000000000000' }],
    ['thread-local storage', '08 10 9b', { kind: 'missing', why: 'thread-local' }],
    ['call2 of an entry', '98 99 00 23 01', { kind: 'memory', address: 0x711n }],
    ['call2 of an entry without a location', '98 98 00', { kind: 'missing', why: 'optimized out' }],
  ])('%s', (_, hex, expected) => {
    expect(locate(hex)).toEqual(expected);
  });

  it.each<[string, string, string]>([
    // 1.5 + 2.5, as doubles: const_type, const_type, plus.
    [
      'arithmetic of doubles',
      `a4 ${DOUBLE.toString(16)} 08 000000000000f83f a4 20 08 0000000000000440 22 9f`,
      '0000000000001040',
    ],
    ['a double to an integer', 'a4 20 08 0000000000000cc0 a8 30 9f', 'fdff'],
    ['a short is sign-extended to a double', 'a4 30 02 feff a8 20 9f', '00000000000000c0'],
    ['shorts wrap', 'a4 30 02 ff7f a4 30 02 0100 22 9f', '0080'],
    ['signed division of shorts', 'a4 30 02 f8ff a4 30 02 0300 1b 9f', 'feff'],
    ['regval_type', 'a5 05 30 9f', '0005'],
    ['deref_type', '0a 0010 a6 02 30 9f', '0030'],
    ['reinterpret', 'a4 30 02 feff a9 00 9f', 'feff000000000000'],
  ])('computes with types: %s', (_, hex, expected) => {
    const location = locate(hex);
    expect(location.kind === 'value' ? Buffer.from(location.bytes).toString('hex') : location).toBe(expected);
  });

  it.each<[string, string]>([
    ['a register that goes on', '55 31 22'],
    ['operands of two types', 'a4 20 08 000000000000f83f a4 30 02 0100 22'],
    ['an operator nobody knows', 'c3'],
    ['a piece beyond any object', '55 93 ff ff ff ff ff ff 01'],
    ['a cut-off operand', '9e 05 00'],
  ])('is malformed: %s', (_, hex) => {
    expect(() => locate(hex)).toThrow(expect.objectContaining({ code: 'DWARF_MALFORMED' }) as Error);
  });

  it('gives a location or a typed error whatever its bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (expression) => {
        try {
          contentsAt(evaluateLocation(expression, CONTEXT), contents).read(0, 16);
        } catch (error) {
          if (errorCode(error) !== 'DWARF_MALFORMED') throw error;
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('the bytes of an object', () => {
  it('come from registers and memory, from the offset on', () => {
    expect(read('55', 2)).toBe('05ab');
    expect(read('55', 1, 7)).toBe('80');
    expect(read('55', 4, 6)).toBe('optimized out');
    expect(read('08 10', 2, 1)).toBe('1112');
    expect(read('0e 00 00 00 00 00 00 00 70', 1, 3)).toBe('unreadable at 0x7000000000000003');
  });

  it('come from pieces, each where it is', () => {
    // rsi's low half, a constant, nothing at all, memory.
    const pieces = '54 93 04 38 9f 93 04 93 02 08 10 93 02';
    expect(read(pieces, 4)).toBe('04ab0000');
    expect(read(pieces, 8)).toBe('04ab000008000000');
    expect(read(pieces, 2, 10)).toBe('1011');
    expect(read(pieces, 12)).toBe('optimized out');
    expect(read(pieces, 1, 12)).toBe('optimized out');
  });

  it('come from pieces of bits that fit no byte', () => {
    // Bits 0–3 are bits 4–7 of 0x53, bits 4–15 are bits 0–11 of rsi (0xab04).
    expect(read('9e 01 53 9d 04 04 54 9d 0c 00', 2)).toBe('45b0');
  });

  it('of a pointer that is gone are behind it', () => {
    const pointer = contentsAt(locate('a0 40 00 00 00 01'), contents);
    expect(pointer.read(0, 8)).toBe('synthetic pointer');
    expect(pointer.pointee?.().read(0, 2)).toEqual(Uint8Array.from([1, 2]));
  });

  it('of a part are those of the whole', () => {
    const whole = valueContents(bytes('00112233'));
    expect(partOf(partOf(whole, 1), 1).read(0, 2)).toEqual(bytes('2233'));
    expect(partOf(whole, 3).read(0, 2)).toBe('optimized out');
    expect(partOf(missingContents('not saved'), 2).read(0, 1)).toBe('not saved');
  });
});
