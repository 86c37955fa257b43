// Dumps of a real guest in every format that this QEMU writes, and in those that others make of them, against the guest itself while it
// stands still: registers, memory, stacks.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withoutPaging } from '../../src/memory/page-walk.ts';
import type { Machine } from '../../src/model/machine.ts';
import type { VcpuRegisters } from '../../src/model/registers.ts';
import { findVm } from '../../src/qemu/discover/find.ts';
import { openQmp, type QmpClient } from '../../src/qemu/qmp/client.ts';
import { findMember } from '../../src/qemu/qmp/exact-json.ts';
import { type DumpTarget, type OpenDumpOptions, openDump } from '../../src/targets/dump/open-dump.ts';
import { openLive } from '../../src/targets/live.ts';
import { runUnidbg } from '../support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';
import { writeCore } from '../targets/dump/core-writer.ts';
import { writeKdump } from '../targets/dump/kdump-writer.ts';

const MEMORY = 32 * 1024 * 1024;
const PAGE = 4096;
const folder = mkdtempSync(join(tmpdir(), 'unidbg-dumps-'));
const fileOf = (name: string): string => join(folder, name);

describe('a dump of the demo guest', () => {
  let guest: DemoGuest;
  let qmp: QmpClient;
  /** As attaching shows them. */
  let live: { readonly machine: Machine; readonly registers: readonly VcpuRegisters[] };
  let registersText: string;
  let ram: number;

  beforeAll(async () => {
    // A QMP socket serves one at a time: the first is left to those who attach.
    const own = fileOf('own.sock');
    guest = await startDemoGuest({ qemuArgs: ['-m', '32M', '-smp', '2', '-qmp', `unix:${own},server=on,wait=off`] });
    await guest.waitForConsole(/unikernel up/);
    qmp = await openQmp({ kind: 'unix', path: own });
    await qmp.execute('stop');
    const target = await openLive(findVm(String(guest.process.pid)));
    live = { machine: target.machine, registers: await target.allRegisters() };
    target.close();
    registersText = await qmp.hmp('info registers -a');
    await qmp.hmp(`pmemsave 0 ${MEMORY} "${fileOf('raw')}"`);
    ram = openSync(fileOf('raw'), 'r');
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${fileOf('elf')}`, format: 'elf' });
  });
  afterAll(async () => {
    qmp.close();
    await guest.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The dump has the guest's registers, and its memory at 200 random pages. */
  async function expectTheGuest(dump: DumpTarget): Promise<void> {
    try {
      expect(dump.machine).toBe(live.machine);
      expect(dump.partial).toBeNull();
      const there = await dump.allRegisters();
      expect(there.map(({ vcpu }) => vcpu)).toEqual([0, 1]);
      for (const [index, { registers }] of there.entries()) {
        const expected = live.registers[index]!.registers;
        expect(registers.machine).toBe(expected.machine);
        // Who is halted is told by the code; the notes do not know all of EFER, and know the kernel's GS base, which this QEMU may not show.
        const longMode = (values: Readonly<Record<string, bigint>>): bigint => (values['efer'] ?? 0n) & 0x400n;
        const known = Object.entries(expected.values).filter(([name]) => !['efer', 'k_gs_base'].includes(name));
        expect(registers.values).toMatchObject(Object.fromEntries(known));
        expect(longMode(registers.values)).toBe(longMode(expected.values));
      }
      const memory = dump.memory(withoutPaging(there[0]!.registers));
      for (let count = 0; count < 200; count += 1) {
        const page = Math.floor(Math.random() * (MEMORY / PAGE));
        expect(memory.read(BigInt(page * PAGE), PAGE), `page ${page} of ${dump.title}`).toEqual(pageOfRam(page));
      }
    } finally {
      dump.close();
    }
  }

  function pageOfRam(page: number): Uint8Array {
    const bytes = new Uint8Array(PAGE);
    readSync(ram, bytes, 0, PAGE, page * PAGE);
    return bytes;
  }

  function open(name: string, options: OpenDumpOptions = {}): DumpTarget {
    return openDump(fileOf(name), options);
  }

  it('is the guest in each format that this QEMU writes', async () => {
    const formats = findMember(await qmp.execute('query-dump-guest-memory-capability'), 'formats') as readonly string[];
    expect(formats).toContain('kdump-zlib');
    for (const format of formats.filter((name) => name !== 'win-dmp')) {
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${fileOf(format)}`, format });
      await expectTheGuest(open(format));
    }
  });

  it('with paging=true is the guest too, though its virtual addresses are wrong', async () => {
    await qmp.execute('dump-guest-memory', { paging: true, protocol: `file:${fileOf('paging')}` });
    const dump = open('paging');
    expect(dump.describe().map(({ code }) => code)).toEqual(['dump-virtual-addresses']);
    await expectTheGuest(dump);
  });

  it('as LZO by makedumpfile, as snappy and zstd, and as raw memory with its registers, is the guest', async () => {
    // makedumpfile expects program headers right behind the ELF header, where QEMU puts them no more.
    const notes = notesOf(readFileSync(fileOf('elf')));
    const memory = readFileSync(fileOf('raw'));
    writeFileSync(fileOf('core'), writeCore([{ physical: 0, bytes: memory }], [], { notes }));
    execFileSync('makedumpfile', ['-l', fileOf('core'), fileOf('lzo')], { stdio: 'ignore' });
    await expectTheGuest(open('lzo'));
    const pages = Array.from({ length: MEMORY / PAGE }, (_, index) => memory.subarray(index * PAGE, (index + 1) * PAGE));
    for (const compression of ['snappy', 'zstd'] as const) {
      writeFileSync(fileOf(compression), writeKdump(pages, { compression, notes }));
      await expectTheGuest(open(compression));
    }
    await expectTheGuest(open('raw', { registersText }));
  });

  it('has the stacks that the guest has', async () => {
    const stacksOf = async (target: string, ...more: readonly string[]): Promise<unknown> => {
      const { status, stdout } = await runUnidbg(['backtrace', target, '--json', '--symbols', guest.elf, ...more]);
      expect(status, stdout).toBe(0);
      const { stacks } = JSON.parse(stdout) as { stacks: { name: string; frames: { pc: string; trust: string }[] }[] };
      return stacks.map(({ name, frames }) => ({ name, frames: frames.map(({ pc, trust }) => `${pc} ${trust}`) }));
    };
    const expected = await stacksOf(String(guest.process.pid));
    writeFileSync(fileOf('registers.txt'), registersText);
    expect(expected).toContainEqual(expect.objectContaining({ name: expect.stringContaining('idle') as string }));
    for (const name of ['elf', 'kdump-zlib']) expect(await stacksOf(fileOf(name)), name).toEqual(expected);
    expect(await stacksOf(fileOf('raw'), '--registers', fileOf('registers.txt'))).toEqual(expected);
  });

  it('cut off has the registers, what memory is there, and how much that is', async () => {
    truncateSync(fileOf('elf'), MEMORY / 2);
    const dump = open('elf');
    expect(dump.partial).toMatch(/^cut off at 16\.0 MiB: 16\.0 MiB of 32\.3 MiB guest memory are there$/);
    const [first] = await dump.allRegisters();
    const memory = dump.memory(withoutPaging(first!.registers));
    expect(memory.read(0x10_0000n, PAGE)).toEqual(pageOfRam(0x100));
    expect(memory.read(BigInt(MEMORY - PAGE), PAGE)).toBeNull();
    dump.close();
  });
});

/** The bytes of the first program header's segment, which is the notes'. */
function notesOf(core: Buffer): Uint8Array {
  const header = Number(core.readBigUInt64LE(32));
  const [offset, size] = [Number(core.readBigUInt64LE(header + 8)), Number(core.readBigUInt64LE(header + 32))];
  return core.subarray(offset, offset + size);
}
