// The same real guest, standing still, as QEMU's migration stream and as Xen's cores made of its memory: registers, memory and stacks are
// those of QEMU's own dump.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withoutPaging } from '../../src/memory/page-walk.ts';
import type { VcpuRegisters } from '../../src/model/registers.ts';
import { openQmp } from '../../src/qemu/qmp/client.ts';
import { findMember } from '../../src/qemu/qmp/exact-json.ts';
import { parseRegisters } from '../../src/qemu/registers.ts';
import { type DumpTarget, openDump } from '../../src/targets/dump/open-dump.ts';
import { runUnidbg } from '../support/cli.ts';
import { startDemoGuest } from '../support/demo-guest.ts';
import { makeParavirtual, writeXenCore } from '../targets/dump/xen-writer.ts';

const MEMORY = 32 * 1024 * 1024;
const PAGE = 4096;
const BLOCK_FRAMES = 512;
const folder = mkdtempSync(join(tmpdir(), 'unidbg-foreign-'));
const fileOf = (name: string): string => join(folder, name);

describe('the demo guest', () => {
  let elf: string;
  let memory: Buffer;
  let live: readonly VcpuRegisters[];

  beforeAll(async () => {
    const guest = await startDemoGuest({ qemuArgs: ['-m', '32M'] });
    const qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
    try {
      elf = guest.elf;
      await guest.waitForConsole(/unikernel up/);
      // Time to start its threads.
      await sleep(500);
      await qmp.execute('stop');
      live = parseRegisters(await qmp.hmp('info registers -a'), 'x86_64');
      await qmp.hmp(`pmemsave 0 ${MEMORY} "${fileOf('raw')}"`);
      await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${fileOf('qemu')}` });
      await qmp.execute('migrate', { uri: `exec:cat > ${fileOf('migration')}` });
      while (findMember(await qmp.execute('query-migrate'), 'status') !== 'completed') await sleep(50);
    } finally {
      qmp.close();
      await guest.stop();
    }
    memory = readFileSync(fileOf('raw'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('is the same in its migration stream: every page, every register', async () => {
    const dump = openDump(fileOf('migration'));
    try {
      expect(dump.partial).toBeNull();
      const there = await dump.allRegisters();
      for (const [index, { vcpu, registers }] of live.entries()) expect(there[index]).toMatchObject({ vcpu, registers });
      const space = dump.memory(withoutPaging(there[0]!.registers));
      for (let at = 0; at < MEMORY; at += 1024 * 1024) {
        expect(Buffer.compare(space.read(BigInt(at), 1024 * 1024)!, memory.subarray(at, at + 1024 * 1024))).toBe(0);
      }
    } finally {
      dump.close();
    }
  });

  it('has the same stacks in its migration stream, and in a Xen core on machine frames of its own', async () => {
    writeFileSync(fileOf('xen-pv'), paravirtualCore());
    const expected = await stacksOf('qemu');
    expect(expected.length).toBeGreaterThan(4);
    for (const name of ['migration', 'xen-pv']) expect(await stacksOf(name), name).toEqual(expected);
  });

  it('has the same virtual memory in Xen cores', () => {
    writeFileSync(fileOf('xen-pv'), paravirtualCore());
    writeFileSync(fileOf('xen-pvh'), pvhCore());
    const [own, pv, pvh] = ['qemu', 'xen-pv', 'xen-pvh'].map((name) => openDump(fileOf(name))) as [
      DumpTarget,
      DumpTarget,
      DumpTarget,
    ];
    try {
      const { machine, values } = live[0]!.registers;
      const expected = own.memory({ machine, values });
      const spaces = [pv.memory({ machine, values: { ...values, cr3: paravirtual().cr3 } }), pvh.memory({ machine, values })];
      let mapped = 0;
      for (let at = 0x10_0000; at < MEMORY; at += 16 * PAGE) {
        const bytes = expected.read(BigInt(at), PAGE);
        for (const space of spaces) expect(space.read(BigInt(at), PAGE), at.toString(16)).toEqual(bytes);
        if (bytes !== null) mapped += 1;
      }
      expect(mapped).toBeGreaterThan(100);
    } finally {
      for (const dump of [own, pv, pvh]) dump.close();
    }
  });

  /** Blocks of 2 MiB in another order, above 4 GiB. */
  function paravirtual(): ReturnType<typeof makeParavirtual> {
    const blocks = MEMORY / PAGE / BLOCK_FRAMES;
    const frameOf = (pfn: number): number =>
      ((Math.floor(pfn / BLOCK_FRAMES) * 7 + 3) % blocks) * 3 * BLOCK_FRAMES + 2 ** 21 + (pfn % BLOCK_FRAMES);
    return makeParavirtual(memory, live[0]!.registers.values['cr3']!, frameOf);
  }

  function paravirtualCore(): Buffer {
    const { pages, cr3 } = paravirtual();
    return writeXenCore({ isParavirtual: true, vcpus: [{ ...live[0]!.registers.values, cr3 }], pages: pages.toReversed() }).bytes;
  }

  /** As xl writes it: in order, without the VGA hole. */
  function pvhCore(): Buffer {
    const pages = Array.from({ length: MEMORY / PAGE }, (_, pfn) => ({
      pfn,
      bytes: memory.subarray(pfn * PAGE, (pfn + 1) * PAGE),
    }));
    const written = pages.filter(({ pfn }) => pfn < 0xa0 || pfn >= 0xc0);
    return writeXenCore({ isParavirtual: false, vcpus: [live[0]!.registers.values], pages: written }).bytes;
  }

  async function stacksOf(name: string): Promise<readonly string[]> {
    const { status, stdout, stderr } = await runUnidbg(['backtrace', fileOf(name), '--symbols', elf]);
    expect([status, stderr]).toEqual([0, '']);
    return stdout.trimEnd().split('\n');
  }
});
