// Compressed sections: SHF_COMPRESSED with an Elf_Chdr (gABI, zlib and zstd) and GNU's older .zdebug_* ("ZLIB", size, stream).

import { inflateSync, zstdDecompressSync } from 'node:zlib';
import { Cursor } from '../bytes/cursor.ts';
import { errorMessage, UnidbgError } from '../model/error.ts';
import { ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD } from './constants.ts';

/** No section is unpacked beyond this: a 560 MB kernel debug file has sections of 250 MB. */
const MAX_UNPACKED = 1024 * 1024 * 1024;
/** Deflate cannot do better than 1032:1; debug sections reach about 10:1. */
const MAX_RATIO = 1032;

/** Unpacks the bytes of an SHF_COMPRESSED section. `what` names it in errors. Throws ELF_MALFORMED, ELF_UNSUPPORTED. */
export function decompressSection(bytes: Uint8Array, header: { bits: 32 | 64; littleEndian: boolean }, what: string): Uint8Array {
  const headerSize = header.bits === 64 ? 24 : 12;
  if (bytes.length < headerSize) throw malformed(what, `it is ${bytes.length} bytes long, shorter than its header`);
  const cursor = new Cursor(bytes, { littleEndian: header.littleEndian });
  const type = cursor.u32();
  if (header.bits === 64) cursor.skip(4);
  const size = header.bits === 64 ? cursor.u64Number() : cursor.u32();
  return unpack(bytes.subarray(headerSize), type, size, what);
}

/** Unpacks the bytes of a `.zdebug_*` section. */
export function decompressZdebug(bytes: Uint8Array, what: string): Uint8Array {
  const magic = String.fromCharCode(...bytes.subarray(0, 4));
  if (magic !== 'ZLIB' || bytes.length < 12) throw malformed(what, 'it does not start with "ZLIB" and a size');
  const cursor = new Cursor(bytes, { littleEndian: false, offset: 4 });
  return unpack(bytes.subarray(12), ELFCOMPRESS_ZLIB, cursor.u64Number(), what);
}

function unpack(packed: Uint8Array, type: number, size: number, what: string): Uint8Array {
  if (type !== ELFCOMPRESS_ZLIB && type !== ELFCOMPRESS_ZSTD) {
    throw new UnidbgError('ELF_UNSUPPORTED', `${what}: unknown compression type ${type} (1 = zlib, 2 = zstd are read)`, {
      facts: { type },
    });
  }
  if (size > MAX_UNPACKED || size > (packed.length + 64) * MAX_RATIO) {
    throw malformed(what, `it claims to unpack from ${packed.length} to ${size} bytes`);
  }
  if (size === 0) return new Uint8Array(0);
  const result = tryUnpack(packed, type, size, what);
  if (result.length !== size) throw malformed(what, `it unpacks to ${result.length} bytes, its header says ${size}`);
  return result;
}

function tryUnpack(packed: Uint8Array, type: number, size: number, what: string): Uint8Array {
  try {
    const unpackStream = type === ELFCOMPRESS_ZLIB ? inflateSync : zstdDecompressSync;
    const { buffer, byteOffset, byteLength } = unpackStream(packed, { maxOutputLength: size });
    return new Uint8Array(buffer, byteOffset, byteLength);
  } catch (error) {
    throw malformed(what, `its compressed data is damaged (${errorMessage(error)})`, error);
  }
}

function malformed(what: string, why: string, cause?: unknown): UnidbgError {
  return new UnidbgError('ELF_MALFORMED', `${what}: ${why}`, { cause });
}
