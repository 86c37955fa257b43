// Capturing a guest: `unidbg dump` beside QEMU's own `dump-guest-memory`, paired, on guests of 64 MiB, 1 GiB (half of it noise) and 8 GiB
// (hardly touched). Alone: `node bench/capture.ts [rounds]`. Needs some 10 GB of disk where temporary files go, or leaves the largest out.

import { execFile } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { formatSize } from '../src/model/quantity.ts';
import { openQmp, type QmpClient } from '../src/qemu/qmp/client.ts';
import { type DemoGuest, startDemoGuest } from '../test/support/demo-guest.ts';
import { median } from './statistics.ts';
import { formatMs, formatSection, machineFacts, type Section } from './table.ts';

const ROUNDS = Number(process.argv[2] ?? 3);
const UNIDBG = resolve(import.meta.dirname, '../src/cli/unidbg.js');
const MIB = 1024 ** 2;
const QMP_PATIENCE_MS = 600_000;

interface Size {
  readonly title: string;
  readonly bytes: number;
  readonly noiseBytes: number;
}

const SIZES: readonly Size[] = [
  { title: '64 MiB', bytes: 64 * MIB, noiseBytes: 0 },
  { title: '1 GiB, 512 MiB of it noise', bytes: 1024 * MIB, noiseBytes: 512 * MIB },
  { title: '8 GiB, hardly touched', bytes: 8192 * MIB, noiseBytes: 0 },
];

/** One way to capture: writes `path`, resolves when it is written. */
interface Contender {
  readonly name: string;
  readonly ending: string;
  /** The file is as large as the guest. */
  readonly isFullSize: boolean;
  readonly capture: (guest: DemoGuest, qmp: QmpClient, path: string) => Promise<unknown>;
}

const unidbg =
  (...options: readonly string[]) =>
  (guest: DemoGuest, _qmp: QmpClient, path: string): Promise<unknown> =>
    promisify(execFile)(process.execPath, [UNIDBG, 'dump', `unix:${guest.qmpPath}`, ...options, '-o', path]);

const qemu =
  (format: string) =>
  (_guest: DemoGuest, qmp: QmpClient, path: string): Promise<unknown> =>
    qmp.execute('dump-guest-memory', { paging: false, protocol: `file:${path}`, format }, { timeoutMs: QMP_PATIENCE_MS });

const CONTENDERS: readonly Contender[] = [
  { name: '`unidbg dump`', ending: '.unicrash', isFullSize: false, capture: unidbg() },
  { name: '`unidbg dump --core`, zstd', ending: '.elf.zst', isFullSize: false, capture: unidbg('--core') },
  { name: '`unidbg dump --core`, plain', ending: '.elf', isFullSize: false, capture: unidbg('--core') },
  { name: 'QEMU, `elf`', ending: '.elf', isFullSize: true, capture: qemu('elf') },
  { name: 'QEMU, `kdump-zlib`', ending: '.kdump', isFullSize: false, capture: qemu('kdump-zlib') },
  { name: 'QEMU, `kdump-snappy`', ending: '.kdump', isFullSize: false, capture: qemu('kdump-snappy') },
];

interface Measured {
  readonly wallMs: number[];
  readonly stopMs: number[];
  fileBytes: number;
  failure: string | null;
}

/** Measures one size of guest. */
async function measure(size: Size): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-bench-capture-'));
  const noise = join(folder, 'noise');
  const results = new Map(
    CONTENDERS.map(({ name }): [string, Measured] => [name, { wallMs: [], stopMs: [], fileBytes: 0, failure: null }]),
  );
  try {
    if (size.noiseBytes > 0) writeNoise(noise, size.noiseBytes);
    const socket = join(folder, 'ours.sock');
    const loader = size.noiseBytes > 0 ? ['-device', `loader,file=${noise},addr=0x10000000,force-raw=on`] : [];
    const guest = await startDemoGuest({
      qemuArgs: ['-m', `${size.bytes / MIB}M`, ...loader, '-qmp', `unix:${socket},server=on,wait=off`],
    });
    try {
      await guest.waitForConsole(/up 1\./);
      const qmp = await openQmp({ kind: 'unix', path: socket });
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const contender of CONTENDERS) await once(contender, size, guest, qmp, folder, results.get(contender.name)!);
      }
      qmp.close();
    } finally {
      await guest.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return {
    title: `Capturing ${size.title}`,
    about: `Medians of ${ROUNDS} rounds, taken in turns. Wall: from the command to its end. Stopped: between QEMU's STOP and RESUME.`,
    columns: ['', 'wall', 'stopped', 'file', 'guest memory a second'],
    rows: CONTENDERS.map(({ name }) => rowOf(name, size, results.get(name)!)),
    remarks: [],
  };
}

async function once(
  { capture, ending, isFullSize }: Contender,
  size: Size,
  guest: DemoGuest,
  qmp: QmpClient,
  folder: string,
  into: Measured,
): Promise<void> {
  if (into.failure !== null) return;
  const { bavail, bsize } = statfsSync(folder);
  if (isFullSize && bavail * bsize < size.bytes * 1.2) {
    into.failure = 'no room on the disk';
    return;
  }
  const path = join(folder, `capture${ending}`);
  let stoppedAt = 0;
  let stopMs = 0;
  const unsubscribe = qmp.subscribe(({ name }) => {
    if (name === 'STOP') stoppedAt = performance.now();
    if (name === 'RESUME') stopMs += performance.now() - stoppedAt;
  });
  const from = performance.now();
  try {
    await capture(guest, qmp, path);
    into.wallMs.push(performance.now() - from);
    into.stopMs.push(stopMs);
    // What it takes on the disk: a plain core has holes.
    into.fileBytes = statSync(path).blocks * 512;
  } catch (error) {
    into.failure = error instanceof Error ? error.message.split('\n').slice(-2).join(' ').trim().slice(0, 160) : String(error);
  } finally {
    unsubscribe();
    if (existsSync(path)) rmSync(path);
  }
}

function rowOf(name: string, size: Size, { wallMs, stopMs, fileBytes, failure }: Measured): readonly string[] {
  if (failure !== null) return [name, failure, '–', '–', '–'];
  const wall = median(wallMs);
  return [name, formatMs(wall), formatMs(median(stopMs)), formatSize(fileBytes), `${formatSize((size.bytes / wall) * 1000)}/s`];
}

function writeNoise(path: string, bytes: number): void {
  const piece = Buffer.alloc(16 * MIB);
  const fd = openSync(path, 'w');
  for (let done = 0; done < bytes; done += piece.length) writeSync(fd, randomFillSync(piece));
  closeSync(fd);
}

process.stdout.write(`${machineFacts().join('\n')}\n\n`);
for (const size of SIZES) process.stdout.write(`${formatSection(await measure(size))}\n\n`);
