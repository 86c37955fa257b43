import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { memorySource, readExactly } from '../../../src/bytes/byte-source.ts';
import { openSeekableZstd } from '../../../src/bytes/seekable-zstd.ts';
import { FRAME_BYTES, FrameWriter } from '../../../src/qemu/dump/frame-writer.ts';

describe('frames on their way to the disk', () => {
  it('are written in their order, whatever is compressed first; zeros cost next to nothing', async () => {
    const parts: Uint8Array[] = [];
    const writer = new FrameWriter({ write: (bytes) => Promise.resolve(void parts.push(Uint8Array.from(bytes))) }, true);
    const noise = randomBytes(FRAME_BYTES);
    const put = async (fill: number | Buffer, length = FRAME_BYTES): Promise<void> => {
      const buffer = await writer.take();
      if (typeof fill === 'number') buffer.fill(fill);
      else fill.copy(buffer);
      writer.put(buffer, length);
    };
    await put(noise);
    for (let frame = 0; frame < 20; frame += 1) writer.putZeros(FRAME_BYTES);
    await put(7);
    await put(noise, 5000);
    await writer.end();
    const file = Buffer.concat(parts);
    expect(file.length).toBe(writer.written);
    expect(file.length).toBeLessThan(FRAME_BYTES + 10_000);
    const source = openSeekableZstd(memorySource('core', file));
    expect(source.partial).toBeNull();
    expect(source.size).toBe(22 * FRAME_BYTES + 5000);
    expect(Buffer.from(readExactly(source, 0, FRAME_BYTES)!).equals(noise)).toBe(true);
    expect(readExactly(source, 15 * FRAME_BYTES, 100)!.every((byte) => byte === 0)).toBe(true);
    expect(readExactly(source, 21 * FRAME_BYTES, 100)!.every((byte) => byte === 7)).toBe(true);
    expect(Buffer.from(readExactly(source, 22 * FRAME_BYTES, 5000)!).equals(noise.subarray(0, 5000))).toBe(true);
  });

  it('hold who reads up when the disk is slow, and nothing is compressed before that', async () => {
    let release = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    let writes = 0;
    const sink = {
      write: async (): Promise<void> => {
        writes += 1;
        await slow;
      },
    };
    const writer = new FrameWriter(sink, true);
    const noise = randomBytes(FRAME_BYTES);
    let taken = 0;
    let isHeld = false;
    while (!isHeld) {
      const buffer = await Promise.race([writer.take(), new Promise<null>((resolve) => setTimeout(resolve, 200, null))]);
      isHeld = buffer === null;
      if (buffer === null) break;
      taken += 1;
      expect(writes).toBe(0);
      noise.copy(buffer);
      writer.put(buffer, FRAME_BYTES);
    }
    expect(taken).toBeGreaterThan(8);
    expect(taken).toBeLessThan(100);
    release();
    await writer.end();
  });

  it('tell who reads that the disk is full', async () => {
    const writer = new FrameWriter({ write: () => Promise.reject(new Error('ENOSPC')) }, true);
    const fill = async (): Promise<void> => {
      for (let frame = 0; frame < 1000; frame += 1) {
        const buffer = await writer.take();
        randomBytes(100_000).copy(buffer);
        writer.put(buffer, FRAME_BYTES);
      }
    };
    await expect(fill()).rejects.toThrow('ENOSPC');
    await expect(writer.end()).rejects.toThrow('ENOSPC');
  });
});
