// Arithmetic of DWARF expressions (DWARF 5 sections 2.5.1.4 and 2.5.1.5) on generic words and on typed entries: integers of
// any size, binary32 and binary64. Values are kept as unsigned bits; null is a result that cannot be had here.

/** A base type as far as expressions care. `size` in bytes. */
export interface ScalarType {
  readonly kind: 'integer' | 'float';
  readonly signed: boolean;
  readonly size: number;
}

type Unary = (value: bigint, type: ScalarType | null, bits: number) => bigint | null;
type Binary = (left: bigint, right: bigint, type: ScalarType | null, bits: number) => bigint | null;
type Operand = (value: bigint) => bigint;

/** Bits of a value of `type`; of a word where it has the generic type. */
function widthOf(type: ScalarType | null, bits: number): number {
  return type === null ? bits : type.size * 8;
}

/** How an operator sees its operands: signed as the type says; the generic type as the operator does. */
function operand(type: ScalarType | null, bits: number, genericIsSigned: boolean): Operand {
  const width = widthOf(type, bits);
  const signed = type === null ? genericIsSigned : type.signed;
  return (value) => (signed ? BigInt.asIntN(width, value) : BigInt.asUintN(width, value));
}

function integers(operate: (left: bigint, right: bigint) => bigint, genericIsSigned = false): Binary {
  return (left, right, type, bits) => {
    const see = operand(type, bits, genericIsSigned);
    return operate(see(left), see(right));
  };
}

function numbers(onIntegers: Binary, onFloats: (left: number, right: number) => number): Binary {
  return (left, right, type, bits) => {
    if (type?.kind !== 'float') return onIntegers(left, right, type, bits);
    const [first, second] = [decodeFloat(left, type.size), decodeFloat(right, type.size)];
    return first === null || second === null ? null : encodeFloat(onFloats(first, second), type.size);
  };
}

function comparison(holds: (left: bigint | number, right: bigint | number) => boolean): Binary {
  const onIntegers = integers((left, right) => (holds(left, right) ? 1n : 0n), true);
  return (left, right, type, bits) => {
    if (type?.kind !== 'float') return onIntegers(left, right, type, bits);
    const [first, second] = [decodeFloat(left, type.size), decodeFloat(right, type.size)];
    return first === null || second === null ? null : holds(first, second) ? 1n : 0n;
  };
}

function shift(operate: (value: bigint, count: bigint) => bigint, signed: boolean): Binary {
  return (left, right, type, bits) => {
    const width = widthOf(type, bits);
    const value = signed ? BigInt.asIntN(width, left) : BigInt.asUintN(width, left);
    return operate(value, right >= BigInt(width) ? BigInt(width) : right);
  };
}

const UNARY: Readonly<Record<number, Unary>> = {
  0x19: (value, type, bits) => {
    if (type?.kind === 'float') return clearTop(value, type.size * 8);
    const seen = operand(type, bits, true)(value);
    return seen < 0n ? -seen : seen;
  }, // abs
  0x1f: (value, type) => (type?.kind === 'float' ? value ^ (1n << BigInt(type.size * 8 - 1)) : -value), // neg
  0x20: (value) => ~value, // not
};

function clearTop(value: bigint, width: number): bigint {
  return BigInt.asUintN(width - 1, value);
}

const BINARY: Readonly<Record<number, Binary>> = {
  0x1a: integers((left, right) => left & right),
  0x1b: numbers(
    integers((left, right) => left / right, true),
    (left, right) => left / right,
  ),
  0x1c: numbers(
    integers((left, right) => left - right),
    (left, right) => left - right,
  ),
  0x1d: integers((left, right) => left % right),
  0x1e: numbers(
    integers((left, right) => left * right),
    (left, right) => left * right,
  ),
  0x21: integers((left, right) => left | right),
  0x22: numbers(
    integers((left, right) => left + right),
    (left, right) => left + right,
  ),
  0x24: shift((value, count) => value << count, false),
  0x25: shift((value, count) => value >> count, false),
  0x26: shift((value, count) => value >> count, true),
  0x27: integers((left, right) => left ^ right),
  0x29: comparison((left, right) => left === right),
  0x2a: comparison((left, right) => left >= right),
  0x2b: comparison((left, right) => left > right),
  0x2c: comparison((left, right) => left <= right),
  0x2d: comparison((left, right) => left < right),
  0x2e: comparison((left, right) => left !== right),
};

/** Operators by their opcode. */
export const arithmetic = {
  unary: (opcode: number): Unary | null => UNARY[opcode] ?? null,
  binary: (opcode: number): Binary | null => BINARY[opcode] ?? null,
  isDivision: (opcode: number): boolean => opcode === 0x1b || opcode === 0x1d,
  sameType: (one: ScalarType | null, other: ScalarType | null): boolean =>
    one === other || (one?.kind === other?.kind && one?.size === other?.size && one?.signed === other?.signed),
} as const;

/** The value of IEEE 754 bits of 4 or 8 bytes; null for any other size. */
export function decodeFloat(bits: bigint, size: number): number | null {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt.asUintN(64, bits), true);
  return size === 8 ? view.getFloat64(0, true) : size === 4 ? view.getFloat32(0, true) : null;
}

function encodeFloat(value: number, size: number): bigint | null {
  const view = new DataView(new ArrayBuffer(8));
  if (size === 8) view.setFloat64(0, value, true);
  else if (size === 4) view.setFloat32(0, value, true);
  else return null;
  return view.getBigUint64(0, true);
}

/** DW_OP_convert: the same number in another type; null where a type is not one of ours. */
export function convertScalar(value: bigint, from: ScalarType | null, to: ScalarType | null, bits: number): bigint | null {
  if (from?.kind !== 'float') {
    const number = operand(from, bits, false)(value);
    return to?.kind === 'float' ? encodeFloat(Number(number), to.size) : BigInt.asUintN(widthOf(to, bits), number);
  }
  const number = decodeFloat(value, from.size);
  if (number === null) return null;
  if (to?.kind === 'float') return encodeFloat(number, to.size);
  return Number.isFinite(number) ? BigInt.asUintN(widthOf(to, bits), BigInt(Math.trunc(number))) : null;
}
