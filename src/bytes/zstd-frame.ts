// One Zstandard frame by its headers alone (RFC 8878 §3.1): where it ends and how much it holds, without decompressing it.

import { type ByteSource, readExactly } from './byte-source.ts';
import { Cursor } from './cursor.ts';

/** A data frame, or a skippable one (§3.1.2), which holds nothing. Sizes in bytes. */
export interface ZstdFrame {
  readonly compressedSize: number;
  /** Null: its header does not tell. */
  readonly contentSize: number | null;
  /** No frame holds more than its blocks can; Infinity: it has more blocks than anybody would read at once. */
  readonly mostContent: number;
}

const MAGIC = 0xfd2fb528;
/** 0x184D2A50 to 0x184D2A5F. */
const SKIPPABLE_MAGIC = 0x184d2a5;
const MOST_BLOCK = 128 * 1024;
/** Frames of 8 GiB have as many; a hostile one could have one each three bytes. */
const MOST_BLOCKS = 65_536;
/** Magic, descriptor, window, dictionary id, content size. */
const MOST_HEADER = 4 + 1 + 1 + 4 + 8;

/** Whether these first bytes are a Zstandard file's. */
export function isZstd(head: Uint8Array): boolean {
  if (head.length < 4) return false;
  const magic = new Cursor(head.subarray(0, 4)).u32();
  return magic === MAGIC || magic >>> 4 === SKIPPABLE_MAGIC;
}

/** The frame at `position`; null when there is none, or not all of it. Reads its headers only: some bytes for each 128 KiB. */
export function findZstdFrame(source: ByteSource, position: number): ZstdFrame | null {
  const header = readHeader(source, position);
  if (header === null) return null;
  const blocks =
    header.skipped !== undefined
      ? { end: position + 8 + header.skipped, mostContent: 0 }
      : walkBlocks(source, position + header.bytes);
  if (blocks === null) return null;
  const compressedSize = blocks.end - position + (header.hasChecksum ? 4 : 0);
  if (position + compressedSize > source.size) return null;
  return { compressedSize, contentSize: header.contentSize, mostContent: blocks.mostContent };
}

/** What the frame at `position` says that it holds, in bytes; null when it does not say, or there is none. */
export function findContentSize(source: ByteSource, position: number): number | null {
  return readHeader(source, position)?.contentSize ?? null;
}

interface FrameHeader {
  readonly bytes: number;
  readonly contentSize: number | null;
  readonly hasChecksum: boolean;
  /** Of a skippable frame: the bytes after its header. */
  readonly skipped?: number;
}

function readHeader(source: ByteSource, position: number): FrameHeader | null {
  const head = readExactly(source, position, Math.max(0, Math.min(MOST_HEADER, source.size - position)));
  if (head === null || head.length < 8) return null;
  const cursor = new Cursor(head);
  const magic = cursor.u32();
  if (magic >>> 4 === SKIPPABLE_MAGIC) return { bytes: 8, contentSize: 0, hasChecksum: false, skipped: cursor.u32() };
  if (magic !== MAGIC) return null;
  const descriptor = cursor.u8();
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const bytes = 5 + (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes;
  if (bytes > head.length) return null;
  const contentSize = readContentSize(new Cursor(head.subarray(bytes - sizeBytes, bytes)), sizeBytes);
  return { bytes, contentSize, hasChecksum: (descriptor & 4) !== 0 };
}

function readContentSize(cursor: Cursor, bytes: number): number | null {
  if (bytes === 0) return null;
  if (bytes === 1) return cursor.u8();
  // §3.1.1.1.4: two bytes hold the size less 256.
  if (bytes === 2) return cursor.u16() + 256;
  return bytes === 4 ? cursor.u32() : Number(cursor.u64());
}

/** §3.1.1.2: each block's three bytes say its type, its size and whether it is the last. */
function walkBlocks(source: ByteSource, start: number): { readonly end: number; readonly mostContent: number } | null {
  let mostContent = 0;
  let at = start;
  for (let count = 0; count < MOST_BLOCKS; count += 1) {
    const header = readExactly(source, at, 3);
    if (header === null) return null;
    const value = header[0]! | (header[1]! << 8) | (header[2]! << 16);
    const type = (value >> 1) & 3;
    const size = value >> 3;
    if (type === 3 || size > MOST_BLOCK) return null;
    // A run (RLE) is one byte; its size is that of what it stands for.
    at += 3 + (type === 1 ? 1 : size);
    mostContent += type === 2 ? MOST_BLOCK : size;
    if ((value & 1) !== 0) return { end: at, mostContent };
  }
  return { end: at, mostContent: Infinity };
}
