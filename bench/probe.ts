// The in-guest probe: what a record costs the guest, how many records a second are taken in, and that what is lost is counted to the
// record: said = heard + lost, by the guest's own count in its memory.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { guestProbe } from '../probes/guest/index.ts';
import { SYSTEMS } from '../src/cli/systems.ts';
import type { GuestProbe, ProbeIntake } from '../src/model/guest-probe.ts';
import { findVm } from '../src/qemu/discover/find.ts';
import { openLiveSession } from '../src/session/live-session.ts';
import { buildDemoGuest } from '../test/guests/build.ts';
import { startDemoGuest } from '../test/support/demo-guest.ts';
import { median } from './statistics.ts';
import { formatCount, printAlone, type Section } from './table.ts';

const GUEST = join(import.meta.dirname, '../probes/guest');
const START_MS = 4000;
const SAY_MS = 5000;

interface Run {
  readonly title: string;
  readonly transport: 'ring' | 'virtio';
  readonly rate: number;
  readonly slots: number;
}

const RUNS: readonly Run[] = [
  { title: 'RAM ring of 65,536', transport: 'ring', rate: 200_000, slots: 65_536 },
  { title: 'RAM ring of 1,024', transport: 'ring', rate: 20_000, slots: 1024 },
  { title: 'RAM ring of 1,024, more than it holds', transport: 'ring', rate: 200_000, slots: 1024 },
  { title: 'virtio-serial', transport: 'virtio', rate: 20_000, slots: 1024 },
  { title: 'virtio-serial', transport: 'virtio', rate: 100_000, slots: 1024 },
];

/** Measures all of it, a guest at a time. */
export async function measureProbe(): Promise<Section> {
  const directory = mkdtempSync(join(tmpdir(), 'unidbg-bench-probe-'));
  try {
    const rows: (readonly string[])[] = [];
    const costs: string[] = [];
    for (const run of RUNS) {
      const { row, cost } = await sayAtRate(run, directory);
      rows.push(row);
      costs.push(`${run.title}, ${formatCount(run.rate)}/s: ${cost}`);
    }
    return {
      title: 'The in-guest probe',
      about: `A demo guest under TCG says so many records a second for ${SAY_MS / 1000} s, with a session of unidbg attached as by \`attach\`. "Said" is the number of records that the guest's ring has numbered by the end, read from its memory with the guest paused; "heard" and "lost" are unidbg's. CPU is that of unidbg's whole process during that time, looks and samples included, in part of one core.`,
      columns: ['', 'wanted', 'said', 'heard', 'lost', 'said − heard − lost', 'CPU'],
      rows,
      remarks: [
        `A record's cost, natively on this CPU (the same C code, best of seven): ${nativeCosts(directory).join('; ')}.`,
        `Under TCG, as the guest's own clock has it: ${costs.join('; ')}.`,
        ...decoderSpeeds(),
      ],
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The probe, and the intakes that a session made of it. */
function overhear(): { readonly probe: GuestProbe; readonly intakes: ProbeIntake[] } {
  const intakes: ProbeIntake[] = [];
  const keep = <T extends ProbeIntake>(intake: T): T => {
    intakes.push(intake);
    return intake;
  };
  const probe: GuestProbe = {
    ...guestProbe,
    openRing: () => keep(guestProbe.openRing()),
    openStream: (name) => keep(guestProbe.openStream(name)),
  };
  return { probe, intakes };
}

async function sayAtRate(run: Run, directory: string): Promise<{ row: readonly string[]; cost: string }> {
  const elf = await buildDemoGuest('cfi', {
    sources: [join(import.meta.dirname, 'guest/probe-rate.c')],
    flags: [
      ...(run.slots > 1024 ? ['-DIMAGE_TABLES=6'] : []),
      ...[`-DUNIDBG_RING_SLOTS=${run.slots}`, `-DBENCH_RATE=${run.rate}ul`],
      ...[`-DBENCH_START_MS=${START_MS}ul`, `-DBENCH_MS=${SAY_MS}ul`],
    ],
    cache: directory,
  });
  const socket = join(directory, 'probe.sock');
  const port = [
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=probe,path=${socket},server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=probe,name=org.unidbg.probe'],
  ];
  // The guest stands before its first instruction until somebody listens: then nothing was said before. Its ring is on in any case, as it
  // numbers what is said.
  const append = `quiet probe=ring${run.transport === 'virtio' ? ',virtio' : ''}`;
  const guest = await startDemoGuest({ elf, append, qemuArgs: ['-S', ...(run.transport === 'virtio' ? port : [])] });
  const { probe, intakes } = overhear();
  const systems = { ...SYSTEMS, guestProbe: probe };
  const options = { systems, symbols: [], sourceRoots: [], takeConsole: false };
  const live = await openLiveSession(findVm(String(guest.process.pid)), options, () => undefined);
  try {
    await live.target.cont();
    const console = await guest.waitForConsole(/bench: [^\n]*\n/);
    await sleep(START_MS);
    const before = process.cpuUsage();
    const from = performance.now();
    await sleep(SAY_MS);
    const { user, system } = process.cpuUsage(before);
    const share = (user + system) / 1000 / (performance.now() - from);
    // The guest's clock may be slower than ours; then what is on its way comes.
    await sleep(4000);
    await live.target.stop();
    await sleep(1500);
    const said = await readU64(live, 'unidbg_ring', 16n);
    const values = await readU64(live, 'bench_said', 0n);
    const heard = intakes.reduce((best, intake) => (intake.records > best.records ? intake : best));
    const { lost } = heard.loss;
    const wanted = (run.rate * SAY_MS) / 1000;
    const cells = [wanted, said, heard.records, lost].map(formatCount);
    const row = [run.title, ...cells, String(said - heard.records - lost), `${(share * 100).toFixed(0)} %`];
    return { row: [...row.slice(0, 2), `${cells[1]!} (${formatCount(values)} values)`, ...row.slice(3)], cost: costIn(console) };
  } finally {
    await live.close();
    await guest.stop();
  }
}

const costIn = (console: string): string => /bench: ([^\r\n.]*)/.exec(console)?.[1] ?? 'not told';

type Live = Awaited<ReturnType<typeof openLiveSession>>;

async function readU64(live: Live, name: string, offset: bigint): Promise<number> {
  const { address } = live.code().symbolizer.findSymbol(name)!;
  const [vcpu] = await live.target.allRegisters();
  const bytes = await live.target.memory(vcpu!.registers).walk((memory) => memory.read(address + offset, 8));
  return Number(Buffer.from(bytes!).readBigUInt64LE());
}

function nativeCosts(directory: string): readonly string[] {
  const program = join(directory, 'cost');
  const source = join(import.meta.dirname, 'guest/probe-cost.c');
  execFileSync('gcc', ['-O2', '-I', GUEST, '-o', program, source]);
  const lines = execFileSync(program, { encoding: 'utf8' }).trim().split('\n');
  return lines.map((line) => line.replace(/\t(.*)/, ': $1 ns'));
}

const RECORDS = 500_000;

/** Records a second through the decoder and the folding, nothing else in the way. */
function decoderSpeeds(): readonly string[] {
  const frames = framesOf(RECORDS);
  const seconds = Array.from({ length: 5 }, () => {
    const stream = guestProbe.openStream('bench');
    const from = performance.now();
    for (let at = 0; at < frames.length; at += 65_536) stream.push(frames.subarray(at, at + 65_536));
    const took = (performance.now() - from) / 1000;
    if (stream.records !== RECORDS || stream.loss.lost !== 0) throw new Error('the decoder lost records');
    return took;
  });
  return [`The decoder alone, bytes of a stream to metrics: ${formatCount(RECORDS / median(seconds))} records/s.`];
}

/** A stream of values of one metric, each frame as the C library would send it: CRC and COBS. */
function framesOf(count: number): Buffer {
  const frames: Buffer[] = [];
  for (let sequence = 0; sequence < count; sequence += 1) {
    const record = Buffer.alloc(28);
    record.writeUInt32LE(sequence, 4);
    record.writeBigUInt64LE(BigInt(sequence) * 5000n, 8);
    record.writeUInt8(sequence === 0 ? 2 : 3, 0);
    record.writeUInt16LE(1, 2);
    record.writeBigUInt64LE(BigInt(sequence), 16);
    if (sequence === 0) record.write('\u0001\u0001a\u00011', 16, 'latin1');
    frames.push(encodeFrame(record.subarray(0, 24)));
  }
  return Buffer.concat(frames);
}

function encodeFrame(record: Buffer): Buffer {
  const frame = Buffer.alloc(record.length + 6);
  record.copy(frame, 1);
  frame.writeUInt32LE(crc32(record), record.length + 1);
  for (let at = 1, codeAt = 0; at < frame.length; at += 1) {
    if (frame[at] !== 0) continue;
    frame[codeAt] = at - codeAt;
    codeAt = at;
  }
  return frame;
}

await printAlone(import.meta.main, measureProbe);
