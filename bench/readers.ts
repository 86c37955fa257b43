// 4 KiB of guest memory by each reader, beside the peer that stops the guest (gdbstub `m`) and two bounds: one bare read of
// /proc/<pid>/mem from Node, and dd, which does the same from C. Every reader reads the same pages of the guest's image.

import { execFile } from 'node:child_process';
import { closeSync, openSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { openStub } from '../gdbstub/index.ts';
import { openPhysicalMemory } from '../src/memory/open-physical.ts';
import type { LiveReaderName } from '../src/memory/physical.ts';
import { type ObservedGuest, startObservedGuest } from './observed-guest.ts';
import { median, quantile } from './statistics.ts';
import { formatCount, formatMs, printAlone, type Section } from './table.ts';

const PAGE = 4096;
const FIRST_PAGE = 0x100000;
/** All mapped, so that the gdbstub, which takes virtual addresses, can read them too. */
const PAGES = 16;
const ROUNDS = 10;
const SETTLE_MS = 100;

/** Something that can read pages: `read` one, timed by the caller. `perRound` reads are made, then another one's turn comes. */
interface Contender {
  readonly name: string;
  readonly perRound: number;
  readonly open: (guest: ObservedGuest) => Promise<{ read: (address: number) => unknown; close: () => unknown }>;
}

const page = new Uint8Array(PAGE);

function reader(name: LiveReaderName, perRound: number): Contender {
  const open: Contender['open'] = async ({ hmp, pid }) => {
    const { reader: opened } = await openPhysicalMemory({ ask: hmp, pid, uid: process.getuid?.() ?? null }, [name]);
    const { readSync: now } = opened;
    const read =
      now === null ? (address: number) => opened.read(BigInt(address), page) : (address: number) => now(BigInt(address), page);
    return {
      read,
      close: () => {
        opened.close();
      },
    };
  };
  return { name: `\`${name}\``, perRound, open };
}

const CONTENDERS: readonly Contender[] = [
  {
    name: 'bound: one `pread` of `/proc/<pid>/mem` from Node',
    perRound: 2000,
    open: async (guest) => {
      const shift = (await hostAddressOf(guest)) - FIRST_PAGE;
      const fd = openSync(`/proc/${guest.pid}/mem`, 'r');
      return {
        read: (address) => readSync(fd, page, 0, PAGE, address + shift),
        close: () => {
          closeSync(fd);
        },
      };
    },
  },
  reader('ram-file', 2000),
  reader('process-memory', 2000),
  reader('xp', 60),
  reader('pmemsave', 60),
  {
    name: 'peer: gdbstub `m`',
    perRound: 60,
    open: async ({ gdbPath }) => {
      const stub = await openStub({ type: 'unix', path: gdbPath });
      return { read: (address) => stub.readMemory(BigInt(address), PAGE), close: () => stub.detach() };
    },
  },
];

/** Measures all readers in turn on one guest whose RAM is a shared memfd. */
export async function measureReaders(): Promise<Section> {
  const memory = ['-object', 'memory-backend-memfd,id=mem,share=on,size=128M', '-machine', 'q35,memory-backend=mem'];
  const guest = await startObservedGuest({ qemuArgs: memory });
  try {
    const seen = CONTENDERS.map((contender) => ({ contender, times: [] as number[], stops: 0, gaps: [] as number[] }));
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const one of seen) {
        // The pause that the reader before made has passed.
        await sleep(SETTLE_MS);
        await guest.observe();
        one.times.push(...(await timeReads(one.contender, guest)));
        const { stops, longestGapMs } = await guest.observe();
        one.stops += stops;
        one.gaps.push(longestGapMs);
      }
    }
    const rows = seen.map(({ contender, times, stops, gaps }) => [
      contender.name,
      formatMs(median(times)),
      formatMs(quantile(times, 0.99)),
      formatCount(times.length),
      String(stops),
      formatMs(median(gaps)),
    ]);
    rows.splice(1, 0, ['bound: `dd bs=4096` of `/proc/<pid>/mem` (mean)', formatMs(await timeDd(guest)), '–', '', '', '']);
    return {
      title: 'Reading 4 KiB of guest memory',
      about: `The demo guest, running, its RAM a shared memfd; ${ROUNDS} rounds, one reader after the other, the same ${PAGES} pages. The tick comes every 10 ms; how long it stood still at most, in the median round, says what reading does to the guest.`,
      columns: ['', 'median', '99 %', 'reads', 'STOP events', 'longest pause of the tick'],
      rows,
      remarks: [],
    };
  } finally {
    await guest.stop();
  }
}

async function timeReads({ open, perRound }: Contender, guest: ObservedGuest): Promise<number[]> {
  const { read, close } = await open(guest);
  const times: number[] = [];
  for (let count = 0; count < perRound; count += 1) {
    const address = FIRST_PAGE + (count % PAGES) * PAGE;
    const from = performance.now();
    const pending = read(address);
    if (pending instanceof Promise) await pending;
    times.push(performance.now() - from);
  }
  await close();
  return times;
}

async function hostAddressOf({ hmp }: ObservedGuest): Promise<number> {
  const answer = await hmp(`gpa2hva 0x${FIRST_PAGE.toString(16)}`);
  return Number(/0x[0-9a-f]+\s*$/.exec(answer.trim())?.[0]);
}

/** Mean ms of a block, as dd itself tells; of as many blocks as make its start-up invisible. */
async function timeDd(guest: ObservedGuest): Promise<number> {
  const [blocks, runs] = [4096, 10];
  const args = ['of=/dev/null', `bs=${PAGE}`, `skip=${await hostAddressOf(guest)}`, 'iflag=skip_bytes', `count=${blocks}`];
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const env = { ...process.env, LC_ALL: 'C' };
    const { stderr } = await promisify(execFile)('dd', [`if=/proc/${guest.pid}/mem`, ...args], { env });
    times.push((Number(/, ([\d.e-]+) s,/.exec(stderr)?.[1]) * 1000) / blocks);
  }
  return median(times);
}

await printAlone(import.meta.main, measureReaders);
