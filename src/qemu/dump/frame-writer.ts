// Frames of a core on their way to the disk: compressed in zlib's own threads, several at a time, written in their order. Memory is
// bounded by the buffers there are; who reads guest memory waits when all are on the way. Nothing is compressed before they are all full, or
// `relax` is called: a guest whose data fits into them is copied with the whole processor to ourselves, and runs again by then.

import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import type { ByteSink } from '../../bytes/byte-sink.ts';
import { encodeSeekTable, type FrameSizes } from '../../bytes/seekable-zstd.ts';
import { freeBuffers } from './free-buffers.ts';

/** Content of one frame: what is unpacked to read a page. */
export const FRAME_BYTES = 1024 * 1024;
/** 36 MiB: with it unidbg stays below 200 MB, whatever the guest's size. */
const MOST_BUFFERS = 36;
/** What does not compress becomes a little larger (ZSTD_COMPRESSBOUND). */
const BUFFER_BYTES = FRAME_BYTES + 16_384;
/** Frames of zeros are some fifty bytes: so many bytes are written at once. */
const WRITE_BYTES = 256 * 1024;
const MOST_COMPRESSING = Math.min(4, availableParallelism() + 1);
/** Frames between two collections. */
const FREE_EVERY = 16;
/** Level 1: 3 takes almost twice the time for some percent. */
const LEVEL = 1;

const compress = promisify<Uint8Array, object, Buffer>(zstdCompress);
const ZEROS = Buffer.alloc(FRAME_BYTES);

/** Takes frames, and writes them to `sink`. Compressed unless told otherwise; raw ones follow one another as they are. */
export class FrameWriter {
  private readonly sink: ByteSink;
  private readonly isCompressed: boolean;
  private readonly free: Buffer[] = [];
  private readonly waiting: ((buffer: Buffer) => void)[] = [];
  private made = 0;
  private readonly sizes: FrameSizes[] = [];
  private small: Uint8Array[] = [];
  private smallBytes = 0;
  /** What comes next to disk, in order. */
  private tail: Promise<void> = Promise.resolve();
  private readonly hurried = Promise.withResolvers<undefined>();
  private compressing = 0;
  private compressed = 0;
  private readonly toCompress: (() => void)[] = [];
  private failure: { readonly error: unknown } | null = null;
  private zeroFrame: Promise<Buffer> | null = null;
  written = 0;

  constructor(sink: ByteSink, isCompressed: boolean) {
    this.sink = sink;
    this.isCompressed = isCompressed;
  }

  /** A buffer of at least FRAME_BYTES to be filled, as soon as one is free. Throws what writing threw. */
  async take(): Promise<Buffer> {
    this.throwFailure();
    const free = this.free.pop();
    if (free !== undefined) return free;
    if (this.made < MOST_BUFFERS) {
      this.made += 1;
      return Buffer.allocUnsafeSlow(BUFFER_BYTES);
    }
    this.relax();
    const buffer = await new Promise<Buffer>((resolve) => {
      this.waiting.push(resolve);
    });
    this.throwFailure();
    return buffer;
  }

  /** Gives a buffer back unused. */
  release(buffer: Buffer): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free.push(buffer);
    else next(buffer);
  }

  /** The next frame: the first `length` bytes of a buffer that was taken; it comes back by itself. */
  put(buffer: Buffer, length: number): void {
    const content = buffer.subarray(0, length);
    const bytes = this.isCompressed ? this.compressLater(content, buffer) : Promise.resolve(content);
    this.enqueue(bytes, length, () => {
      this.release(buffer);
    });
  }

  /** The next frame: `length` zeros. */
  putZeros(length: number): void {
    if (!this.isCompressed) this.enqueueHole(length);
    else if (length < FRAME_BYTES) this.enqueue(this.compressLater(ZEROS.subarray(0, length)), length);
    else this.enqueue((this.zeroFrame ??= this.compressLater(ZEROS)), length);
  }

  /** Nothing waits for us any more: what was put is compressed and written. */
  relax(): void {
    this.hurried.resolve(undefined);
  }

  /** Resolves when all is written, with the table of frames behind it. Throws FILE_UNWRITABLE. */
  async end(): Promise<void> {
    this.relax();
    await this.tail;
    this.throwFailure();
    await this.flush();
    if (!this.isCompressed) return;
    const table = encodeSeekTable(this.sizes);
    await this.sink.write(table);
    this.written += table.length;
  }

  private enqueue(bytes: Promise<Uint8Array>, content: number, done?: () => void): void {
    bytes.catch(() => undefined);
    this.afterwards(async () => {
      await this.writeOne(await bytes, content);
    }, done);
  }

  private enqueueHole(length: number): void {
    const { sink } = this;
    if (sink.skip === undefined) this.enqueue(Promise.resolve(ZEROS.subarray(0, length)), length);
    else
      this.afterwards(() => {
        sink.skip?.(length);
        return Promise.resolve();
      });
  }

  private afterwards(body: () => Promise<void>, done: () => void = () => undefined): void {
    const before = this.tail;
    this.tail = (async () => {
      await before;
      try {
        if (this.failure === null) await body();
      } catch (error) {
        this.failure = { error };
      } finally {
        done();
      }
    })();
  }

  private async writeOne(bytes: Uint8Array, content: number): Promise<void> {
    this.sizes.push({ compressed: bytes.length, content });
    this.written += bytes.length;
    const isSmall = bytes.length < WRITE_BYTES / 8;
    if (isSmall) {
      this.small.push(bytes);
      this.smallBytes += bytes.length;
    }
    if (!isSmall || this.smallBytes >= WRITE_BYTES) await this.flush();
    if (!isSmall) await this.sink.write(bytes);
  }

  private async flush(): Promise<void> {
    if (this.small.length === 0) return;
    const bytes = Buffer.concat(this.small);
    this.small = [];
    this.smallBytes = 0;
    await this.sink.write(bytes);
  }

  /** What comes out is put into `into`, where there is one: it may be what is compressed. */
  private async compressLater(content: Uint8Array, into: Buffer | null = null): Promise<Buffer> {
    await this.hurried.promise;
    if (this.compressing >= MOST_COMPRESSING) {
      await new Promise<void>((resolve) => {
        this.toCompress.push(resolve);
      });
    }
    this.compressing += 1;
    try {
      if (this.failure !== null) return Buffer.alloc(0);
      const bytes = await compress(content, {
        chunkSize: BUFFER_BYTES,
        params: { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 },
      });
      this.compressed += 1;
      if (this.compressed % FREE_EVERY === 0) freeBuffers();
      return into === null ? bytes : moveInto(into, bytes);
    } finally {
      this.compressing -= 1;
      this.toCompress.shift()?.();
    }
  }

  private throwFailure(): void {
    if (this.failure !== null) throw this.failure.error;
  }
}

/** What is in `bytes` put into `into`, so that `bytes` can go; what is small is copied, for it is written later than `into` is used again. */
function moveInto(into: Buffer, bytes: Buffer): Buffer {
  return bytes.length < WRITE_BYTES / 8 ? Buffer.from(bytes) : into.subarray(0, bytes.copy(into));
}
