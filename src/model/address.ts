// Addresses as the guest sees them. 64-bit, unsigned, `bigint` at the edges of a layer; inside parsers an
// offset from an image's base is a plain `number` (a 64-bit read as bigint costs 13 times a 32-bit one).

/** A guest-virtual address at run time: what `rip` holds. Unsigned, below 2^64. */
export type Address = bigint;

/** A guest-physical address. Unsigned. */
export type PhysicalAddress = bigint;

const MASK_64 = (1n << 64n) - 1n;

/** `value` wrapped into 64 unsigned bits, as the CPU's adder would. */
export function toUnsigned64(value: bigint): bigint {
  return value & MASK_64;
}

/** `0x`-prefixed lower-case hex without padding, as every report and the JSON write an address. */
export function formatAddress(address: bigint): string {
  return address < 0n ? `-0x${(-address).toString(16)}` : `0x${address.toString(16)}`;
}

/** Hex padded to `digits` (16 unless told), for columns. */
export function padAddress(address: bigint, digits = 16): string {
  return `0x${toUnsigned64(address).toString(16).padStart(digits, '0')}`;
}

/** An address a person wrote: `0x…`, or hex digits without the prefix when `bareHex` is set. Null when it is not one. */
export function parseAddress(text: string, options: { bareHex?: boolean } = {}): Address | null {
  const match = /^(?:0x([0-9a-f]{1,16})|([0-9a-f]{1,16}))$/i.exec(text.trim());
  if (match === null) return null;
  if (match[1] !== undefined) return BigInt(`0x${match[1]}`);
  if (options.bareHex === true) return BigInt(`0x${match[2] ?? ''}`);
  return /^[0-9]+$/.test(match[2] ?? '') ? BigInt(match[2] ?? '') : null;
}
