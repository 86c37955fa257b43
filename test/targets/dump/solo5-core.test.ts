// Solo5's hvt cores, made by hand by tenders/hvt/hvt_module_dumpcore.c: no KVM here to make a real one.

import { describe, expect, it } from 'vitest';
import { solo5Core } from '../../../src/targets/dump/solo5-core.ts';
import { writeCore, writeNote } from './core-writer.ts';
import { surviveCuts, surviveDamage, surviveDump } from './damage.ts';
import { codesOf, openBytes, recogniseBytes } from './opened.ts';

const PAGE = 4096;

function solo5Bytes(): Buffer {
  const status = Buffer.alloc(336);
  status.writeBigUInt64LE(0x10_1234n, 112 + 8 * 16);
  status.writeBigUInt64LE(0x1f_ff00n, 112 + 8 * 19);
  const memory = Buffer.alloc(8 * PAGE);
  memory.fill(0x5a, 5 * PAGE, 6 * PAGE);
  const core = writeCore([{ physical: 0, virtual: 0n, bytes: memory }], [], { notes: writeNote('CORE', 1, status) });
  core[7] = 255;
  return core;
}

describe("a core of Solo5's hvt tender", () => {
  const bytes = solo5Bytes();

  it('has the registers of its vCPU, and memory one to one', () => {
    expect(recogniseBytes(bytes)).toBe('solo5');
    const contents = openBytes(solo5Core, bytes);
    expect(contents).toMatchObject({ title: 'Solo5 hvt core', machine: 'x86_64', partial: null, diagnostics: [] });
    expect(contents.vcpus).toMatchObject([{ vcpu: 0, registers: { values: { rip: 0x10_1234n, rsp: 0x1f_ff00n } } }]);
    const { memory } = contents;
    const read = (address: number, length: number): Uint8Array | null =>
      memory.kind === 'virtual' ? memory.memory.read(BigInt(address), length) : null;
    expect(read(5 * PAGE - 1, 3)).toEqual(Uint8Array.of(0, 0x5a, 0x5a));
    expect(read(8 * PAGE - 1, 2)).toBeNull();
  });

  it('reads untouched pages as zeros where the file ends before them, and says so', () => {
    const contents = openBytes(solo5Core, bytes.subarray(0, bytes.length - 2 * PAGE));
    expect(codesOf(contents)).toEqual(['dump-short']);
    expect(contents.memory.kind === 'virtual' && contents.memory.memory.read(BigInt(7 * PAGE), 4)).toEqual(new Uint8Array(4));
  });

  it('survives being cut anywhere, and any bytes changed', () => {
    surviveCuts(solo5Core, bytes, 700);
    surviveDamage(solo5Core, bytes, 600);
    const other = Buffer.from(bytes);
    other.writeUInt16LE(183, 18);
    expect(surviveDump(solo5Core, other)).toBe('DUMP_UNSUPPORTED');
  });
});
