// Addresses and names from the wire as text: RFC 5952 for IPv6, RFC 1035 §5.1 escapes for what a name should not contain.
// A hostile guest chooses these bytes: nothing but printable ASCII leaves here.

/** `10.0.2.15` from four bytes at `offset`. The bytes must be there. */
export function ipv4Text(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]!}.${bytes[offset + 1]!}.${bytes[offset + 2]!}.${bytes[offset + 3]!}`;
}

/** `fe80::1` from sixteen bytes at `offset`: lower case, the longest run of two or more zero groups shortened. */
export function ipv6Text(bytes: Uint8Array, offset = 0): string {
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[offset + 2 * index]! << 8) | bytes[offset + 2 * index + 1]!);
  const run = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  if (run.length < 2) return hex(groups);
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** `52:54:00:12:34:56` from six bytes at `offset`. Written out: it is done twice for every packet. */
export function macText(bytes: Uint8Array, offset = 0): string {
  const hex = (index: number): string => HEX[bytes[offset + index]!]!;
  return `${hex(0)}:${hex(1)}:${hex(2)}:${hex(3)}:${hex(4)}:${hex(5)}`;
}

const MAX_NAME = 255;

/** Bytes that ought to be a name: what is not printable ASCII, and the backslash, becomes `\DDD` (decimal); cut at 255 characters. */
export function nameText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (text.length >= MAX_NAME) return `${text.slice(0, MAX_NAME)}…`;
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}
