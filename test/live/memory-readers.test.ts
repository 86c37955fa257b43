// Every reader of guest-physical memory on real QEMUs: the same bytes from each, on both sides of the 4 GiB hole. A pattern
// is put there by QEMU's generic loader, so that a wrong offset cannot hide behind zeros.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPhysicalMemory, type PhysicalMemory } from '../../src/memory/open-physical.ts';
import type { LiveReaderName } from '../../src/memory/physical.ts';
import { openQmp, type QmpClient } from '../../src/qemu/qmp/client.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-live-memory-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const FIVE_GIB = 5 * 1024 ** 3;
const FOUR_GIB = 0x1_0000_0000n;
const pattern = Uint8Array.from({ length: 3 * 4096 }, (_, index) => (index * 7 + (index >> 8)) % 253);
const patternPath = join(folder, 'pattern');

/** Where RAM below 4 GiB ends: a q35 has 2 GiB of it, a pc 3 GiB (hw/i386/pc_q35.c, pc_piix.c). */
const MACHINES = [
  {
    title: 'q35 with a memfd',
    lowEnd: 0x8000_0000n,
    readers: ['ram-file', 'process-memory', 'xp', 'pmemsave'],
    args: ['-object', `memory-backend-memfd,id=mem,share=on,size=${FIVE_GIB}`, '-machine', 'q35,memory-backend=mem'],
  },
  {
    title: 'pc with a shared file',
    lowEnd: 0xc000_0000n,
    readers: ['ram-file', 'process-memory', 'xp', 'pmemsave'],
    args: [
      '-object',
      `memory-backend-file,id=mem,share=on,size=${FIVE_GIB},mem-path=${join(folder, 'ram')}`,
      '-machine',
      'pc,memory-backend=mem',
    ],
  },
  {
    title: 'q35 with private RAM',
    lowEnd: 0x8000_0000n,
    readers: ['process-memory', 'xp', 'pmemsave'],
    args: [],
  },
] as const satisfies readonly { title: string; lowEnd: bigint; readers: readonly LiveReaderName[]; args: readonly string[] }[];

describe.each(MACHINES)('a $title of 5 GiB', ({ lowEnd, readers, args }) => {
  let guest: DemoGuest;
  let qmp: QmpClient;
  const open = (only?: readonly LiveReaderName[]): Promise<PhysicalMemory> => {
    const { pid } = guest.process;
    return openPhysicalMemory({ ask: (line) => qmp.hmp(line), pid: pid!, uid: process.getuid!() }, only);
  };

  beforeAll(async () => {
    writeFileSync(patternPath, pattern);
    const loaders = [lowEnd - BigInt(pattern.length), FOUR_GIB, BigInt(FIVE_GIB) + FOUR_GIB - lowEnd - BigInt(pattern.length)];
    const devices = loaders.flatMap((address) => [
      '-device',
      `loader,file=${patternPath},force-raw=on,addr=0x${address.toString(16)}`,
    ]);
    // Not started (-S): firmware and guest would write over the pattern.
    guest = await startDemoGuest({ qemuArgs: ['-S', '-m', '5G', ...args, ...devices] });
    qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
  });
  afterAll(async () => {
    qmp.close();
    await guest.stop();
  });

  it('is read by its best reader, which needs no remark', async () => {
    const { reader, refused } = await open();
    expect(reader.name).toBe(readers[0]);
    expect(refused.map(({ reason }) => reason)).toEqual(readers[0] === 'ram-file' ? [] : [expect.stringContaining('share=on')]);
    reader.close();
  });

  it.each(readers.map((name) => [name]))('gives the loaded bytes on both sides of the hole through %s', async (name) => {
    const { reader } = await open([name]);
    for (const address of [
      lowEnd - BigInt(pattern.length),
      FOUR_GIB,
      BigInt(FIVE_GIB) + FOUR_GIB - lowEnd - BigInt(pattern.length),
    ]) {
      const into = new Uint8Array(pattern.length);
      expect(await reader.read(address, into)).toBe(true);
      expect(Buffer.compare(into, pattern)).toBe(0);
      const middle = new Uint8Array(5000);
      expect(await reader.read(address + 4001n, middle)).toBe(true);
      expect(Buffer.compare(middle, pattern.subarray(4001, 9001))).toBe(0);
    }
    for (const outside of [lowEnd, 0xfee0_0000n, BigInt(FIVE_GIB) + FOUR_GIB - lowEnd, lowEnd - 8n]) {
      expect(await reader.read(outside, new Uint8Array(16))).toBe(false);
    }
    reader.close();
  });

  it('is the same kernel text through all of them', async () => {
    const pages = await Promise.all(
      readers.map(async (name) => {
        const { reader } = await open([name]);
        const into = new Uint8Array(8192);
        expect(await reader.read(0x103000n, into)).toBe(true);
        reader.close();
        return Buffer.from(into).toString('base64');
      }),
    );
    expect(new Set(pages).size).toBe(1);
    expect(pages[0]).not.toMatch(/^A+=*$/);
  });
});
