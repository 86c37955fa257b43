// Does the size matter where pages lie in any order? The demo guest dies with 64 MiB, 1 GiB and 8 GiB of memory; `unidbg analyze` explains its
// migration stream, and a Xen core made of its memory, pages backwards.
//   node bench/foreign-dump-size.ts [ROUNDS]      (5 unless told; some minutes, 9 GiB of sparse files in the temporary folder)

import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openQmp } from '../src/qemu/qmp/client.ts';
import { findMember } from '../src/qemu/qmp/exact-json.ts';
import { parseRegisters } from '../src/qemu/registers.ts';
import { startDemoGuest } from '../test/support/demo-guest.ts';
import { writeXenCore } from '../test/targets/dump/xen-writer.ts';
import { median } from './statistics.ts';
import { formatMs, machineFacts, printAlone, type Section } from './table.ts';

const UNIDBG = resolve(import.meta.dirname, '../src/cli/unidbg.js');
const SIZES = [64, 1024, 8192] as const;
const PAGE = 4096;
const MIB = 1024 * 1024;
const PAGES_AT = 0x10000;
const ZEROS = Buffer.alloc(PAGE);
const RSS_POLL_MS = 5;

interface Subject {
  readonly name: string;
  readonly path: string;
  readonly elf: string;
}

/** Dumps of a dead guest with so many MiB, in `folder`. */
async function makeDumps(mebibytes: number, folder: string): Promise<Subject[]> {
  const ram = join(folder, 'ram');
  const backend = [
    '-object',
    `memory-backend-file,id=mem,share=on,size=${mebibytes}M,mem-path=${ram}`,
    '-machine',
    'q35,memory-backend=mem',
  ];
  const guest = await startDemoGuest({ append: 'crash=null', qemuArgs: ['-m', `${mebibytes}M`, ...backend] });
  const qmp = await openQmp({ kind: 'unix', path: guest.qmpPath });
  const path = (format: string): string => join(folder, `${format}.${mebibytes}`);
  try {
    await guest.waitForConsole(/halted|PANIC[^]*#\d+ .*thread_/, 60_000);
    await qmp.execute('stop');
    const registers = parseRegisters(await qmp.hmp('info registers -a'), 'x86_64')[0]!.registers;
    await qmp.execute('migrate', { uri: `exec:cat > ${path('migration')}` });
    while (findMember(await qmp.execute('query-migrate'), 'status') !== 'completed') await sleep(100);
    writeSparseXen(path('xen'), ram, mebibytes, registers.values);
    return ['migration', 'xen'].map((format) => ({ name: `${format}, ${mebibytes} MiB`, path: path(format), elf: guest.elf }));
  } finally {
    qmp.close();
    await guest.stop();
    rmSync(ram, { force: true });
  }
}

/** A core of all pages in the file `ram` of a q35, the last first; zeros stay holes. */
function writeSparseXen(path: string, ram: string, mebibytes: number, registers: Readonly<Record<string, bigint>>): void {
  const pages = (mebibytes * MIB) / PAGE;
  const { bytes } = writeXenCore({ isParavirtual: false, vcpus: [registers], pages: [] });
  bytes.writeBigUInt64LE(BigInt(pages), bytes.indexOf(Buffer.from('eeeb0ff0', 'hex')) + 16);
  // Sections 5 and 6: the pages, and their frames behind them.
  for (const [section, offset, size] of [
    [5, PAGES_AT, pages * PAGE],
    [6, PAGES_AT + pages * PAGE, pages * 8],
  ] as const) {
    bytes.writeBigUInt64LE(BigInt(offset), 64 + 64 * section + 24);
    bytes.writeBigUInt64LE(BigInt(size), 64 + 64 * section + 32);
  }
  const names = bytes.indexOf(Buffer.from('\0.shstrtab\0'));
  bytes.writeBigUInt64LE(BigInt(names), 64 + 64 + 24);
  const [from, to] = [openSync(ram, 'r'), openSync(path, 'w')];
  writeSync(to, bytes, 0, bytes.length, 0);
  const chunk = Buffer.alloc(MIB);
  for (let at = 0; at < mebibytes; at += 1) {
    readSync(from, chunk, 0, MIB, at * MIB);
    for (let inside = 0; inside < MIB; inside += PAGE) {
      const page = chunk.subarray(inside, inside + PAGE);
      if (!page.equals(ZEROS)) writeSync(to, page, 0, PAGE, PAGES_AT + (pages - 1) * PAGE - (at * MIB + inside));
    }
  }
  const hole = Math.min(pages, mebibytes >= 2816 ? 2 ** 19 : pages);
  const frames = new BigUint64Array(pages);
  for (let pfn = 0; pfn < pages; pfn += 1) frames[pages - 1 - pfn] = BigInt(pfn < hole ? pfn : pfn - hole + 2 ** 20);
  writeSync(to, frames, 0, frames.byteLength, PAGES_AT + pages * PAGE);
  closeSync(from);
  closeSync(to);
}

interface Run {
  readonly ms: number;
  readonly residentBytes: number;
}

async function measure({ name, path, elf }: Subject): Promise<Run> {
  const from = performance.now();
  const child = spawn(process.execPath, [UNIDBG, 'analyze', path, '--symbols', elf], { stdio: ['ignore', 'pipe', 'inherit'] });
  let [output, residentBytes] = ['', 0];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const poll = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'latin1');
      residentBytes = Math.max(residentBytes, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024);
    } catch {
      // It has ended.
    }
  }, RSS_POLL_MS);
  await new Promise((done) => child.once('close', done));
  clearInterval(poll);
  if (!output.includes('crash_null')) throw new Error(`${name} was not explained:\n${output}`);
  return { ms: performance.now() - from, residentBytes };
}

/** Each dump, one unmeasured round to warm caches, then `rounds` in turn. */
export async function measureForeignDumpSizes(rounds = 5): Promise<Section> {
  const folder = mkdtempSync(join(tmpdir(), 'unidbg-foreign-size-'));
  try {
    const subjects: Subject[] = [];
    for (const size of SIZES) subjects.push(...(await makeDumps(size, folder)));
    const runs = subjects.map((subject) => ({ subject, all: [] as Run[] }));
    for (let round = 0; round <= rounds; round += 1) {
      for (const { subject, all } of runs) {
        const run = await measure(subject);
        if (round > 0) all.push(run);
      }
    }
    const timeOf = (all: readonly Run[]): number => median(all.map(({ ms }) => ms));
    const rows = runs.map(({ subject, all }, index) => [
      subject.name,
      `${(statSync(subject.path).size / MIB).toFixed(0)} MiB`,
      formatMs(timeOf(all)),
      (timeOf(all) / timeOf(runs[index % 2]!.all)).toFixed(2),
      `${(median(all.map(({ residentBytes }) => residentBytes)) / MIB).toFixed(0)} MiB`,
    ]);
    return {
      title: 'The size of migration streams and Xen cores',
      about: `The demo guest after a null dereference, ${rounds} rounds in turn, medians of \`analyze\`. In the Xen core every page is stored, backwards, so its table of frames is as long as it can be; in the stream the guest's untouched pages take 9 bytes each.`,
      columns: ['dump', 'file', 'time', 'times the smallest', 'peak RSS'],
      rows,
      remarks: machineFacts(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await printAlone(import.meta.main, () => measureForeignDumpSizes(Number(process.argv[2] ?? 5)));
