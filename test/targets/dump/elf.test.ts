// ELF cores as QEMU writes them, made by hand: what is where, what is mended, and that no damage does more than lose something.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../../src/bytes/byte-source.ts';
import { createAddressSpace } from '../../../src/memory/address-space.ts';
import { errorCode } from '../../../src/model/error.ts';
import { qemuElf } from '../../../src/targets/dump/elf.ts';
import { type CoreBlock, writeCore, writeNote, writeNotes } from './core-writer.ts';
import { codesOf, openBytes, readPhysical, recogniseBytes } from './opened.ts';

const PAGE = 4096;
const LONG = { cr0: 0x8000_0011n, cr4: 0x20n };

function filled(pages: number, first = 1): Uint8Array {
  return Uint8Array.from({ length: pages * PAGE }, (_, index) => first + Math.floor(index / PAGE) + (index % 7));
}

const low = filled(4);
const high = filled(2, 100);
const blocks: readonly CoreBlock[] = [
  { physical: 0, bytes: low },
  { physical: 0x10_0000, bytes: high, memorySize: high.length + PAGE },
];

describe('an ELF core of QEMU', () => {
  it('holds what its segments hold, zeros behind them, and nothing in holes', () => {
    const contents = openBytes(qemuElf, writeCore(blocks, [{}]));
    expect(contents).toMatchObject({ title: 'QEMU ELF dump', machine: 'x86_64', partial: null, diagnostics: [] });
    expect(contents.memory.bytes).toBe(7 * PAGE);
    expect(readPhysical(contents, 3 * PAGE + 1, PAGE - 1)).toEqual(low.subarray(3 * PAGE + 1));
    expect(readPhysical(contents, 0x10_0000 + 2 * PAGE - 8, 16)).toEqual(
      Uint8Array.from([...high.subarray(-8), ...Array<number>(8).fill(0)]),
    );
    for (const hole of [4 * PAGE, 0x10_0000 - 8, 0x10_0000 + 3 * PAGE - 8]) expect(readPhysical(contents, hole, 16)).toBeNull();
  });

  it('is the same with 32-bit headers, and with its count of segments in section 0', () => {
    for (const options of [{ bits: 32 }, { manySegments: true }, { bits: 32, manySegments: true }] as const) {
      const contents = openBytes(qemuElf, writeCore(blocks, [{}], options));
      expect(contents.partial).toBeNull();
      expect(readPhysical(contents, 0x10_0000, 2 * PAGE)).toEqual(high);
    }
  });

  it('has really 70,000 segments where section 0 says so', () => {
    const one = filled(1);
    const many = Array.from({ length: 70_000 }, (_, index) => ({ physical: 2 * index * PAGE, bytes: one }));
    const contents = openBytes(qemuElf, writeCore(many, [{}], { manySegments: true }));
    expect(contents.memory.bytes).toBe(70_000 * PAGE);
    expect(readPhysical(contents, 2 * 69_999 * PAGE, PAGE)).toEqual(one);
    expect(readPhysical(contents, 69_999 * PAGE, PAGE)).toBeNull();
  });

  it('gives the registers of each vCPU by the names that a live VM gives them', () => {
    const values = {
      rax: 1n,
      rip: 0xffff_8000_0000_1234n,
      eflags: 0x246n,
      cs: 8n,
      fs_base: 0x55n,
      idt_base: 0x66n,
      cr3: 0x1000n,
      ...LONG,
    };
    const { vcpus } = openBytes(qemuElf, writeCore(blocks, [{ values }, { long: true, values: LONG }]));
    expect(vcpus.map(({ vcpu }) => vcpu)).toEqual([0, 1]);
    expect(vcpus[0]!.registers.machine).toBe('x86_64');
    expect(vcpus[0]!.registers.values).toMatchObject({ ...values, efer: 0x500n, r15: 0n, gdt_base: 0n, k_gs_base: 0n });
    // `info registers` has no base of a code segment in 64-bit mode; who is halted is not told where its code cannot be read.
    expect(vcpus[0]!.registers.values).not.toHaveProperty('cs_base');
    expect(vcpus[0]!.registers.values).not.toHaveProperty('halted');
  });

  it('tells who is halted by a HLT before the pc, which is no byte of a longer instruction', () => {
    const code = new Uint8Array(PAGE).fill(0x90);
    // 0x100: cli; hlt; jmp. 0x200: mov $0xf4, %al. 0x300: mov $0xf4909090, %eax.
    code.set([0xfa, 0xf4, 0xeb, 0xfe], 0x100);
    code.set([0xb0, 0xf4], 0x200);
    code.set([0xb8, 0x90, 0x90, 0x90, 0xf4], 0x300);
    const at = (eip: bigint): bigint | undefined => {
      const core = writeCore([{ physical: 0, bytes: code }], [{ long: false, values: { cr0: 1n, rip: eip } }]);
      return openBytes(qemuElf, core).vcpus[0]?.registers.values['halted'];
    };
    expect([0x102n, 0x101n, 0x202n, 0x305n, 0x5000n].map(at)).toEqual([1n, 0n, 0n, 0n, undefined]);
  });

  it('counts a vCPU as halted that waits at the reset vector to be started, but for the first', () => {
    const atReset = { long: false, values: { cs_base: 0xffff_0000n, rip: 0xfff0n, cr0: 0x6000_0010n } };
    const { vcpus } = openBytes(qemuElf, writeCore(blocks, [atReset, atReset]));
    expect(vcpus.map(({ registers }) => registers.values['halted'])).toEqual([0n, 1n]);
  });

  it('has 32-bit names and all segment bases for a vCPU that is not in 64-bit code', () => {
    const values = { rax: 0xffff_ffff_0000_0001n, rip: 0xfff0n, cs: 0xf000n, cs_base: 0xffff_0000n, cr0: 0x6000_0010n };
    const [vcpu] = openBytes(qemuElf, writeCore(blocks, [{ long: false, values }], { bits: 32 })).vcpus;
    expect(vcpu!.registers.machine).toBe('i386');
    expect(vcpu!.registers.values).toMatchObject({ eax: 1n, eip: 0xfff0n, cs_base: 0xffff_0000n, efer: 0n });
  });

  it('reads aarch64 and riscv64 from their general registers', () => {
    for (const [machine, elfMachine, size] of [
      ['aarch64', 183, 392],
      ['riscv64', 243, 376],
    ] as const) {
      const status = Buffer.alloc(size);
      status.writeUInt32LE(1, 32);
      status.writeBigUInt64LE(0x4000_1234n, 112 + (machine === 'aarch64' ? 8 * 32 : 0));
      const core = writeCore(blocks, [], { machine: elfMachine, notes: writeNote('CORE', 1, status) });
      expect(recogniseBytes(core)).toBe('elf');
      const contents = openBytes(qemuElf, core);
      expect(contents.machine).toBe(machine);
      expect(contents.vcpus[0]?.registers.values).toMatchObject({ pc: 0x4000_1234n });
    }
  });

  it("is told from a process's core, and from other files", () => {
    expect(recogniseBytes(writeCore(blocks, [{}]))).toBe('elf');
    const process = writeCore(blocks, [], {
      notes: Buffer.concat([writeNote('CORE', 1, Buffer.alloc(336)), writeNote('CORE', 6, Buffer.alloc(32))]),
    });
    expect(qemuElf.recognise(process, { size: process.length } as ByteSource)).toBe(false);
    expect(recogniseBytes(Buffer.from('panic: assertion failed\n'.repeat(4096)))).toBeNull();
    expect(recogniseBytes(Buffer.alloc(0))).toBeNull();
  });

  it('of paging=true is read by physical addresses, between its mapped runs too, and says so', () => {
    const ram = filled(16);
    const mapped = (from: number, to: number, virtual: bigint): CoreBlock => ({
      physical: from * PAGE,
      virtual,
      bytes: ram.subarray(from * PAGE, to * PAGE),
    });
    // Each run is stored once more here than QEMU does, which stores blocks of RAM: made so below.
    const core = writeCore([{ physical: 0, bytes: ram }], [{ values: LONG }]);
    const [first, last] = [mapped(1, 3, 0xffff_0000_0000_1000n), mapped(9, 12, 0xffff_8800_0000_9000n)];
    const patched = writeCore([first, last], [{ values: LONG }]);
    const start = patched.length - 5 * PAGE;
    const file = Buffer.concat([patched.subarray(0, start), core.subarray(core.length - ram.length)]);
    file.writeBigUInt64LE(BigInt(start + PAGE), 64 + 56 + 8);
    file.writeBigUInt64LE(BigInt(start + 9 * PAGE), 64 + 2 * 56 + 8);
    const contents = openBytes(qemuElf, file);
    expect(contents.title).toBe('QEMU ELF dump (paging=true)');
    expect(codesOf(contents)).toEqual(['dump-virtual-addresses']);
    expect(readPhysical(contents, PAGE, 11 * PAGE)).toEqual(ram.subarray(PAGE, 12 * PAGE));
    expect(readPhysical(contents, 12 * PAGE, 8)).toBeNull();
  });

  it('of paging=true that QEMU cut at the hole of a VGA card goes on behind it, where the BIOS shows that it does', () => {
    const lower = new Uint8Array(0xa_0000).fill(1);
    const upper = new Uint8Array(0x10_0000).fill(2);
    const virtual = 0xffff_0000_0000_0000n;
    const write = (): Buffer =>
      Buffer.concat([writeCore([{ physical: 0, virtual, bytes: lower, memorySize: 0x4000_0000 }], [{ values: LONG }]), upper]);
    expect(readPhysical(openBytes(qemuElf, write()), 0xc_0000, 16)).toBeNull();
    upper.set([0xea, 0x5b, 0xe0, 0x00, 0xf0], 0xf_fff0 - 0xc_0000);
    const contents = openBytes(qemuElf, write());
    expect(readPhysical(contents, 0xc_0000, upper.length)).toEqual(upper);
    for (const hole of [0xa_0000, 0xc_0000 + upper.length]) expect(readPhysical(contents, hole, 16)).toBeNull();
    expect(contents.partial).toBeNull();
  });

  it('takes stored bytes where segments overlap, the later ones, and never zeros over bytes', () => {
    const contents = openBytes(
      qemuElf,
      writeCore(
        [
          { physical: 0, bytes: low },
          { physical: PAGE, bytes: high },
          { physical: 0, bytes: new Uint8Array(), memorySize: 8 * PAGE },
        ],
        [{}],
      ),
    );
    expect(readPhysical(contents, 0, PAGE)).toEqual(low.subarray(0, PAGE));
    expect(readPhysical(contents, PAGE, 2 * PAGE)).toEqual(high);
    expect(readPhysical(contents, 3 * PAGE, PAGE)).toEqual(low.subarray(3 * PAGE));
    expect(readPhysical(contents, 4 * PAGE, 4 * PAGE)).toEqual(new Uint8Array(4 * PAGE));
  });

  it('leaves out segments that wrap or lie beyond all addresses, and says how many', () => {
    const core = writeCore([...blocks, { physical: 0, bytes: high }], [{}]);
    core.writeBigUInt64LE(0xffff_ffff_ffff_f000n, 64 + 3 * 56 + 24);
    const contents = openBytes(qemuElf, core);
    expect(codesOf(contents)).toContain('dump-segments');
    expect(readPhysical(contents, 0, 4 * PAGE)).toEqual(low);
  });
});

describe('a damaged ELF core', () => {
  const core = writeCore(blocks, [{ values: LONG }]);
  const headers = core.length - 6 * PAGE;

  it('that is cut off has what is there, and says how much', () => {
    const contents = openBytes(qemuElf, core.subarray(0, headers + 3 * PAGE + 100));
    expect(contents.partial).toBe('cut off at 13.1 KiB: 16.1 KiB of 28.0 KiB guest memory are there');
    expect(readPhysical(contents, 0, 3 * PAGE)).toEqual(low.subarray(0, 3 * PAGE));
    expect(readPhysical(contents, 3 * PAGE, PAGE)).toBeNull();
    expect(contents.vcpus).toHaveLength(1);
  });

  it('cut anywhere in its headers is partial or malformed', () => {
    for (let length = 0; length < headers; length += 1) {
      let partial: string | null = null;
      try {
        ({ partial } = openBytes(qemuElf, core.subarray(0, length)));
      } catch (error) {
        expect(errorCode(error), String(error)).toBe('DUMP_MALFORMED');
        continue;
      }
      expect(partial).toMatch(/^cut off/);
    }
  });

  it('with any bits flipped gives something or DUMP_*, and a walk through its memory ends', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(headers - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }), (flips) => {
        const damaged = Buffer.from(core);
        for (const [at, value] of flips) damaged[at]! ^= value;
        try {
          recogniseBytes(damaged);
          const contents = openBytes(qemuElf, damaged);
          readPhysical(contents, 0x10_0000 - 8, 64);
          for (const { registers } of contents.vcpus) {
            if (contents.memory.kind === 'physical') createAddressSpace(contents.memory.reader, registers).read(0x10_0000n, 64);
          }
        } catch (error) {
          expect(errorCode(error)).toMatch(/^(DUMP|REGISTERS)_/);
        }
      }),
      { numRuns: 700 },
    );
  });

  it('whose notes claim 4 GiB, and whose table claims 4 billion segments, costs neither time nor memory', () => {
    const notes = writeNotes([{ values: LONG }]);
    notes.writeUInt32LE(0xffff_fff0, 4);
    const lying = writeCore(blocks, [], { notes, manySegments: true });
    lying.writeUInt32LE(0xffff_ffff, 64 + 3 * 56 + 44);
    lying.writeBigUInt64LE(0xffff_ffffn, 64 + 32);
    const before = process.memoryUsage().arrayBuffers;
    const contents = openBytes(qemuElf, lying);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32e6);
    expect(contents.vcpus).toEqual([]);
    expect(codesOf(contents)).toContain('dump-no-registers');
    expect(contents.partial).toMatch(/of 4294967295 are there/);
  });

  it('whose page tables go round in circles maps what they say and no more', () => {
    // The root's first entry is the root itself, at every level.
    const root = new Uint8Array(PAGE);
    new DataView(root.buffer).setBigUint64(0, 0x1003n, true);
    const circular = writeCore([{ physical: 0x1000, bytes: root }], [{ values: { ...LONG, cr3: 0x1000n } }]);
    const contents = openBytes(qemuElf, circular);
    if (contents.memory.kind !== 'physical') throw new Error('virtual');
    const space = createAddressSpace(contents.memory.reader, contents.vcpus[0]!.registers);
    expect(space.read(0n, 8)).toEqual(root.subarray(0, 8));
    expect(space.read(0x1000n, 8)).toBeNull();
  });
});
