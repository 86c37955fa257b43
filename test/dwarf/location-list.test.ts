// Location lists made by hand: every kind of entry, in every version's form.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/bytes/cursor.ts';
import { findInLocationList } from '../../src/dwarf/location-list.ts';
import type { Unit } from '../../src/dwarf/unit.ts';
import { errorCode } from '../../src/model/error.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'));
const address = (value: number): string => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out.toString('hex');
};
/** Addresses by index: 0x1000, 0x1100, 0x1200, … */
const ADDRESSES = bytes(Array.from({ length: 8 }, (_, index) => address(0x1000 + index * 0x100)).join(''));

/** A unit whose only list is `list`; its addresses count from 0, its code starts at 0x5000. */
function unitOf(version: number, list: Uint8Array, options: { split?: boolean } = {}): Unit {
  const section = (name: string, content: Uint8Array): object => ({
    name,
    scan: <T>(offset: number, decode: (cursor: Cursor) => T): T => decode(new Cursor(content.subarray(offset))),
    cursor: (offset: number, length: number) => new Cursor(content.subarray(offset, offset + length)),
  });
  const sections = {
    origin: { high: 0, low: 0 },
    get: (name: string) => (name === 'debug_addr' ? section('.debug_addr', ADDRESSES) : section(`.${name}`, list)),
  };
  return {
    encoding: { version, addressSize: 8, offsetSize: 4 },
    header: { section: { name: options.split === true ? '.debug_info.dwo' : '.debug_info' } },
    root: { lowPc: 0x5000 },
    lowPc: 0x5000,
    addressBase: 0,
    addressSections: sections,
    sections,
  } as unknown as Unit;
}

function find(version: number, list: string, at: number, options: { split?: boolean; isEntry?: boolean } = {}): string | null {
  const found = findInLocationList(unitOf(version, bytes(list), options), 0, at, options.isEntry);
  return found === null ? null : Buffer.from(found).toString('hex');
}

describe('.debug_loclists', () => {
  const LIST = [
    '04 10 20 01 50', // offset_pair from the unit's base: 0x5010–0x5020
    `09 01 02 04 20 30 01 51`, // a view pair before its entry
    '01 02', // base_addressx: 0x1200
    '04 00 08 01 52',
    `06 ${address(0x9000)}`, // base_address
    '04 00 08 02 30 9f',
    '02 00 01 01 53', // startx_endx 0x1000–0x1100
    '03 03 10 01 54', // startx_length 0x1300–0x1310
    `07 ${address(0x7000)} ${address(0x7010)} 01 55`, // start_end
    `08 ${address(0x8000)} 10 01 56`, // start_length
    `07 ${address(0x8800)} ${address(0x8800)} 01 57`, // empty: before the first instruction
    '05 01 58', // default_location
    '00',
  ].join('');

  it.each<[number, string]>([
    [0x5010, '50'],
    [0x501f, '50'],
    [0x5020, '51'],
    [0x1207, '52'],
    [0x9000, '309f'],
    [0x1000, '53'],
    [0x10ff, '53'],
    [0x130f, '54'],
    [0x7000, '55'],
    [0x800f, '56'],
    [0x8010, '58'],
    [0x8800, '58'],
  ])('at 0x%s', (at, expected) => {
    expect(find(5, LIST, at)).toBe(expected);
  });

  it('takes an empty range for what holds when a function is entered, and only there', () => {
    expect(find(5, LIST, 0x8800, { isEntry: true })).toBe('57');
    expect(find(5, LIST, 0x8801, { isEntry: true })).toBe('58');
  });

  it('is malformed where an entry is of no known kind, and truncated where it ends early', () => {
    expect(() => find(5, '0b 00', 0)).toThrow(expect.objectContaining({ code: 'DWARF_MALFORMED' }) as Error);
    expect(() => find(5, '04 00 08 05 52', 0)).toThrow(expect.objectContaining({ code: 'DWARF_TRUNCATED' }) as Error);
  });
});

describe('.debug_loc', () => {
  const LIST = [
    `${address(0x10)} ${address(0x20)} 0100 50`,
    `${'ff'.repeat(8)} ${address(0x9000)}`,
    `${address(0)} ${address(8)} 0200 309f`,
    `${address(0)} ${address(0)}`,
  ].join('');

  it('counts from the unit and from base addresses', () => {
    expect(find(4, LIST, 0x5010)).toBe('50');
    expect(find(2, LIST, 0x501f)).toBe('50');
    expect(find(3, LIST, 0x9007)).toBe('309f');
    expect(find(4, LIST, 0x9008)).toBeNull();
  });

  it("in split units has GNU's entries", () => {
    const split = '02 00 01 0100 50  03 03 10000000 0100 51  01 05  00';
    expect(find(4, split, 0x1050, { split: true })).toBe('50');
    expect(find(4, split, 0x130f, { split: true })).toBe('51');
    expect(find(4, split, 0x1310, { split: true })).toBeNull();
  });
});

it('gives an expression, nothing or a typed error whatever its bytes are', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom(2, 4, 5), fc.boolean(), (list, version, split) => {
      try {
        findInLocationList(unitOf(version, list, { split }), 0, 0x5000, true);
      } catch (error) {
        if (errorCode(error) === null) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});
