import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeExactJson, type Json, parseExactJson } from '../../../src/qemu/qmp/exact-json.ts';

describe('exact JSON', () => {
  it('keeps integers beyond 2^53 to the last digit', () => {
    expect(parseExactJson('{"val": -140737488355327, "big": 18446744073709551615, "low": -9223372036854775808}')).toEqual({
      val: -140737488355327,
      big: 18446744073709551615n,
      low: -9223372036854775808n,
    });
  });

  it('is a number up to 2^53 − 1 and a bigint from 2^53 on', () => {
    expect(parseExactJson('9007199254740991')).toBe(9007199254740991);
    expect(parseExactJson('9007199254740992')).toBe(9007199254740992n);
  });

  it('leaves fractions and exponents numbers', () => {
    expect(parseExactJson('[1.5, 1e300, 12345678901234567890.5]')).toEqual([1.5, 1e300, 12345678901234567890.5]);
  });

  it('does not mistake digits in a string for a number', () => {
    expect(parseExactJson('"99999999999999999999"')).toBe('99999999999999999999');
  });

  it('writes what it reads', () => {
    const json = fc.letrec<{ value: Json }>((tie) => ({
      value: fc.oneof(
        fc.constant(null),
        fc.boolean(),
        fc.string(),
        fc.maxSafeInteger(),
        fc.bigInt().filter((value) => value > 2n ** 53n || value < -(2n ** 53n)),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          tie('value'),
          { maxKeys: 4, noNullPrototype: true },
        ),
      ),
    })).value;
    fc.assert(
      fc.property(json, (value) => {
        expect(parseExactJson(encodeExactJson(value))).toEqual(value);
      }),
    );
  });
});
