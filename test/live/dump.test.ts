// `unidbg dump` on real guests: its core is what QEMU itself writes, page for page and register for register, and whatever ends it half-way
// leaves a running guest and a file that can be read.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openBundle } from '../../src/bundle/open-bundle.ts';
import { type ByteSource, openFileSource, readExactly } from '../../src/bytes/byte-source.ts';
import { parseRamLayout } from '../../src/memory/ram-layout.ts';
import { openQmp, type QmpClient } from '../../src/qemu/qmp/client.ts';
import { openDump } from '../../src/targets/dump/open-dump.ts';
import { runUnidbg, startUnidbg } from '../support/cli.ts';
import { type DemoGuest, startDemoGuest } from '../support/demo-guest.ts';

const folder = mkdtempSync(join(tmpdir(), 'unidbg-live-dump-'));
let files = 0;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

function newPath(ending: string): string {
  files += 1;
  return join(folder, `${files}${ending}`);
}

/** A guest, and a monitor of ours beside the one that unidbg takes. */
async function startWithMonitor(qemuArgs: readonly string[]): Promise<{ guest: DemoGuest; qmp: QmpClient }> {
  const path = newPath('.sock');
  const guest = await startDemoGuest({ qemuArgs: [...qemuArgs, '-qmp', `unix:${path},server=on,wait=off`] });
  await guest.waitForConsole(/up 1\./);
  const qmp = await openQmp({ kind: 'unix', path });
  return { guest, qmp };
}

async function statusOf(qmp: QmpClient): Promise<string> {
  return ((await qmp.execute('query-status')) as { status: string }).status;
}

describe('a dump of a guest', () => {
  let guest: DemoGuest;
  let qmp: QmpClient;

  beforeAll(async () => {
    ({ guest, qmp } = await startWithMonitor(['-smp', '2']));
  });

  afterAll(async () => {
    qmp.close();
    await guest.stop();
  });

  afterEach(async () => {
    await qmp.execute('cont');
  });

  it('that stands still is what QEMU writes itself, page for page and note for note', async () => {
    await qmp.execute('stop');
    const ours = newPath('.elf.zst');
    const raw = newPath('.elf');
    const theirs = newPath('.elf');
    for (const path of [ours, raw]) {
      const { status, stderr } = await runUnidbg(['dump', `unix:${guest.qmpPath}`, '--core', '-o', path]);
      expect(stderr).toBe('');
      expect(status).toBe(0);
    }
    await qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${theirs}` });
    expect(await statusOf(qmp)).toBe('paused');
    const unpacked = execFileSync('zstd', ['-dc', ours], { maxBuffer: 1 << 30 });
    expect(unpacked.equals(readFileSync(raw))).toBe(true);
    const [mine, reference] = [openDump(raw), openDump(theirs)];
    expect(mine.machine).toBe('x86_64');
    expect(await mine.allRegisters()).toEqual(await reference.allRegisters());
    expect(notesOf(raw)).toEqual(notesOf(theirs));
    let pages = 0;
    for (const { start, end } of parseRamLayout(await qmp.hmp('info mtree -f'))) {
      const saved = newPath('.bin');
      await qmp.hmp(`pmemsave 0x${start.toString(16)} ${end - start} "${saved}"`);
      const bytes = readFileSync(saved);
      expect(readPhysical(raw, start, bytes.length).equals(bytes)).toBe(true);
      pages += bytes.length / 4096;
      rmSync(saved);
    }
    expect(pages).toBeGreaterThan(32_000);
    mine.close();
    reference.close();
    for (const path of [ours, raw, theirs]) rmSync(path);
  });

  it('that runs goes on running, and says for how long it was stopped', async () => {
    const path = newPath('.unicrash');
    const { status, stdout } = await runUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path, '--json', '--symbols', guest.elf]);
    expect(status).toBe(0);
    const document = JSON.parse(stdout) as { stoppedMs: number; bytes: number; partial: null; pages: number };
    expect(document.stoppedMs).toBeGreaterThan(0);
    expect(document.bytes).toBe(statSync(path).size);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await statusOf(qmp)).toBe('running');
    const bundle = openBundle(path);
    expect(bundle.partial).toBeNull();
    expect(bundle.diagnostics).toEqual([]);
    expect(bundle.completion?.stoppedMs).toBe(document.stoppedMs);
    expect(bundle.manifest.vm.commandLine).toContain('-smp');
    expect(bundle.manifest.images[0]).toMatchObject({ path: guest.elf, match: 'build-id' });
    const console = bundle.text('console.log') ?? '';
    expect((await guest.console()).startsWith(Buffer.from(console).toString('latin1'))).toBe(true);
    expect(JSON.parse(bundle.text('report.json') ?? '')).toMatchObject({ verdict: 'ok' });
    bundle.close();
    const again = await runUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path]);
    expect(again.status).toBe(3);
    expect(again.stderr).toMatch(/is there already, and nothing is written over/);
    rmSync(path);
  });

  it('--live does not stop it, and says so', async () => {
    const path = newPath('.unicrash');
    const stops: string[] = [];
    const unsubscribe = qmp.subscribe(({ name }) => stops.push(name));
    const { status, stdout } = await runUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path, '--live', '--json']);
    unsubscribe();
    expect(status).toBe(0);
    expect(stops).not.toContain('STOP');
    const document = JSON.parse(stdout) as { stoppedMs: null; diagnostics: { message: string }[] };
    expect(document.stoppedMs).toBeNull();
    expect(document.diagnostics.map(({ message }) => message).join()).toMatch(/was not stopped/);
    const bundle = openBundle(path);
    expect(bundle.manifest.core?.mode).toBe('live');
    bundle.close();
    rmSync(path);
  });

  it('is opened by gdb, which shows the stack that it shows through the gdbstub', async () => {
    const socket = newPath('.gdb');
    await qmp.execute('stop');
    const packed = newPath('.elf.zst');
    await runUnidbg(['dump', `unix:${guest.qmpPath}`, '--core', '-o', packed]);
    const core = newPath('.elf');
    execFileSync('zstd', ['-dq', packed, '-o', core]);
    await qmp.hmp(`gdbserver unix:${socket},server=on,wait=off`);
    const live = stackByGdb([guest.elf, '-ex', `target remote ${socket}`]);
    await qmp.hmp('gdbserver none');
    expect(stackByGdb([guest.elf, core])).toEqual(live);
    expect(live.length).toBeGreaterThan(1);
    rmSync(core);
    rmSync(packed);
  });
});

describe('a dump that ends half-way', () => {
  const NOISE_AT = 0x400_0000;
  const NOISE_BYTES = 104 * 1024 * 1024;
  let guest: DemoGuest;
  let qmp: QmpClient;
  let noise: Buffer;

  beforeAll(async () => {
    // More than fits into memory on its way to the disk, so that the guest stands still for a while.
    const path = newPath('.noise');
    const seed = randomBytes(1 << 20);
    noise = Buffer.concat(
      Array.from({ length: NOISE_BYTES >> 20 }, (_, index) => Buffer.from(seed.map((byte) => byte ^ (index & 0xff)))),
    );
    writeFileSync(path, noise);
    ({ guest, qmp } = await startWithMonitor([
      ...['-m', '256M', '-device', `loader,file=${path},addr=0x${NOISE_AT.toString(16)},force-raw=on`],
    ]));
    rmSync(path);
  });

  afterAll(async () => {
    qmp.close();
    await guest.stop();
  });

  /** Resolves when the guest is stopped. */
  function stopped(): Promise<void> {
    return new Promise((resolve) => {
      const unsubscribe = qmp.subscribe(({ name }) => {
        if (name !== 'STOP') return;
        unsubscribe();
        resolve();
      });
    });
  }

  /** Resolves when some of the core is on the disk: while the guest still stands still, for not all of it fits into memory. */
  async function growth(path: string): Promise<void> {
    while (statSync(path).size < 4 << 20) await sleep(1);
    expect(await statusOf(qmp)).toBe('paused');
  }

  /** A bundle that is partial in these words; what of its core is there is what the guest's memory holds. */
  function expectPartial(path: string, words: RegExp): void {
    const bundle = openBundle(path);
    expect(bundle.partial).toMatch(words);
    expect(bundle.text('report.json')).toContain('"verdict"');
    const core = bundle.core();
    expect(core).not.toBeNull();
    const at = (1 << 20) + NOISE_AT;
    const there = Math.min(NOISE_BYTES, Math.max(0, core!.size - at - (1 << 20)));
    const bytes = readExactly(core!, at, there);
    // Low memory has holes, which the file has not.
    if (there > 1 << 21) expect(Buffer.from(bytes!).includes(noise.subarray(1 << 20, (1 << 20) + 4096))).toBe(true);
    bundle.close();
  }

  it('by kill -9 lets the guest run again', async () => {
    const path = newPath('.unicrash');
    const halt = stopped();
    const { process: unidbg, ended } = startUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path]);
    await halt;
    await growth(path);
    unidbg.kill('SIGKILL');
    await ended;
    for (let tries = 0; (await statusOf(qmp)) !== 'running' && tries < 100; tries += 1) await sleep(50);
    expect(await statusOf(qmp)).toBe('running');
    expectPartial(path, /in the middle of "core\.elf\.zst"|ends at|core\.elf\.zst: cut off/);
    rmSync(path);
  });

  it('because the disk is full lets the guest run again, says how much was written, and exits 3', async () => {
    const path = newPath('.unicrash');
    const { status, stderr } = await runUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path], {
      under: ['sh', '-c', 'ulimit -f 40000; exec "$@"', 'sh'],
    });
    expect(status).toBe(3);
    const written = Number(/ends after (\d+) bytes: EFBIG/.exec(stderr)?.[1]);
    expect(written).toBe(statSync(path).size);
    expect(await statusOf(qmp)).toBe('running');
    expectPartial(path, /core\.elf\.zst: cut off/);
    rmSync(path);
  });

  it('because QEMU was killed is complete but for that, and exits 3', async () => {
    const path = newPath('.unicrash');
    const halt = stopped();
    const run = startUnidbg(['dump', `unix:${guest.qmpPath}`, '-o', path]);
    await halt;
    await growth(path);
    guest.process.kill('SIGKILL');
    const { status, stderr } = await run.ended;
    expect(status).toBe(3);
    expect(stderr).toMatch(/QEMU ended while its memory was copied/);
    expect(existsSync(path)).toBe(true);
    expectPartial(path, /core\.elf\.zst: QEMU ended while its memory was copied: the first \d+ of \d+ bytes/);
    rmSync(path);
  });
});

function stackByGdb(args: readonly string[]): string[] {
  const text = execFileSync('gdb', ['-nx', '-batch', ...args, '-ex', 'bt'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = text.split('\n').filter((line) => line.startsWith('#'));
  // A core's innermost frame is shown once more, when it is opened.
  return lines.slice(lines.findLastIndex((line) => line.startsWith('#0')));
}

/** The notes of an ELF core, as lines that can be compared. */
function notesOf(path: string): string[] {
  const source = openFileSource(path);
  const [note] = segmentsOf(source);
  const notes = readExactly(source, Number(note!.readBigUInt64LE(8)), Number(note!.readBigUInt64LE(32)))!;
  source.close();
  return Array.from({ length: Math.ceil(notes.length / 16) }, (_, index) =>
    Buffer.from(notes.subarray(index * 16, index * 16 + 16)).toString('hex'),
  );
}

/** Its program headers. */
function segmentsOf(source: ByteSource): Buffer[] {
  const head = Buffer.from(readExactly(source, 0, 64)!);
  const at = Number(head.readBigUInt64LE(32));
  return Array.from({ length: head.readUInt16LE(56) }, (_, index) => Buffer.from(readExactly(source, at + index * 56, 56)!));
}

function readPhysical(path: string, start: bigint, length: number): Buffer {
  const source = openFileSource(path);
  try {
    for (const segment of segmentsOf(source)) {
      if (segment.readUInt32LE(0) !== 1 || segment.readBigUInt64LE(24) !== start) continue;
      expect(Number(segment.readBigUInt64LE(32))).toBe(length);
      return Buffer.from(readExactly(source, Number(segment.readBigUInt64LE(8)), length)!);
    }
    throw new Error(`no segment at 0x${start.toString(16)}`);
  } finally {
    source.close();
  }
}
