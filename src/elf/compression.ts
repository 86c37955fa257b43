// Compressed sections: SHF_COMPRESSED with an Elf_Chdr (gABI, zlib and zstd) and GNU's older .zdebug_* ("ZLIB", size, stream).

import { inflateSync, zstdDecompressSync } from 'node:zlib';
import { Cursor } from '../bytes/cursor.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD } from './constants.ts';

/** No section is unpacked beyond this: a 560 MB kernel debug file has sections of 250 MB. */
const MAX_UNPACKED = 1024 * 1024 * 1024;
/** Deflate cannot do better than 1032:1; debug sections reach about 10:1. */
const MAX_RATIO = 1032;

/** Bytes at the start of a compressed section that say what is in it. */
export const COMPRESSION_HEADER_SIZE = 24;

/** What a compressed section's header says: its format (ELFCOMPRESS_*), its unpacked size, and where the packed bytes begin. */
export interface CompressionHeader {
  readonly type: number;
  readonly size: number;
  readonly packedAt: number;
}

/** Decodes the header of an SHF_COMPRESSED section from its first bytes; `what` names it in errors. Throws ELF_MALFORMED. */
export function decodeCompressionHeader(
  bytes: Uint8Array,
  elf: { bits: 32 | 64; littleEndian: boolean },
  what: string,
): CompressionHeader {
  const packedAt = elf.bits === 64 ? 24 : 12;
  if (bytes.length < packedAt) throw malformed(what, `it is ${bytes.length} bytes long, shorter than its header`);
  const cursor = new Cursor(bytes, { littleEndian: elf.littleEndian });
  const type = cursor.u32();
  if (elf.bits === 64) cursor.skip(4);
  return { type, size: elf.bits === 64 ? cursor.u64Number() : cursor.u32(), packedAt };
}

/** Decodes the header of a `.zdebug_*` section. Throws ELF_MALFORMED. */
export function decodeZdebugHeader(bytes: Uint8Array, what: string): CompressionHeader {
  const magic = String.fromCharCode(...bytes.subarray(0, 4));
  if (magic !== 'ZLIB' || bytes.length < 12) throw malformed(what, 'it does not start with "ZLIB" and a size');
  const cursor = new Cursor(bytes, { littleEndian: false, offset: 4 });
  return { type: ELFCOMPRESS_ZLIB, size: cursor.u64Number(), packedAt: 12 };
}

/** Refuses a header that claims what no compressor makes of `packedSize` bytes. Throws ELF_MALFORMED, ELF_UNSUPPORTED. */
export function checkCompression({ type, size }: CompressionHeader, packedSize: number, what: string): void {
  if (type !== ELFCOMPRESS_ZLIB && type !== ELFCOMPRESS_ZSTD) {
    throw new UnidbgError('ELF_UNSUPPORTED', `${what}: unknown compression type ${type} (1 = zlib, 2 = zstd are read)`, {
      facts: { type },
    });
  }
  if (size > MAX_UNPACKED || size > (packedSize + 64) * MAX_RATIO) {
    throw malformed(what, `it claims to unpack from ${packedSize} to ${size} bytes`);
  }
}

/** Unpacks the bytes behind a header that was checked. Throws ELF_MALFORMED. */
export function decompress(packed: Uint8Array, { type, size }: CompressionHeader, what: string): Uint8Array {
  if (size === 0) return new Uint8Array(0);
  const result = tryUnpack(packed, type, size, what);
  if (result.length !== size) throw malformed(what, `it unpacks to ${result.length} bytes, its header says ${size}`);
  return result;
}

function tryUnpack(packed: Uint8Array, type: number, size: number, what: string): Uint8Array {
  try {
    const unpackStream = type === ELFCOMPRESS_ZLIB ? inflateSync : zstdDecompressSync;
    // Into one buffer with room to spare: Node otherwise collects chunks and joins them, which takes the memory twice.
    const { buffer, byteOffset, byteLength } = unpackStream(packed, { maxOutputLength: size, chunkSize: Math.max(size + 1, 64) });
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (error) {
    throw malformed(what, `its compressed data is damaged (${errorMessage(error)})`, error);
  }
}

function malformed(what: string, why: string, cause?: unknown): UnidbgError {
  return new UnidbgError('ELF_MALFORMED', `${what}: ${why}`, { cause });
}
