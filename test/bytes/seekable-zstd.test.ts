import { execFileSync } from 'node:child_process';
import { constants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type ByteSource, memorySource, readExactly, sliceSource } from '../../src/bytes/byte-source.ts';
import { encodeSeekTable, openSeekableZstd } from '../../src/bytes/seekable-zstd.ts';
import { isZstd } from '../../src/bytes/zstd-frame.ts';
import { errorCode, errorMessage } from '../../src/model/error.ts';

const FRAME = 1000;
/** Text, a long run of zeros, and bytes that do not compress. */
const CONTENT = Buffer.concat([
  Buffer.from('0123456789abcdef'.repeat(100)),
  Buffer.alloc(3000),
  Buffer.from(Array.from({ length: 777 }, (_, index) => (index * index * 31 + (index >> 3)) & 0xff)),
]);

function compress(bytes: Uint8Array): Buffer {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
}

function framesOf(content: Uint8Array, size = FRAME): { readonly frames: Buffer[]; readonly table: Uint8Array } {
  const parts = Array.from({ length: Math.ceil(content.length / size) }, (_, index) =>
    content.subarray(index * size, (index + 1) * size),
  );
  const frames = parts.map(compress);
  const sizes = parts.map((part, index) => ({ compressed: frames[index]!.length, content: part.length }));
  return { frames, table: encodeSeekTable(sizes) };
}

const { frames, table } = framesOf(CONTENT);
const SEEKABLE = Buffer.concat([...frames, table]);

function open(bytes: Uint8Array): ReturnType<typeof openSeekableZstd> {
  return openSeekableZstd(memorySource('core.elf.zst', bytes));
}

function readAll(source: ByteSource): Buffer {
  const into = Buffer.alloc(source.size);
  return into.subarray(0, source.read(0, into));
}

describe('a seekable zstd file', () => {
  it('is what zstd -d unpacks', () => {
    expect(execFileSync('zstd', ['-dc'], { input: SEEKABLE }).equals(CONTENT)).toBe(true);
    expect(isZstd(SEEKABLE)).toBe(true);
    expect(isZstd(CONTENT)).toBe(false);
  });

  it('is read from any position, over the borders of frames', () => {
    const source = open(SEEKABLE);
    expect(source.size).toBe(CONTENT.length);
    for (const [at, length] of [
      [0, 1],
      [999, 2],
      [0, CONTENT.length],
      [1500, 3000],
      [CONTENT.length - 1, 1],
    ] as const) {
      expect(Buffer.from(readExactly(source, at, length)!).equals(CONTENT.subarray(at, at + length))).toBe(true);
    }
    expect(source.read(CONTENT.length, new Uint8Array(10))).toBe(0);
    expect(source.partial).toBeNull();
  });

  it('is read in any order, more frames than are kept', () => {
    const large = Buffer.concat(Array.from({ length: 60 }, (_, index) => Buffer.alloc(1 << 20, index)));
    const made = framesOf(large, 1 << 20);
    const source = open(Buffer.concat([...made.frames, made.table]));
    for (const at of [0, 59, 30, 0, 1, 58, 0]) expect(readExactly(source, at * (1 << 20) + 5, 1)?.[0]).toBe(at);
    expect(readAll(source).equals(large)).toBe(true);
  });

  it('cut off at every length gives the frames that are whole, and says so', () => {
    const firstEnd = frames[0]!.length;
    for (let length = 0; length < SEEKABLE.length; length += 1) {
      const cut = SEEKABLE.subarray(0, length);
      if (length < firstEnd) {
        expect(codeOf(() => open(cut))).toBe('DUMP_MALFORMED');
        continue;
      }
      const source = open(cut);
      const bytes = readAll(source);
      expect(bytes.equals(CONTENT.subarray(0, source.size))).toBe(true);
      const isWholeFrames = source.partial === null;
      if (isWholeFrames)
        expect(
          frames.some((_, count) => frames.slice(0, count + 1).reduce((sum, { length: size }) => sum + size, 0) === length),
        ).toBe(true);
    }
  });

  it('never gives wrong bytes with a bit flipped: a damaged frame ends what is read, and is said', () => {
    for (let bit = 0; bit < SEEKABLE.length * 8; bit += 11) {
      const flipped = Buffer.from(SEEKABLE);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      try {
        const source = open(flipped);
        const bytes = readAll(source);
        expect(bytes.equals(CONTENT.subarray(0, bytes.length))).toBe(true);
        if (bytes.length < CONTENT.length) expect(source.partial).not.toBeNull();
      } catch (error) {
        expect(['DUMP_MALFORMED', 'DUMP_UNSUPPORTED']).toContain(errorCode(error) ?? String(error));
      }
    }
  });

  it('is read behind a damaged frame', () => {
    const damaged = Buffer.from(SEEKABLE);
    damaged[frames[0]!.length + 20]! ^= 0xff;
    const source = open(damaged);
    expect(readExactly(source, 1500, 10)).toBeNull();
    expect(Buffer.from(readExactly(source, 4000, 100)!).equals(CONTENT.subarray(4000, 4100))).toBe(true);
    expect(source.partial).toMatch(/1 of 6 zstd frames are damaged, the first seen is number 1/);
  });

  it('is not believed when its table moves what follows', () => {
    const lying = Buffer.from(SEEKABLE);
    const entries = frames.reduce((sum, { length }) => sum + length, 0) + 8;
    lying.writeUInt32LE(FRAME + 64, entries + 4);
    lying.writeUInt32LE(FRAME - 64, entries + 12);
    expect(readAll(open(lying)).equals(CONTENT)).toBe(true);
  });
});

describe('other zstd files', () => {
  it('are read too when their frames are small: several, with skippable ones between, of unknown size', () => {
    const skippable = Buffer.from('502a4d1803000000616263', 'hex');
    expect(readAll(open(Buffer.concat([skippable, ...frames, skippable]))).equals(CONTENT)).toBe(true);
    const piped = execFileSync('zstd', ['-c', '--no-check'], { input: CONTENT });
    expect(readAll(open(Buffer.concat([piped, piped]))).equals(Buffer.concat([CONTENT, CONTENT]))).toBe(true);
  });

  it('of one huge frame are refused with what to do', () => {
    const huge = execFileSync('sh', ['-c', 'head -c 40000000 /dev/zero | zstd -c']);
    expect(codeOf(() => open(huge))).toBe('DUMP_UNSUPPORTED');
    expect(wordsOf(() => open(huge))).toMatch(/unpack the file first, `zstd -d FILE`/);
  });

  it('that claim more than they hold, or hold more than they claim, give nothing', () => {
    const bomb = compress(Buffer.alloc(30_000_000));
    const lie = Buffer.concat([bomb, encodeSeekTable([{ compressed: bomb.length, content: 1000 }])]);
    expect(readAll(open(lie)).length === 30_000_000 || readAll(open(lie)).length === 0).toBe(true);
    const terabytes = Buffer.concat([Buffer.from('28b52ffde000000000ff000000', 'hex'), Buffer.from('010000', 'hex')]);
    expect(codeOf(() => open(terabytes))).toBe('DUMP_UNSUPPORTED');
  });

  it('with a table of millions of frames in a few bytes are walked instead', () => {
    const footer = Buffer.from(table.subarray(-9));
    footer.writeUInt32LE(0x7ffffff, 0);
    expect(readAll(open(Buffer.concat([...frames, footer]))).equals(CONTENT)).toBe(true);
  });

  it('without a table are found as far as that takes seconds: bombs of thousands of frames, and of tiny ones', () => {
    // Runs of 128 KiB in four bytes, 256 of them; a run of one byte. Neither frame's header says how much it holds.
    const bomb = Buffer.from(`28b52ffd0068${'02001000'.repeat(255)}03001000`, 'hex');
    const tiny = Buffer.from('28b52ffd00680b000000', 'hex');
    for (const frame of [bomb, tiny]) {
      const many = open(Buffer.concat(Array.from({ length: 5000 }, () => frame)));
      expect(many.partial).toMatch(/does not say how much its zstd frames hold/);
      expect(many.size).toBeLessThan(300 * 1024 * 1024);
      expect(readAll(sliceSource(many, 'first', 0, 1))).toHaveLength(1);
    }
  });

  it('of nothing but empty blocks end', () => {
    const blocks = Buffer.concat([frames[0]!.subarray(0, 6), Buffer.alloc(3 * 100_000)]);
    expect(codeOf(() => open(blocks))).toBe('DUMP_UNSUPPORTED');
  });
});

function codeOf(body: () => unknown): string {
  try {
    body();
    return 'none';
  } catch (error) {
    return errorCode(error) ?? String(error);
  }
}

function wordsOf(body: () => unknown): string {
  try {
    body();
    return '';
  } catch (error) {
    return errorMessage(error);
  }
}
