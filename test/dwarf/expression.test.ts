import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ExpressionContext, evaluateExpression } from '../../src/dwarf/expression.ts';
import { errorCode } from '../../src/model/error.ts';

const CONTEXT: ExpressionContext = {
  addressSize: 8,
  register: (number) => (number < 17 ? BigInt(number) * 0x100n : null),
  readMemory: (address, size) => (address < 0x10000n ? BigInt.asUintN(size * 8, address * 3n) : null),
  loadBias: 0x1000_0000n,
  cfa: 0x7000n,
};

const evaluate = (hex: string, initial: readonly bigint[] = []): bigint | null =>
  evaluateExpression(Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')), CONTEXT, initial);

describe('a DWARF expression', () => {
  it.each<[string, string, bigint]>([
    ['lit31', '4f', 31n],
    ['const1s −1', '09 ff', 0xffff_ffff_ffff_ffffn],
    ['const2u, const4u, plus', '0a 3412 0c 78563412 22', 0x12346_8acn],
    ['addr is moved by the load bias', '03 0010000000000000', 0x1000_1000n],
    ['breg7 8 (rsp+8)', '77 08', 0x708n],
    ['bregx 16 −16', '92 10 70', 0xff0n],
    ['deref', '77 00 06', 0x1500n],
    ['deref_size 1', '77 01 94 01', 3n],
    ['dup mul', '35 12 1e', 25n],
    ['over minus', '33 31 14 1c', BigInt.asUintN(64, -2n)],
    ['pick 2', '31 32 33 15 02', 1n],
    ['swap minus', '33 31 16 1c', BigInt.asUintN(64, -2n)],
    ['rot', '31 32 33 17', 2n],
    ['signed division', '09 f8 33 1b', BigInt.asUintN(64, -2n)],
    ['shra keeps the sign', '09 f0 32 26', BigInt.asUintN(64, -4n)],
    ['shl past the width', '31 08 40 24', 0n],
    ['abs of −5', '09 fb 19', 5n],
    ['not', '30 20', 0xffff_ffff_ffff_ffffn],
    ['signed comparison', '09 ff 31 2d', 1n],
    ['plus_uconst', '31 23 8001', 129n],
    ['a taken branch', '31 28 0100 4f 35', 5n],
    ['call_frame_cfa', '9c', 0x7000n],
    // What the linker writes for a PLT: the CFA grows by 8 in the second half of each 16-byte slot.
    ['the CFA of a PLT slot', '77 08 80 00 3f 1a 3b 2a 33 24 22', 0x708n],
  ])('%s', (_, hex, expected) => {
    expect(evaluate(hex)).toBe(expected);
  });

  it('starts register rules with the CFA on the stack', () => {
    expect(evaluate('23 10', [0x4000n])).toBe(0x4010n);
  });

  it('is null when a register or memory that it needs cannot be had', () => {
    expect(evaluate('92 20 00')).toBeNull();
    expect(evaluate('0e 0000000000000070 06')).toBeNull();
  });

  it.each<[string, string]>([
    ['an empty stack', '22'],
    ['nothing at all', ''],
    ['a cut-off operand', '0c 0011'],
    ['an endless loop', '2f fdff'],
    ['a stack that only grows', '31 2f fcff'],
    ['a branch out of it', '2f 0070'],
    ['a division by zero', '31 30 1b'],
    ['an operator that call frame information may not use', '91 00'],
    ['an unknown operator', 'ff'],
    ['a dereference of nine bytes', '31 94 09'],
  ])('is malformed with %s', (_, hex) => {
    expect(() => evaluate(hex)).toThrow(expect.objectContaining({ code: 'CFI_MALFORMED' }) as Error);
  });

  it('throws nothing but CFI_MALFORMED on any bytes, and comes to an end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          const value = evaluateExpression(bytes, CONTEXT, [1n]);
          expect(value === null || (value >= 0n && value < 1n << 64n)).toBe(true);
        } catch (error) {
          expect(errorCode(error)).toBe('CFI_MALFORMED');
        }
      }),
      { numRuns: 2000 },
    );
  });
});
