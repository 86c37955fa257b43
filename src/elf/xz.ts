// The .xz container (The .xz File Format 1.2) with one LZMA2 stream, as .gnu_debugdata and kernel modules are packed: sizes are taken
// from the index at its end, every header, block and index is held against its checksum. Node has no decoder of its own.

import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { Cursor } from '../bytes/cursor.ts';
import { errorCode, errorMessage, UnidbgError } from '../model/error.ts';
import { crc64 } from './crc64.ts';
import { LzmaDecoder } from './lzma.ts';

/** The mini symbols of a distribution's largest library are some megabytes. */
const MAX_UNPACKED = 128 * 1024 * 1024;
const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const HEADER_SIZE = 12;
const LZMA2 = 0x21;
/** Bytes of the check by its number; those of the numbers 1, 4 and 10 are verified. */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/** Unpacks an .xz file of one stream; `what` names it in errors. Throws ELF_MALFORMED, ELF_UNSUPPORTED. */
export function decompressXz(bytes: Uint8Array, what: string): Uint8Array {
  try {
    return decodeStream(bytes);
  } catch (error) {
    if (errorCode(error) === null) throw error;
    const code = errorCode(error) === 'ELF_UNSUPPORTED' ? 'ELF_UNSUPPORTED' : 'ELF_MALFORMED';
    throw new UnidbgError(code, `${what}: ${errorMessage(error)}`, { cause: error });
  }
}

function decodeStream(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 2 * HEADER_SIZE || MAGIC.some((byte, index) => bytes[index] !== byte)) throw malformed('it is no .xz file');
  const footer = new Cursor(bytes, { offset: bytes.length - HEADER_SIZE });
  expectCrc32(footer.u32(), bytes.subarray(-8, -2), 'its footer');
  const indexSize = (footer.u32() + 1) * 4;
  const flags = footer.u16();
  if (footer.u16() !== 0x5a59 || flags !== new Cursor(bytes, { offset: 6 }).u16())
    throw malformed('its footer is not that of its header');
  expectCrc32(new Cursor(bytes, { offset: 8 }).u32(), bytes.subarray(6, 8), 'its header');
  const checkKind = flags >> 8;
  const indexAt = bytes.length - HEADER_SIZE - indexSize;
  if ((flags & 0xf0ff) !== 0 || indexAt < HEADER_SIZE) throw malformed('its flags or the place of its index are wrong');
  const sizes = decodeIndex(bytes.subarray(indexAt, indexAt + indexSize));
  const total = sizes.reduce((sum, { unpacked }) => sum + unpacked, 0);
  if (!(total <= MAX_UNPACKED)) throw new UnidbgError('ELF_UNSUPPORTED', `it claims to unpack to ${total} bytes`);
  const decoder = new LzmaDecoder(new Uint8Array(total));
  const out = decoder.out;
  let at = HEADER_SIZE;
  for (const { unpadded, unpacked } of sizes) {
    const padded = Math.ceil(unpadded / 4) * 4;
    if (at + padded > indexAt) throw malformed('its index tells of more than there is');
    decodeBlock(bytes.subarray(at, at + padded), decoder, { unpadded, unpacked }, checkKind);
    at += padded;
  }
  if (at !== indexAt) throw malformed('its index tells of less than there is');
  return out;
}

interface BlockSizes {
  /** Header, data and check, without the padding between data and check. */
  readonly unpadded: number;
  readonly unpacked: number;
}

function decodeIndex(bytes: Uint8Array): BlockSizes[] {
  const cursor = new Cursor(bytes);
  if (cursor.u8() !== 0) throw malformed('it has no index');
  const count = cursor.uleb();
  if (count > bytes.length / 2) throw malformed(`its index tells of ${count} blocks`);
  const sizes = Array.from({ length: count }, () => ({ unpadded: cursor.uleb(), unpacked: cursor.uleb() }));
  const end = Math.ceil(cursor.offset / 4) * 4;
  cursor.seek(end);
  expectCrc32(cursor.u32(), bytes.subarray(0, end), 'its index');
  if (!cursor.atEnd) throw malformed('its index is not where its end says');
  return sizes;
}

function decodeBlock(block: Uint8Array, decoder: LzmaDecoder, { unpadded, unpacked }: BlockSizes, checkKind: number): void {
  const cursor = new Cursor(block);
  const headerSize = (cursor.u8() + 1) * 4;
  const header = block.subarray(0, headerSize - 4);
  expectCrc32(new Cursor(block, { offset: headerSize - 4 }).u32(), header, 'the header of a block');
  const flags = cursor.u8();
  if ((flags & 0x40) !== 0) cursor.uleb();
  if ((flags & 0x80) !== 0) cursor.uleb();
  const filter = cursor.uleb();
  if ((flags & 0x3f) !== 0 || filter !== LZMA2) {
    throw new UnidbgError('ELF_UNSUPPORTED', `it is packed with filters other than LZMA2 (the first has number ${filter})`);
  }
  const start = decoder.position;
  const checkSize = CHECK_SIZES[checkKind]!;
  const dataEnd = unpadded - checkSize;
  if (headerSize > dataEnd) throw malformed('a block is shorter than its header');
  const data = new Cursor(block.subarray(0, dataEnd), { offset: headerSize });
  decodeLzma2(data, decoder);
  if (decoder.position - start !== unpacked || !data.atEnd) throw malformed('a block does not unpack to the size in the index');
  if (block.subarray(dataEnd, block.length - checkSize).some((byte) => byte !== 0))
    throw malformed('the padding of a block is not 0');
  expectCheck(checkKind, decoder.out.subarray(start, decoder.position), block.subarray(block.length - checkSize));
}

/** LZMA2: chunks with a control byte, 0 at their end. */
function decodeLzma2(cursor: Cursor, decoder: LzmaDecoder): void {
  let isStarted = false;
  let hasProperties = false;
  for (let control = cursor.u8(); control !== 0; control = cursor.u8()) {
    if (control === 1 || control >= 0xe0) {
      decoder.resetDictionary();
      isStarted = true;
    }
    if (!isStarted || (control > 2 && control < 0x80)) throw malformed(`a chunk begins with ${control}`);
    if (control < 0x80) {
      decoder.store(cursor.take(bigEndian16(cursor) + 1));
      continue;
    }
    const size = (control & 0x1f) * 0x10000 + bigEndian16(cursor) + 1;
    const packedSize = bigEndian16(cursor) + 1;
    const reset = (control >> 5) & 3;
    if (reset >= 2) {
      decoder.setProperties(cursor.u8());
      hasProperties = true;
    } else if (reset === 1) decoder.resetState();
    if (!hasProperties) throw malformed('its first chunk has no properties');
    decoder.decode(cursor.take(packedSize), size);
  }
}

function bigEndian16(cursor: Cursor): number {
  const high = cursor.u8();
  return high * 256 + cursor.u8();
}

function expectCheck(kind: number, bytes: Uint8Array, check: Uint8Array): void {
  if (kind === 1) expectCrc32(new Cursor(check).u32(), bytes, 'a block');
  const wrong =
    (kind === 4 && new Cursor(check).u64() !== crc64(bytes)) ||
    (kind === 10 && createHash('sha256').update(bytes).digest().compare(check) !== 0);
  if (wrong) throw malformed('the checksum of a block is wrong');
}

function expectCrc32(expected: number, bytes: Uint8Array, what: string): void {
  if (crc32(bytes) !== expected) throw malformed(`the checksum of ${what} is wrong`);
}

function malformed(why: string): UnidbgError {
  return new UnidbgError('ELF_MALFORMED', `xz data is damaged: ${why}`);
}
