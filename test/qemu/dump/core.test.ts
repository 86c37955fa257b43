import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memorySource } from '../../../src/bytes/byte-source.ts';
import { errorCode } from '../../../src/model/error.ts';
import type { Machine } from '../../../src/model/machine.ts';
import { encodeCoreHead, layOutCore } from '../../../src/qemu/dump/core-file.ts';
import { encodeNotes } from '../../../src/qemu/dump/core-notes.ts';
import { parseVcpuStates, type VcpuState } from '../../../src/qemu/dump/vcpu-state.ts';
import { openDumpSource } from '../../../src/targets/dump/open-dump.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-core-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** As QEMU 7.2 prints them: long mode, and a segment whose base is split over its descriptor. */
const LONG = `
CPU#0
RAX=0000000000000001 RBX=0000000000000002 RCX=0000000000000003 RDX=0000000000000004
RSI=0000000000000005 RDI=0000000000000006 RBP=0000000000000007 RSP=0000000000000008
R8 =0000000000000009 R9 =000000000000000a R10=000000000000000b R11=000000000000000c
R12=000000000000000d R13=000000000000000e R14=000000000000000f R15=0000000000000010
RIP=ffffffff80001234 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
ES =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
SS =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
DS =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
FS =0000 00007f0000001000 00000000 00000000
GS =0000 ffff888000002000 00000000 00000000
LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT
TR =0018 000000000112d040 00000067 00008900 DPL=0 TSS64-avl
GDT=     000000000010e060 00000027
IDT=     000000000012d0c0 00000fff
CR0=80010011 CR2=00000000deadbeef CR3=0000000000152000 CR4=00000020
EFER=0000000000000500
`;
const SHORT = LONG.replaceAll('CPU#0', 'CPU#1')
  .replace(/^R(\w\w)=0{8}/gm, 'E$1=')
  .replace(/ R(\w\w)=0{8}/gm, ' E$1=')
  .replace(/^R\d.*\n/gm, '')
  .replace('RIP=ffffffff80001234 RFL', 'EIP=00001234 EFL')
  .replace('00af9b00', '00cf9b00')
  .replace('EFER=0000000000000500', 'EFER=0000000000000000');

function coreOf(states: readonly VcpuState[], machine: Machine): Buffer {
  const runs = [
    { start: 0n, end: 0xa0000n },
    { start: 0x100000n, end: 0x102000n },
  ];
  const layout = layOutCore(runs, 0x10000);
  const head = encodeCoreHead(layout, encodeNotes(states, machine), machine, 0x10000);
  return Buffer.concat([head, Buffer.alloc(layout.size - head.length, 0x5a)]);
}

describe('a core', () => {
  it('of a 64-bit guest has the registers that its dump is opened with', async () => {
    const states = parseVcpuStates(LONG, 'x86_64');
    const dump = openDumpSource(memorySource('core', coreOf(states, 'x86_64')));
    const [vcpu] = await dump.allRegisters();
    const { halted, ...known } = states[0]!.registers.values;
    expect(halted).toBe(1n);
    const { cr8, ...told } = known;
    expect(cr8).toBeUndefined();
    expect(vcpu?.registers.values).toMatchObject({ ...told, efer: 0x500n });
    expect(dump.facts).toMatchObject({ machine: 'x86_64', vcpus: 1, memoryBytes: 0xa0000 + 0x2000 });
    expect(dump.partial).toBeNull();
    dump.close();
  });

  it('is what readelf calls a core, 64 and 32 bit', () => {
    for (const [text, machine, words] of [
      [LONG, 'x86_64', /ELF64[\s\S]*CORE[\s\S]*X86-64/],
      [SHORT, 'i386', /ELF32[\s\S]*CORE[\s\S]*80386/],
    ] as const) {
      const path = join(folder, machine);
      writeFileSync(path, coreOf(parseVcpuStates(text, 'x86_64'), machine));
      const told = execFileSync('readelf', ['-W', '-h', '-l', '-n', path], { encoding: 'utf8' });
      expect(told).toMatch(words);
      expect(told).toMatch(/LOAD +0x0b0000 0x0*100000 0x0*100000 0x0*2000 0x0*2000/);
      expect(told).toMatch(/NT_PRSTATUS/);
      expect(told).toMatch(/QEMU +0x000001b8/);
    }
  });

  it('of a 32-bit guest is opened with its registers', async () => {
    const states = parseVcpuStates(SHORT, 'x86_64');
    expect(states[0]?.registers.machine).toBe('i386');
    const dump = openDumpSource(memorySource('core', coreOf(states, 'i386')));
    const [vcpu] = await dump.allRegisters();
    expect(vcpu?.registers.values).toMatchObject({ eax: 1n, ebp: 7n, eip: 0x1234n, cr3: 0x152000n });
    dump.close();
  });

  it('has the whole of TR, of which QEMU prints a part', () => {
    expect(parseVcpuStates(LONG, 'x86_64')[0]?.segments.get('tr')).toEqual({
      selector: 0x18,
      base: 0x112d040n,
      limit: 0x67,
      flags: 0x0100_8912,
    });
  });

  it('of memory that 32-bit headers cannot name is refused in words', () => {
    const layout = layOutCore([{ start: 0x1_0000_0000n, end: 0x1_0000_1000n }], 0x10000);
    expect(() => encodeCoreHead(layout, new Uint8Array(), 'i386', 0x10000)).toThrow(/fits no core of i386/);
    try {
      encodeCoreHead(layout, new Uint8Array(0x10000), 'x86_64', 0x10000);
      expect.unreachable();
    } catch (error) {
      expect(errorCode(error)).toBe('DUMP_UNSUPPORTED');
    }
  });

  it('of aarch64 and riscv64 is what readelf calls one', () => {
    for (const machine of ['aarch64', 'riscv64'] as const) {
      const state: VcpuState = { vcpu: 0, registers: { machine, values: { pc: 0x1234n, sp: 0x5678n } }, segments: new Map() };
      const path = join(folder, machine);
      writeFileSync(path, coreOf([state], machine));
      expect(execFileSync('readelf', ['-W', '-h', '-n', path], { encoding: 'utf8' })).toMatch(/NT_PRSTATUS/);
    }
  });
});
