// Raw memory: what is taken for it, where it lies, and whose registers it gets.

import { describe, expect, it } from 'vitest';
import { rawMemory } from '../../../src/targets/dump/raw.ts';
import { codesOf, openBytes, readPhysical, recogniseBytes } from './opened.ts';

const MIB = 1024 * 1024;

/** Interrupt vectors as SeaBIOS leaves them, and nothing else. */
function withVectors(bytes: number): Buffer {
  const memory = Buffer.alloc(bytes);
  for (let vector = 0; vector < 256; vector += 1) if (vector < 0x78) memory.writeUInt32LE(0xf000_ff53, 4 * vector);
  return memory;
}

describe('raw memory', () => {
  it('is recognised by the interrupt vectors that firmware leaves, in whole pages only', () => {
    expect(recogniseBytes(withVectors(MIB))).toBe('raw');
    expect(recogniseBytes(withVectors(MIB + 100))).toBeNull();
    expect(recogniseBytes(withVectors(MIB / 2))).toBeNull();
  });

  it('is no text, no zeros, no random bytes, no machine code', () => {
    const line = 'Booting… 00:f0 [    0.000] SeaBIOS (version 1.16.2)\n';
    const text = Buffer.alloc(MIB, line);
    expect(recogniseBytes(text)).toBeNull();
    expect(recogniseBytes(Buffer.alloc(MIB))).toBeNull();
    expect(recogniseBytes(Buffer.alloc(MIB, 0xf0))).toBeNull();
    const random = Buffer.from(Uint8Array.from({ length: MIB }, (_, index) => Math.imul(index, 2_654_435_761) >>> 24));
    expect(recogniseBytes(random)).toBeNull();
  });

  it('begins where it is told to, and ends with the file', () => {
    const bytes = withVectors(MIB);
    const contents = openBytes(rawMemory, bytes, { physicalBase: 0x4000_0000n });
    expect(readPhysical(contents, 0x4000_0000, 1024)).toEqual(new Uint8Array(bytes.subarray(0, 1024)));
    for (const outside of [0, 0x4000_0000 - 8, 0x4000_0000 + MIB - 8]) expect(readPhysical(contents, outside, 16)).toBeNull();
    expect(contents.memory.bytes).toBe(MIB);
  });

  it('has the registers that it is given as text, of any machine', () => {
    const texts = [
      [
        'x86_64',
        'CPU#1\nRAX=0000000000000007 RBX=0\nRIP=0000000000001234 RFL=00000246\nCR0=80000011 CR2=0 CR3=0000000000005000 CR4=00000020\nEFER=0000000000000500',
      ],
      ['riscv64', 'CPU#1\n pc       0000000000001234\n satp     0000000000000000\n'],
      ['aarch64', 'CPU#1\n PC=0000000000001234 X00=0000000000000007 SP=0000000000000000\nPSTATE=600003c5\n'],
    ] as const;
    for (const [machine, registersText] of texts) {
      const contents = openBytes(rawMemory, withVectors(MIB), { registersText });
      expect(contents.machine).toBe(machine);
      expect(contents.vcpus[0]).toMatchObject({
        vcpu: 1,
        registers: { values: { [machine === 'x86_64' ? 'rip' : 'pc']: 0x1234n } },
      });
      expect(contents.diagnostics).toEqual([]);
    }
    expect(codesOf(openBytes(rawMemory, withVectors(MIB), { registersText: 'no registers' }))).toEqual(['dump-no-registers']);
  });

  it('has page tables where the images are found, and says what to do where they are not', () => {
    const memory = withVectors(MIB);
    const landmark = { address: 0xffff_8000_0003_0010n, bytes: Uint8Array.from({ length: 64 }, (_, index) => index + 1) };
    memory.set(landmark.bytes, 0x3_0010);
    // Root 0x10000, its entry 256 → 0x11000 → 0x12000 → a 2 MiB page at 0.
    memory.writeBigUInt64LE(0x11003n, 0x1_0000 + 8 * 256);
    memory.writeBigUInt64LE(0x12003n, 0x1_1000);
    memory.writeBigUInt64LE(0x83n, 0x1_2000);
    const found = openBytes(rawMemory, memory, { landmarks: [landmark] });
    expect(found.vcpus[0]?.registers).toEqual({
      machine: 'x86_64',
      values: { cr0: 0x8000_0001n, cr3: 0x1_0000n, cr4: 0x20n, efer: 0x500n },
    });
    expect(codesOf(found)).toEqual(['dump-page-tables-found']);
    const other = openBytes(rawMemory, memory, { landmarks: [{ ...landmark, address: 0xffff_9000_0003_0010n }] });
    expect(other.vcpus).toEqual([]);
    expect(other.diagnostics[0]?.message).toMatch(/--registers/);
    expect(openBytes(rawMemory, memory).diagnostics[0]?.message).toMatch(/--symbols/);
  });

  it('that ends within a page is partial', () => {
    expect(openBytes(rawMemory, withVectors(MIB + 100)).partial).toMatch(/^cut off within a page/);
  });
});
