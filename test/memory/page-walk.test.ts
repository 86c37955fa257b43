import { describe, expect, it } from 'vitest';
import { getTranslation, type ReadEntry } from '../../src/memory/page-walk.ts';
import { errorCode } from '../../src/model/error.ts';
import type { Registers } from '../../src/model/registers.ts';

/** Tables as a map from physical address to entry; anything else in RAM is zero, above 1 TiB there is no RAM. */
function tables(entries: Readonly<Record<string, bigint>>): ReadEntry {
  const map = new Map(Object.entries(entries).map(([address, entry]) => [BigInt(address), entry]));
  return (address) => (address >= 1n << 40n ? null : (map.get(address) ?? 0n));
}

function x86(values: Record<string, bigint>): Registers {
  return { machine: 'x86_64', values: { cr0: 0x8000_0001n, cr2: 0n, cr4: 0x20n, efer: 0x500n, ...values } };
}

const P = 1n;
const LARGE = 0x81n;
const NX = 1n << 63n;

describe('x86-64, four levels', () => {
  // 0xffff_8080_4020_1abc uses index 257, 1, 1, 1: one entry in each table.
  const address = 0xffff_8080_4020_1abcn;
  const walk = getTranslation(x86({ cr3: 0x1000n }));

  it('reaches a 4 KiB page through four tables and ignores NX, PAT and flags', () => {
    const memory = tables({ 0x1808: 0x2000n | P, 0x2008: 0x3000n | P, 0x3008: 0x4000n | P, 0x4008: 0x9000n | P | NX | 0xfe0n });
    expect(walk(address, memory)).toBe(0x9abcn);
  });

  it('ends at a 2 MiB page', () => {
    const memory = tables({ 0x1808: 0x2000n | P, 0x2008: 0x3000n | P, 0x3008: 0x4000_0000n | LARGE | NX | 0x1000n });
    expect(walk(address, memory)).toBe(0x4000_1abcn);
  });

  it('ends at a 1 GiB page', () => {
    const memory = tables({ 0x1808: 0x2000n | P, 0x2008: 0x80_0000_0000n | LARGE });
    expect(walk(address, memory)).toBe(0x80_0020_1abcn);
  });

  it('does not take a large bit in the top level for a page', () => {
    expect(walk(address, tables({ 0x1808: 0x2000n | LARGE }))).toBeNull();
  });

  it('is null at each level that is not present', () => {
    const full: Record<string, bigint> = { 0x1808: 0x2001n, 0x2008: 0x3001n, 0x3008: 0x4001n, 0x4008: 0x9001n };
    for (const key of Object.keys(full)) expect(walk(address, tables({ ...full, [key]: full[key]! & ~P }))).toBeNull();
  });

  it('is null where a table points outside RAM', () => {
    expect(walk(address, tables({ 0x1808: 0x000f_ffff_ffff_f000n | P }))).toBeNull();
  });

  it('is null for an address that is not canonical', () => {
    const memory = tables({ 0x1808: 0x2001n, 0x2008: 0x3001n, 0x3008: 0x4001n, 0x4008: 0x9001n });
    expect(walk(address & 0xffff_ffff_ffffn, memory)).toBeNull();
  });

  it('ends on tables that point to themselves', () => {
    const memory: ReadEntry = () => 0x1000n | P;
    expect(walk(address, memory)).toBe(0x1abcn);
  });

  it('ignores PCID and flags in CR3', () => {
    const memory = tables({ 0x1808: 0x2000n | P, 0x2008: LARGE });
    expect(getTranslation(x86({ cr3: 0x1fffn }))(address, memory)).toBe(0x20_1abcn);
  });
});

describe('other x86 modes', () => {
  it('walks five levels with CR4.LA57', () => {
    const walk = getTranslation(x86({ cr3: 0x1000n, cr4: 0x1020n }));
    const memory = tables({ 0x1008: 0x2000n | P, 0x2000: 0x3000n | P, 0x3000: LARGE });
    expect(walk(0x0001_0000_0000_0123n, memory)).toBe(0x123n);
    expect(walk(0x0100_0000_0000_0123n, memory)).toBeNull();
  });

  it('is the identity without paging, below 4 GiB', () => {
    const walk = getTranslation({ machine: 'i386', values: { cr0: 0x11n, cr3: 0n, cr4: 0n } });
    expect(walk(0xffff_fff0n, tables({}))).toBe(0xffff_fff0n);
    expect(walk(0x1_0000_0000n, tables({}))).toBeNull();
  });

  it('walks PAE tables', () => {
    const walk = getTranslation(x86({ cr3: 0x1020n, efer: 0n }));
    const memory = tables({ 0x1038: 0x2001n, 0x2008: 0x3001n, 0x2010: 0x5_0000_0000n | LARGE, 0x3008: 0x4_0000_7000n | P });
    expect(walk(0xc020_1abcn, memory)).toBe(0x4_0000_7abcn);
    expect(walk(0xc040_1abcn, memory)).toBe(0x5_0000_1abcn);
    expect(walk(0x0020_1abcn, memory)).toBeNull();
  });

  it('walks 32-bit tables, with 4 MiB pages where CR4.PSE allows them', () => {
    const memory = tables({ 0x1004: 0x2001n, 0x1008: 0x0080_2081n, 0x2004: 0x7001n });
    expect(getTranslation(x86({ cr3: 0x1000n, cr4: 0n, efer: 0n }))(0x40_1abcn, memory)).toBe(0x7abcn);
    // PSE-36: bit 13 of the entry is physical bit 32.
    expect(getTranslation(x86({ cr3: 0x1000n, cr4: 0x10n, efer: 0n }))(0x80_1abcn, memory)).toBe(0x1_0080_1abcn);
  });

  it('needs CR0, CR3 and CR4', () => {
    expect(codeOf(() => getTranslation({ machine: 'x86_64', values: { rip: 0n } }))).toBe('REGISTERS_UNREADABLE');
  });
});

describe('other machines', () => {
  it('walks Sv39 and refuses what is not canonical there', () => {
    const walk = getTranslation({ machine: 'riscv64', values: { satp: (8n << 60n) | 1n } });
    const memory = tables({ 0x1ff0: (0x2n << 10n) | P, 0x2000: (0x80000n << 10n) | 0xfn });
    expect(walk(0xffff_ffff_8000_0abcn, memory)).toBe(0x8000_0abcn);
    expect(walk(0x7fff_ffff_8000_0abcn, memory)).toBeNull();
  });

  it('is the identity under riscv64 without satp mode, and says what it lacks on aarch64', () => {
    expect(getTranslation({ machine: 'riscv64', values: { satp: 0n } })(0x8000_0000n, tables({}))).toBe(0x8000_0000n);
    expect(codeOf(() => getTranslation({ machine: 'aarch64', values: { pc: 0n } }))).toBe('REGISTERS_UNREADABLE');
    expect(codeOf(() => getTranslation({ machine: 'riscv64', values: { satp: 15n << 60n } }))).toBe('REGISTERS_UNREADABLE');
  });
});

function codeOf(body: () => unknown): string | null {
  try {
    body();
    return null;
  } catch (error) {
    return errorCode(error);
  }
}
