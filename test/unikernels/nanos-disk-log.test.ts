// The log that Nanos leaves on its disk.

import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.ts';
import { readNanosDiskLog } from '../../src/unikernels/nanos-disk-log.ts';

function disk(text: string, { exitCode = 11, partition = 32 } = {}): Buffer {
  const image = Buffer.alloc(64 * 512);
  image.writeUInt32LE(partition, 446 + 8);
  image.writeUInt16LE(0xaa55, 510);
  const at = 32 * 512 - 4096;
  image.write('KLOG', at);
  image.writeBigUInt64LE(7n, at + 4);
  image.writeInt32LE(exitCode, at + 12);
  image.write(text, at + 16);
  return image;
}

describe("Nanos' log on its disk", () => {
  it('has the exit code and the last of the console', () => {
    const log = readNanosDiskLog(memorySource('disk', disk('signal 11\n')))!;
    expect(log).toMatchObject({ bootId: 7n, exitCode: 11 });
    expect(Buffer.from(log.console).toString()).toBe('signal 11\n');
    expect(readNanosDiskLog(memorySource('disk', disk('', { exitCode: -1 })))).toMatchObject({
      exitCode: -1,
      console: new Uint8Array(),
    });
  });

  it('is none on other disks', () => {
    const healthy = disk('');
    healthy.fill(0, 32 * 512 - 4096, 32 * 512);
    const bare = disk('x');
    bare.writeUInt16LE(0, 510);
    for (const image of [healthy, bare, disk('x', { partition: 0 }), disk('x', { partition: 0xffff_ffff }), Buffer.alloc(100)]) {
      expect(readNanosDiskLog(memorySource('disk', image))).toBeNull();
    }
  });
});
