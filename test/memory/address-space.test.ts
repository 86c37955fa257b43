import { describe, expect, it } from 'vitest';
import { createAddressSpace } from '../../src/memory/address-space.ts';
import { PageAbsent } from '../../src/memory/page-absent.ts';
import type { PhysicalReader } from '../../src/memory/physical.ts';
import type { Registers } from '../../src/model/registers.ts';

/** 16 MiB of RAM whose every byte says its page; counts reads. Identity mapped: paging off. */
function fakeRam(sync: boolean): { reader: PhysicalReader; reads: bigint[] } {
  const reads: bigint[] = [];
  const fill = (address: bigint, into: Uint8Array): boolean => {
    reads.push(address);
    if (address + BigInt(into.length) > 16n << 20n) return false;
    into.fill(Number((address >> 12n) & 0xffn));
    return true;
  };
  const reader: PhysicalReader = {
    name: sync ? 'ram-file' : 'xp',
    how: 'fake',
    readSync: sync ? fill : null,
    read: (address, into) => Promise.resolve(fill(address, into)),
    close: () => undefined,
  };
  return { reader, reads };
}

const UNPAGED: Registers = { machine: 'i386', values: { cr0: 0n, cr3: 0n, cr4: 0n } };

describe.each([
  ['a synchronous reader', true],
  ['an asynchronous reader', false],
])('an address space over %s', (_title, sync) => {
  it('reads across page borders', async () => {
    const space = createAddressSpace(fakeRam(sync).reader, UNPAGED);
    const bytes = await space.walk((memory) => memory.read(0x1ffen, 4));
    expect([...bytes!]).toEqual([1, 1, 2, 2]);
  });

  it('reads each page once, so that a walk sees it at one moment', async () => {
    const { reader, reads } = fakeRam(sync);
    const space = createAddressSpace(reader, UNPAGED);
    await space.walk((memory) => {
      for (let index = 0; index < 100; index += 1) memory.read(0x1000n + BigInt(index), 8);
    });
    await space.walk((memory) => memory.read(0x1800n, 8));
    expect(reads).toEqual([0x1000n]);
  });

  it('is null beyond RAM, beyond the address space, and for lengths that make no sense', async () => {
    const space = createAddressSpace(fakeRam(sync).reader, UNPAGED);
    const answers = await space.walk((memory) => [
      memory.read(0x100_0000n, 1),
      memory.read(0xff_fffcn, 8),
      memory.read(1n << 64n, 1),
      memory.read(-1n, 1),
      memory.read(0n, -1),
      memory.read(0n, Number.NaN),
      memory.read(0n, 2 ** 40),
    ]);
    expect(answers).toEqual(answers.map(() => null));
    expect(await space.walk((memory) => memory.read(0n, 0))).toEqual(new Uint8Array(0));
  });

  it('holds no more pages than its limit, whatever the guest makes a walk ask for', async () => {
    const { reader, reads } = fakeRam(sync);
    const space = createAddressSpace(reader, UNPAGED, { pages: 10, readBytes: 4096 });
    const readable = await space.walk((memory) => {
      let count = 0;
      for (let page = 0n; page < 200n; page += 1n) count += memory.read(page << 12n, 1) === null ? 0 : 1;
      return count;
    });
    expect([readable, reads.length]).toEqual([10, 10]);
  });

  it('passes on what the body throws', async () => {
    const space = createAddressSpace(fakeRam(sync).reader, UNPAGED);
    const walk = space.walk((memory) => {
      memory.read(0n, 1);
      throw new Error('mine');
    });
    await expect(walk).rejects.toThrow('mine');
  });
});

describe('an address space over an asynchronous reader', () => {
  it('throws PageAbsent outside walk', () => {
    expect(() => createAddressSpace(fakeRam(false).reader, UNPAGED).read(0n, 1)).toThrow(PageAbsent);
  });

  it('runs a body again that swallowed PageAbsent', async () => {
    const space = createAddressSpace(fakeRam(false).reader, UNPAGED);
    const byte = await space.walk((memory) => {
      try {
        return memory.read(0x3000n, 1)![0];
      } catch {
        return 'swallowed';
      }
    });
    expect(byte).toBe(3);
  });
});
