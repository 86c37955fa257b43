// From the bytes of `g` to named values and back, by a target description's layout: registers lie in order of number.

import { RspError } from '../error.ts';
import type { RegisterBytes } from '../packets/registers.ts';
import type { RegisterInfo, TargetDescription } from './description.ts';

/**
 * Values by name, unsigned, of the registers that `g` holds. A short `g` gives those that fit; what is `xx`, or behind the
 * end, is left out.
 */
export function decodeRegisterFile(
  description: TargetDescription,
  file: RegisterBytes,
  littleEndian = true,
): Record<string, bigint> {
  const values: Record<string, bigint> = {};
  let offset = 0;
  for (const register of description.registers) {
    const end = offset + byteLength(register);
    if (end > file.bytes.length) break;
    if (!file.known.subarray(offset, end).includes(0))
      values[register.name] = decodeValue(file.bytes.subarray(offset, end), littleEndian);
    offset = end;
  }
  return values;
}

/** A register's bytes as an unsigned number. */
export function decodeValue(bytes: Uint8Array, littleEndian = true): bigint {
  const ordered = littleEndian ? Buffer.from(bytes).reverse() : Buffer.from(bytes);
  return bytes.length === 0 ? 0n : BigInt(`0x${ordered.toString('hex')}`);
}

/** A value as a register's bytes. Throws RSP_MALFORMED when it does not fit. */
export function encodeValue(value: bigint, register: RegisterInfo, littleEndian = true): Uint8Array {
  const length = byteLength(register);
  if (value < 0n || value >= 1n << BigInt(register.bits)) {
    throw new RspError('RSP_MALFORMED', `0x${value.toString(16)} does not fit ${register.name} (${register.bits} bits)`);
  }
  const big = Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
  return new Uint8Array(littleEndian ? big.reverse() : big);
}

function byteLength(register: RegisterInfo): number {
  return Math.ceil(register.bits / 8);
}
