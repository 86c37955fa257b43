import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/bytes/cursor.ts';
import { FORM } from '../../src/dwarf/constants.ts';
import {
  type Encoding,
  readBigConstant,
  readBlock,
  readConstant,
  readFlag,
  readReference,
  readSectionOffset,
  skipForm,
} from '../../src/dwarf/forms.ts';
import { errorCode } from '../../src/model/error.ts';

const DWARF5: Encoding = { version: 5, addressSize: 8, offsetSize: 4 };
const DWARF64: Encoding = { version: 5, addressSize: 8, offsetSize: 8 };
const DWARF2: Encoding = { version: 2, addressSize: 4, offsetSize: 4 };

/** Bytes each form takes of `01 02 03 …` in 32-bit and 64-bit DWARF 5: sections 7.5.5 and 7.5.6. Lengths stand in the bytes themselves. */
const SIZES: Readonly<Record<string, readonly [bytes: readonly number[], size32: number, size64: number]>> = {
  addr: [[], 8, 8],
  block2: [[2, 0], 4, 4],
  block4: [[3, 0, 0, 0], 7, 7],
  data2: [[], 2, 2],
  data4: [[], 4, 4],
  data8: [[], 8, 8],
  string: [[0x61, 0x62, 0], 3, 3],
  block: [[5], 6, 6],
  block1: [[4], 5, 5],
  data1: [[], 1, 1],
  flag: [[], 1, 1],
  sdata: [[0xff, 0x7f], 2, 2],
  strp: [[], 4, 8],
  udata: [[0x80, 0x80, 1], 3, 3],
  ref_addr: [[], 4, 8],
  ref1: [[], 1, 1],
  ref2: [[], 2, 2],
  ref4: [[], 4, 4],
  ref8: [[], 8, 8],
  ref_udata: [[0x80, 1], 2, 2],
  sec_offset: [[], 4, 8],
  exprloc: [[3], 4, 4],
  flag_present: [[], 0, 0],
  strx: [[0x81, 1], 2, 2],
  addrx: [[0x81, 1], 2, 2],
  ref_sup4: [[], 4, 4],
  strp_sup: [[], 4, 8],
  data16: [[], 16, 16],
  line_strp: [[], 4, 8],
  ref_sig8: [[], 8, 8],
  implicit_const: [[], 0, 0],
  loclistx: [[0x81, 1], 2, 2],
  rnglistx: [[0x81, 1], 2, 2],
  ref_sup8: [[], 8, 8],
  strx1: [[], 1, 1],
  strx2: [[], 2, 2],
  strx3: [[], 3, 3],
  strx4: [[], 4, 4],
  addrx1: [[], 1, 1],
  addrx2: [[], 2, 2],
  addrx3: [[], 3, 3],
  addrx4: [[], 4, 4],
  LLVM_addrx_offset: [[0x81, 1], 6, 6],
  GNU_addr_index: [[0x81, 1], 2, 2],
  GNU_str_index: [[0x81, 1], 2, 2],
  GNU_ref_alt: [[], 4, 8],
  GNU_strp_alt: [[], 4, 8],
};

function cursorOver(start: readonly number[], length = 32): Cursor {
  return new Cursor(Uint8Array.from({ length }, (_, at) => start[at] ?? at + 1));
}

describe('every form', () => {
  it('is in the table of this test, but DW_FORM_indirect, which names another', () => {
    expect(Object.keys(FORM).filter((name) => !(name in SIZES))).toEqual(['indirect']);
  });

  it.each(Object.entries(SIZES))('%s is skipped by its size in either format', (name, [bytes, size32, size64]) => {
    const form = FORM[name as keyof typeof FORM];
    for (const [encoding, size] of [
      [DWARF5, size32],
      [DWARF64, size64],
    ] as const) {
      const cursor = cursorOver(bytes);
      skipForm(cursor, form, encoding);
      expect(cursor.offset).toBe(size);
    }
  });

  it.each(Object.entries(SIZES))(
    '%s is passed by every reader, of its class or not, and refused when cut off',
    (name, [bytes, size]) => {
      const form = FORM[name as keyof typeof FORM];
      const readers = [
        (cursor: Cursor) => readConstant(cursor, form, 1, DWARF5),
        (cursor: Cursor) => readFlag(cursor, form, DWARF5),
        (cursor: Cursor) => readSectionOffset(cursor, form, DWARF5),
        (cursor: Cursor) => readReference(cursor, form, DWARF5),
        (cursor: Cursor) => readBlock(cursor, form, DWARF5),
        (cursor: Cursor) => readBigConstant(cursor, { form, implicitConst: 1 }, DWARF5, true),
      ];
      for (const read of readers) {
        const cursor = cursorOver(bytes);
        read(cursor);
        expect(cursor.offset).toBe(size);
        for (let length = 0; length < size; length += 1) {
          expect(() => read(cursorOver(bytes, length))).toThrow(expect.objectContaining({ code: 'BYTES_OUT_OF_RANGE' }));
        }
      }
    },
  );
});

describe('values', () => {
  it('of class constant keep their sign and all 64 bits', () => {
    const minusTwo = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    expect(readConstant(cursorOver([0x7e]), FORM.sdata, 0, DWARF5)).toBe(-2);
    expect(readConstant(cursorOver(minusTwo), FORM.data1, 0, DWARF5)).toBe(254);
    expect(readConstant(cursorOver([]), FORM.implicit_const, -9, DWARF5)).toBe(-9);
    expect(readConstant(cursorOver(minusTwo), FORM.data8, 0, DWARF5)).toBe(Infinity);
    const big = (form: number, signed: boolean): bigint | null =>
      readBigConstant(cursorOver(minusTwo), { form, implicitConst: 0 }, DWARF5, signed);
    expect([big(FORM.data8, false), big(FORM.data8, true), big(FORM.data2, true)]).toEqual([0xffff_ffff_ffff_fffen, -2n, -2n]);
  });

  it('of class reference say where they count from', () => {
    expect(readReference(cursorOver([7]), FORM.ref1, DWARF5)).toEqual({ kind: 'unit', offset: 7 });
    expect(readReference(cursorOver([7, 0, 0, 0]), FORM.ref_addr, DWARF5)).toEqual({ kind: 'info', offset: 7 });
    expect(readReference(cursorOver([0x80, 1]), FORM.ref_udata, DWARF5)).toEqual({ kind: 'unit', offset: 128 });
    expect(readReference(cursorOver([]), FORM.GNU_ref_alt, DWARF5)).toEqual({ kind: 'sup', offset: 0x04030201 });
    expect(readReference(cursorOver([]), FORM.data4, DWARF5)).toBeNull();
  });

  it('of DWARF 2 write references to the section with the size of an address', () => {
    const cursor = cursorOver([9, 0, 0, 0]);
    expect(readReference(cursor, FORM.ref_addr, DWARF2)).toEqual({ kind: 'info', offset: 9 });
    expect(cursor.offset).toBe(4);
  });
});

it('an unknown form is an error that names it, since what follows it cannot be found', () => {
  for (const form of [0, 0x02, 0x2d, 0x1f7f, 2 ** 40]) {
    let code: string | null = null;
    try {
      skipForm(cursorOver([]), form, DWARF5);
    } catch (error) {
      code = errorCode(error);
    }
    expect(code).toBe('DWARF_UNKNOWN_FORM');
  }
});
