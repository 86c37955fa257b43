// Raw snappy streams (google/snappy, format_description.txt) through the snappyjs package, which is only given streams that were looked
// through first: a literal with a length of 2^31 or more makes it go backwards and never end (seen with 6 bytes; the test has them).

import { uncompress } from 'snappyjs';

/** Fills `out` from the stream `input`; false when the stream is damaged or does not give exactly as many bytes. */
export function decompressSnappy(input: Uint8Array, out: Uint8Array): boolean {
  if (!isWellFormed(input, out.length)) return false;
  try {
    out.set(uncompress(input, out.length));
    return true;
  } catch {
    return false;
  }
}

/** Whether the stream's elements end where it ends and give `size` bytes together. */
function isWellFormed(input: Uint8Array, size: number): boolean {
  const claimed = readClaimedLength(input);
  if (claimed?.length !== size) return false;
  let total = 0;
  let at = claimed.end;
  while (at < input.length && total <= size) {
    const tag = input[at]!;
    const kind = tag & 3;
    const bits = tag >> 2;
    // Lengths and offsets of four bytes are for blocks that no page is as large as.
    if (kind === 3 || (kind === 0 && bits > 61)) return false;
    const more = kind === 0 ? Math.max(0, bits - 59) : kind;
    if (at + more >= input.length) return false;
    const length = kind === 1 ? (bits & 7) + 4 : 1 + (kind === 2 || more === 0 ? bits : readLittleEndian(input, at + 1, more));
    total += length;
    at += 1 + more + (kind === 0 ? length : 0);
  }
  return at === input.length && total === size;
}

/** The length that the stream begins with, as a varint of at most 5 bytes. */
function readClaimedLength(input: Uint8Array): { readonly length: number; readonly end: number } | null {
  let length = 0;
  for (let index = 0; index < 5; index += 1) {
    const byte = input[index];
    if (byte === undefined) return null;
    length += (byte & 0x7f) * 128 ** index;
    if (byte < 0x80) return { length, end: index + 1 };
  }
  return null;
}

function readLittleEndian(input: Uint8Array, at: number, bytes: number): number {
  let value = 0;
  for (let index = bytes - 1; index >= 0; index -= 1) value = value * 256 + input[at + index]!;
  return value;
}
