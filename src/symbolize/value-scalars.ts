// Numbers, characters, enumerators and floats as gdb prints them.

import { decodeFloat } from '../dwarf/scalar.ts';
import { formatAddress } from '../model/address.ts';
import type { Layout } from '../model/layout.ts';
import type { Machine } from '../model/machine.ts';
import { escapeCharacter } from './value-strings.ts';

/** Names come from a file that anybody may have written: one short line without control characters. */
export function sanitiseName(name: string): string {
  return name.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, '?').slice(0, 200);
}

/** `-7`, `true`, `120 'x'`. */
export function formatInteger(value: bigint, { size, signed, is }: Extract<Layout, { kind: 'integer' }>): string {
  if (is === 'boolean' && value <= 1n) return value === 1n ? 'true' : 'false';
  const number = signed ? BigInt.asIntN(size * 8, value) : value;
  if (is !== 'character' || value > 0x10ffffn) return String(number);
  const character = value < 0x80n ? String.fromCharCode(Number(value)) : size === 1 ? Number(value) : codePoint(value);
  const shown = character === "'" ? "\\'" : character === '"' ? '"' : escapeCharacter(character);
  return `${number} '${shown}'`;
}

function codePoint(value: bigint): string {
  return value >= 0xd800n && value <= 0xdfffn ? '\ufffd' : String.fromCodePoint(Number(value));
}

/** The name; `(A | B)` of flags, as gdb does; else the number. */
export function formatEnum(value: bigint, layout: Extract<Layout, { kind: 'enum' }>): string {
  const bits = layout.size * 8;
  const number = layout.signed === true ? BigInt.asIntN(bits, value) : value;
  const found = layout.enumerators.find((enumerator) => BigInt.asUintN(bits, enumerator.value) === value);
  const scope = layout.scoped === true ? `${sanitiseName(layout.name)}::` : '';
  if (found !== undefined) return scope + sanitiseName(found.name);
  const flags = flagsOf(value, layout);
  return flags === null ? String(number) : `(${flags.map((name) => scope + sanitiseName(name)).join(' | ')})`;
}

/** All enumerators are single bits, and all bits of the value are enumerators. */
function flagsOf(value: bigint, { enumerators }: Extract<Layout, { kind: 'enum' }>): string[] | null {
  if (value === 0n || enumerators.length > 64) return null;
  const names: string[] = [];
  let rest = value;
  for (const { name, value: flag } of enumerators) {
    if (flag < 0n || (flag & (flag - 1n)) !== 0n) return null;
    if (flag !== 0n && (rest & flag) !== 0n) names.push(name);
    rest &= ~flag;
  }
  return rest === 0n ? names : null;
}

/** The fewest digits that mean the same number; what is longer than a double is as near as one comes. */
export function formatFloat(bits: bigint, size: number, machine: Machine): string {
  if (size === 4) return shortest(decodeFloat(bits, 4)!);
  if (size === 8) return numberText(decodeFloat(bits, 8)!);
  const isExtended = machine === 'x86_64' || machine === 'i386';
  if (size === 10 || size === 12 || (size === 16 && isExtended)) return numberText(decodeExtended(bits));
  return size === 16 ? numberText(decodeQuad(bits)) : `${formatAddress(bits)} (float of ${size} bytes)`;
}

/** The fewest digits that mean the same binary32. */
function shortest(value: number): string {
  for (let digits = 6; digits < 9; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return numberText(Number(text));
  }
  return numberText(value);
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

/** x87's 80 bits: an explicit leading one. As near as a double comes. */
function decodeExtended(bits: bigint): number {
  const exponent = Number((bits >> 64n) & 0x7fffn);
  return scaled((bits >> 79n) & 1n, BigInt.asUintN(64, bits), exponent, 63);
}

/** IEEE 754 binary128. */
function decodeQuad(bits: bigint): number {
  const exponent = Number((bits >> 112n) & 0x7fffn);
  const fraction = BigInt.asUintN(112, bits);
  if (exponent === 0x7fff && fraction !== 0n) return NaN;
  return scaled((bits >> 127n) & 1n, exponent === 0 ? fraction : fraction | (1n << 112n), exponent, 112);
}

function scaled(sign: bigint, mantissa: bigint, exponent: number, fractionBits: number): number {
  const value =
    exponent === 0x7fff ? infinityOf(mantissa, fractionBits) : Number(mantissa) * 2 ** -fractionBits * 2 ** (exponent - 16383);
  return sign === 1n ? -value : value;
}

function infinityOf(mantissa: bigint, fractionBits: number): number {
  return BigInt.asUintN(fractionBits, mantissa) === 0n ? Infinity : NaN;
}
