// One header of a tar file (POSIX.1-1988 ustar; pax, "ustar Interchange Format"), as much of it as a bundle needs: plain files with short
// names. Sizes of 8 GiB and more are written in base 256, as GNU tar does (tar/src/create.c) and every tar reads.

/** All of a tar is made of these. */
export const BLOCK = 512;

/** A file in a tar, or something else that bundles have no use for. */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** `file`, else what it is, in words. */
  readonly kind: string;
}

/** The largest size that eleven octal digits say: what stands in the header of a member that is still being written. */
export const UNKNOWN_SIZE = 0o77777777777;

const KINDS: Readonly<Record<string, string>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'a hard link',
  '2': 'a symbolic link',
  '3': 'a character device',
  '4': 'a block device',
  '5': 'a folder',
  '6': 'a FIFO',
  '7': 'a contiguous file',
  g: 'pax attributes of all files',
  x: 'pax attributes of the next file',
  K: 'a long link name (GNU)',
  L: 'a long file name (GNU)',
  S: 'a sparse file (GNU)',
};

/** The header of a file. `mtimeMs`: when it was made, since the epoch. The name is ASCII, at most 100 characters. */
export function encodeTarHeader(name: string, size: number, mtimeMs: number): Uint8Array {
  const bytes = Buffer.alloc(BLOCK);
  bytes.write(name, 0, 100, 'latin1');
  bytes.write('0000600\0', 100, 'latin1');
  bytes.write('0000000\0', 108, 'latin1');
  bytes.write('0000000\0', 116, 'latin1');
  writeSize(bytes, size);
  bytes.write(octal(Math.floor(mtimeMs / 1000), 11), 136, 'latin1');
  bytes.write('0', 156, 'latin1');
  bytes.write('ustar\u{0}00', 257, 'latin1');
  bytes.write(`${octal(checksum(bytes), 6)} `, 148, 'latin1');
  return bytes;
}

/** What a block says; `end` for a block of zeros, null when it is no header (or a damaged one: its checksum tells). */
export function decodeTarHeader(block: Uint8Array): TarHeader | 'end' | null {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.length);
  if (bytes.length < BLOCK) return null;
  if (bytes.every((byte) => byte === 0)) return 'end';
  if (bytes.toString('latin1', 257, 262) !== 'ustar' || parseOctal(bytes.subarray(148, 156)) !== checksum(bytes)) return null;
  const size = readSize(bytes.subarray(124, 136));
  if (size === null) return null;
  const prefix = bytes.toString('latin1', 263, 265) === '00' ? text(bytes.subarray(345, 500)) : '';
  const name = text(bytes.subarray(0, 100));
  const type = bytes.toString('latin1', 156, 157);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    kind: KINDS[type] ?? `of an unknown type (${JSON.stringify(type)})`,
  };
}

/** Bytes from one header to the next. */
export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function writeSize(bytes: Buffer, size: number): void {
  if (size <= UNKNOWN_SIZE) {
    bytes.write(octal(size, 11), 124, 'latin1');
    return;
  }
  bytes[124] = 0x80;
  bytes.writeBigUInt64BE(BigInt(size), 128);
}

function readSize(field: Buffer): number | null {
  if (field[0] !== 0x80) return parseOctal(field);
  const size = field.readBigUInt64BE(4);
  return size > BigInt(Number.MAX_SAFE_INTEGER) || field.readUIntBE(1, 3) !== 0 ? null : Number(size);
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`;
}

function parseOctal(field: Uint8Array): number | null {
  const match = /^ *([0-7]+)[ \0]*$/.exec(Buffer.from(field).toString('latin1'));
  return match === null ? null : Number.parseInt(match[1]!, 8);
}

/** The sum of all bytes, with the checksum's own field taken for spaces. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < BLOCK; index += 1) sum += index >= 148 && index < 156 ? 0x20 : bytes[index]!;
  return sum;
}

function text(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.length : end);
}
