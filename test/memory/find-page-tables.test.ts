// Page tables found by what they must map: every kind of paging, tables that were left behind, and memory full of what looks like tables.

import { describe, expect, it } from 'vitest';
import { findPageTables, type KnownBytes, type SearchedMemory } from '../../src/memory/find-page-tables.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;
const bytes = Uint8Array.from({ length: 64 }, (_, index) => index + 1);

function searched(ram: Uint8Array, start = 0): SearchedMemory {
  return {
    start,
    end: start + ram.length,
    read: (address, into) => {
      if (address < start || address + into.length > start + ram.length) return false;
      into.set(ram.subarray(address - start, address - start + into.length));
      return true;
    },
  };
}

/** RAM with the known bytes at 0x30010 and whatever else. */
function ramWith(entries: Readonly<Record<number, bigint>>, entryBytes: 4 | 8 = 8): Buffer {
  const ram = Buffer.alloc(MIB);
  ram.set(bytes, 0x3_0010);
  for (const [at, value] of Object.entries(entries)) {
    if (entryBytes === 8) ram.writeBigUInt64LE(value, Number(at));
    else ram.writeUInt32LE(Number(value), Number(at));
  }
  return ram;
}

const at = (address: bigint): KnownBytes => ({ address, bytes });

describe('the page tables in a memory', () => {
  it('of 4 levels are found, also where memory does not begin at 0', () => {
    const entries = { 0x10800: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x13003n, 0x13180: 0x30003n };
    expect(findPageTables(searched(ramWith(entries)), [at(0xffff_8000_0003_0010n)])).toMatchObject({
      what: '4-level page tables at 0x10000',
      matched: 1,
      registers: { machine: 'x86_64', values: { cr3: 0x10000n, cr4: 0x20n, efer: 0x500n } },
    });
    const moved = { 0x10800: 0x4001_1003n, 0x11000: 0x4001_2003n, 0x12000: 0x4001_3003n, 0x13180: 0x4003_0003n };
    expect(findPageTables(searched(ramWith(moved), 0x4000_0000), [at(0xffff_8000_0003_0010n)])?.registers.values['cr3']).toBe(
      0x4001_0000n,
    );
  });

  it('of 5 levels are found rather than the 4 below their root', () => {
    const entries = { 0xf000: 0x10003n, 0x10000: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x83n };
    expect(findPageTables(searched(ramWith(entries)), [at(0x3_0010n)])?.what).toBe('5-level page tables at 0xf000');
  });

  it('of PAE are found at any 32 bytes, those of 32-bit paging at any page', () => {
    const pae = ramWith({ 0x10058: 0x11001n, 0x11000: 0x12003n, 0x12180: 0x30003n });
    expect(findPageTables(searched(pae), [at(0xc003_0010n)])).toMatchObject({
      what: 'PAE page tables at 0x10040',
      registers: { machine: 'i386', values: { efer: 0n } },
    });
    const short = ramWith({ 0x10c00: 0x11003n, 0x110c0: 0x30003n }, 4);
    expect(findPageTables(searched(short), [at(0xc003_0010n)])?.what).toBe('32-bit page tables at 0x10000');
  });

  it('are not needed where addresses are physical, and preferred where they are there', () => {
    const plain = findPageTables(searched(ramWith({})), [at(0x3_0010n)]);
    expect(plain).toMatchObject({ what: 'memory that is not translated', registers: { values: { cr0: 1n } } });
    const identity = { 0x10000: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x83n };
    expect(findPageTables(searched(ramWith(identity)), [at(0x3_0010n)])?.what).toBe('4-level page tables at 0x10000');
  });

  it('are those that map more, where some were left behind by the boot loader', () => {
    const early = { 0x10800: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x83n };
    const late = { 0x20800: 0x21003n, 0x20008: 0x21003n, 0x21000: 0x22003n, 0x22000: 0x83n };
    expect(findPageTables(searched(ramWith({ ...early, ...late })), [at(0xffff_8000_0003_0010n)])?.registers.values['cr3']).toBe(
      0x20000n,
    );
  });

  it('are none where the bytes stand elsewhere', () => {
    const entries = { 0x10800: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x83n };
    expect(findPageTables(searched(ramWith(entries)), [at(0xffff_8000_0004_0010n)])).toBeNull();
    expect(findPageTables(searched(ramWith(entries)), [])).toBeNull();
  });

  it('are searched at both ends of a large memory first, then between', () => {
    const entries = { 0x10800: 0x11003n, 0x11000: 0x12003n, 0x12000: 0x83n };
    const low = ramWith(entries);
    const read: number[] = [];
    const large = (rootAt: number): SearchedMemory => ({
      start: 0,
      end: 8 * 1024 * MIB,
      read: (address, into) => {
        read.push(address);
        into.fill(0);
        if (address + into.length <= low.length) into.set(low.subarray(address, address + into.length));
        if (rootAt > 0 && address <= 0x10000 && address + into.length > 0x10000)
          into.fill(0, 0x10000 - address, 0x11000 - address);
        const [from, to] = [Math.max(address, rootAt), Math.min(address + into.length, rootAt + PAGE)];
        if (rootAt > 0 && from < to) into.set(low.subarray(0x10000 + from - rootAt, 0x10000 + to - rootAt), from - address);
        return true;
      },
    });
    const known = [at(0xffff_8000_0003_0010n)];
    for (const rootAt of [0, 8 * 1024 * MIB - 0x5000]) {
      expect(findPageTables(large(rootAt), known)?.registers.values['cr3']).toBe(BigInt(rootAt || 0x10000));
    }
    expect(read.some((address) => address > 600 * MIB && address < 7000 * MIB)).toBe(false);
    expect(findPageTables(large(3000 * MIB), known)?.registers.values['cr3']).toBe(BigInt(3000 * MIB));
  });

  it('are searched for a bounded time in memory that is full of them', () => {
    const ram = Buffer.alloc(16 * MIB);
    for (let page = 0; page < ram.length; page += 8) ram.writeBigUInt64LE(0x3n, page);
    const known = Array.from({ length: 32 }, (_, index) => at(BigInt(index) * 0x1000n));
    const from = performance.now();
    findPageTables(searched(ram), known);
    expect(performance.now() - from).toBeLessThan(20_000);
  });
});
