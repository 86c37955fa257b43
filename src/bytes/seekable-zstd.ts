// The Zstandard seekable format (facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md): independent frames, and at
// the end a skippable frame with a table of their sizes. `zstd -d` unpacks it; here any part is read by unpacking its frame alone.
// Without the table (a file that was cut off) the frames are found by walking their headers.

import { zstdDecompressSync } from 'node:zlib';
import { UnidbgError } from '../model/error.ts';
import { type ByteSource, readExactly } from './byte-source.ts';
import { Cursor } from './cursor.ts';
import { findContentSize, findZstdFrame, type ZstdFrame } from './zstd-frame.ts';

/** What is compressed, as bytes by position. A damaged frame reads as an end: fewer bytes are given than asked for. */
export interface SeekableZstd extends ByteSource {
  /** Why not all is there (cut off, damaged), as far as that is known by now; null when all is. */
  readonly partial: string | null;
}

/** Compressed and uncompressed size of one frame. */
export interface FrameSizes {
  readonly compressed: number;
  readonly content: number;
}

const TABLE_MAGIC = 0x184d2a5e;
const FOOTER_MAGIC = 0x8f92eab1;
const FOOTER_BYTES = 9;
/** Who reads a page holds one frame of it in memory, and a few more. */
const MOST_FRAME = 32 * 1024 * 1024;
const CACHE_BYTES = 24 * 1024 * 1024;
/** 4 TiB in frames of 1 MiB. */
const MOST_FRAMES = 4 * 1024 * 1024;
/** Finding frames without a table takes reads for each: seconds for so many, which are 256 GiB. Millions of empty ones would take minutes. */
const MOST_WALKED = 256 * 1024;
/** What is unpacked, at most, to learn how much frames hold that do not say it: 32 MiB may hide in each kilobyte of a file. */
const MOST_MEASURED = 256 * 1024 * 1024;
/** What measuring a frame costs that holds next to nothing, as bytes. */
const LEAST_MEASURED = 128 * 1024;

/**
 * Opens what is compressed in `source`; closes it with itself. Throws DUMP_MALFORMED when it holds no frame, DUMP_UNSUPPORTED when its
 * frames are too large to read a part of.
 */
export function openSeekableZstd(source: ByteSource): SeekableZstd {
  const found = findSeekTable(source) ?? walkFrames(source);
  return new FrameReader(source, found);
}

/** The skippable frame with the table of `frames`: what comes last in a seekable file. */
export function encodeSeekTable(frames: readonly FrameSizes[]): Uint8Array {
  const bytes = new Uint8Array(8 + frames.length * 8 + FOOTER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, TABLE_MAGIC, true);
  view.setUint32(4, bytes.length - 8, true);
  frames.forEach(({ compressed, content }, index) => {
    view.setUint32(8 + index * 8, compressed, true);
    view.setUint32(12 + index * 8, content, true);
  });
  const footer = bytes.length - FOOTER_BYTES;
  view.setUint32(footer, frames.length, true);
  // Seek_Table_Descriptor 0: no checksums in the table, each frame has its own.
  view.setUint8(footer + 4, 0);
  view.setUint32(footer + 5, FOOTER_MAGIC, true);
  return bytes;
}

/** Where each frame begins, compressed and not; one more entry than frames, for the end. */
interface FrameIndex {
  readonly compressed: Float64Array;
  readonly content: Float64Array;
  readonly partial: string | null;
}

function findSeekTable(source: ByteSource): FrameIndex | null {
  const footer = readExactly(source, source.size - FOOTER_BYTES, FOOTER_BYTES);
  if (footer === null) return null;
  const cursor = new Cursor(footer);
  const frames = cursor.u32();
  const descriptor = cursor.u8();
  // The low bits but the top one are reserved; a reader must refuse what sets bits 2 to 6.
  if (cursor.u32() !== FOOTER_MAGIC || (descriptor & 0x7c) !== 0 || frames > MOST_FRAMES) return null;
  const entryBytes = (descriptor & 0x80) === 0 ? 8 : 12;
  const tableBytes = 8 + frames * entryBytes + FOOTER_BYTES;
  const start = source.size - tableBytes;
  const table = readExactly(source, start, tableBytes - FOOTER_BYTES);
  if (table === null) return null;
  const entries = new Cursor(table);
  if (entries.u32() !== TABLE_MAGIC || entries.u32() !== tableBytes - 8) return null;
  const compressed = new Float64Array(frames + 1);
  const content = new Float64Array(frames + 1);
  for (let index = 0; index < frames; index += 1) {
    compressed[index + 1] = compressed[index]! + entries.u32();
    const size = entries.u32();
    content[index + 1] = content[index]! + size;
    if (size > MOST_FRAME) throw tooLarge(source, size);
    if (entryBytes === 12) entries.skip(4);
  }
  // A table of another file, or a damaged one: the frames must end where it begins, and hold what they themselves say.
  if (compressed[frames]! !== start) return null;
  const index = { compressed, content, partial: null };
  return isUniform(content) || agreesWithFrames(source, index) ? index : null;
}

/** All frames but the last hold the same: a flipped bit in a size, which would move all that follows, would show. */
function isUniform(content: Float64Array): boolean {
  const last = content.length - 1;
  const size = content[1] ?? 0;
  for (let index = 1; index < last; index += 1) if (content[index]! - content[index - 1]! !== size) return false;
  return last < 1 || content[last]! - content[last - 1]! <= size;
}

function agreesWithFrames(source: ByteSource, { compressed, content }: FrameIndex): boolean {
  for (let index = 0; index + 1 < content.length; index += 1) {
    const size = findContentSize(source, compressed[index]!);
    if (size !== null && size !== content[index + 1]! - content[index]!) return false;
  }
  return true;
}

/** Finds the frames one after another, as far as they are whole. */
function walkFrames(source: ByteSource): FrameIndex {
  const compressed = [0];
  const content = [0];
  let partial: string | null = null;
  let measured = 0;
  for (let at = 0; at < source.size && compressed.length <= MOST_WALKED; at = compressed.at(-1)!) {
    const frame = findZstdFrame(source, at);
    const there = content.at(-1)!;
    if (measured > MOST_MEASURED) {
      partial = `${source.name} does not say how much its zstd frames hold: only the first ${there} bytes are read`;
      break;
    }
    const size = frame === null ? null : measure(source, at, frame);
    if (frame === null || size === null) {
      partial = `${source.name} is cut off or damaged at 0x${at.toString(16)}: what unpacks to its first ${there} bytes is there`;
      break;
    }
    if (size > MOST_FRAME) {
      if (there === 0) throw tooLarge(source, size);
      partial = `${source.name} has a frame of ${size} bytes at 0x${at.toString(16)}, too large to read: the first ${there} bytes are there`;
      break;
    }
    compressed.push(at + frame.compressedSize);
    content.push(there + size);
    if (frame.contentSize === null) measured += Math.max(size, LEAST_MEASURED);
  }
  if (compressed.length > MOST_WALKED)
    partial ??= `${source.name} has more than ${MOST_WALKED} zstd frames and no table of them: the rest is not read`;
  if (content.at(-1) === 0) {
    throw new UnidbgError('DUMP_MALFORMED', `${source.name} holds no whole zstd frame: it is empty, cut off or damaged`, {
      facts: { path: source.name, size: source.size },
    });
  }
  return { compressed: Float64Array.from(compressed), content: Float64Array.from(content), partial };
}

/** What a frame holds. One that does not say is unpacked to learn it; null when it is damaged. */
function measure(source: ByteSource, position: number, frame: ZstdFrame): number | null {
  if (frame.mostContent === Infinity) return Infinity;
  if (frame.contentSize !== null) return frame.contentSize;
  if (frame.mostContent > MOST_FRAME) return frame.mostContent;
  return unpack(source, position, frame.compressedSize, MOST_FRAME)?.length ?? null;
}

function unpack(source: ByteSource, position: number, compressedSize: number, most: number): Uint8Array | null {
  const bytes = readExactly(source, position, compressedSize);
  if (bytes === null) return null;
  try {
    return zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, most) });
  } catch {
    // Any damage, and a frame that holds more than was said.
    return null;
  }
}

function tooLarge(source: ByteSource, size: number): UnidbgError {
  return new UnidbgError(
    'DUMP_UNSUPPORTED',
    `${source.name} has a zstd frame of ${size === Infinity ? 'very many' : size} bytes, which would have to be unpacked whole for each page (at most ${MOST_FRAME}): ` +
      `unpack the file first, \`zstd -d FILE\`, or make it with \`unidbg dump\`, which writes small frames`,
    { facts: { path: source.name, size, most: MOST_FRAME } },
  );
}

class FrameReader implements SeekableZstd {
  readonly name: string;
  readonly size: number;
  private readonly source: ByteSource;
  private readonly index: FrameIndex;
  private readonly damaged = new Set<number>();
  /** Unpacked frames, the one used longest ago first. */
  private readonly cache = new Map<number, Uint8Array>();
  private cached = 0;

  constructor(source: ByteSource, index: FrameIndex) {
    this.name = source.name;
    this.size = index.content.at(-1) ?? 0;
    this.source = source;
    this.index = index;
  }

  get partial(): string | null {
    const { damaged, index } = this;
    if (damaged.size === 0) return index.partial;
    return `${this.name}: ${damaged.size} of ${index.content.length - 1} zstd frames are damaged, the first seen is number ${[...damaged][0]}`;
  }

  read(position: number, into: Uint8Array): number {
    let done = 0;
    while (done < into.length && position + done < this.size) {
      const at = position + done;
      const number = this.frameAt(at);
      const frame = this.frame(number);
      if (frame === null) break;
      const part = frame.subarray(at - this.index.content[number]!, at - this.index.content[number]! + into.length - done);
      into.set(part, done);
      done += part.length;
    }
    return done;
  }

  close(): void {
    this.cache.clear();
    this.source.close();
  }

  /** The frame that holds the byte at `position`, which is inside. Frames that hold nothing are passed over. */
  private frameAt(position: number): number {
    const { content } = this.index;
    let low = 0;
    let high = content.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (content[middle]! <= position) low = middle;
      else high = middle;
    }
    return low;
  }

  private frame(number: number): Uint8Array | null {
    const known = this.cache.get(number);
    if (known !== undefined) {
      this.cache.delete(number);
      this.cache.set(number, known);
      return known;
    }
    if (this.damaged.has(number)) return null;
    const { compressed, content } = this.index;
    const size = content[number + 1]! - content[number]!;
    const bytes = unpack(this.source, compressed[number]!, compressed[number + 1]! - compressed[number]!, size);
    if (bytes?.length !== size) {
      this.damaged.add(number);
      return null;
    }
    this.keep(number, bytes);
    return bytes;
  }

  private keep(number: number, bytes: Uint8Array): void {
    this.cache.set(number, bytes);
    this.cached += bytes.length;
    for (const [oldest, { length }] of this.cache) {
      if (this.cached <= CACHE_BYTES || oldest === number) break;
      this.cache.delete(oldest);
      this.cached -= length;
    }
  }
}
