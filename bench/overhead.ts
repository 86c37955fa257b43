// What being measured costs a guest: its own count of work done while `unidbg export` takes all its metrics 100 times a second, against
// nothing, in many short windows that alternate (A B B A); and the same by a debugger that stops it, reads as much and lets it go on.
// One command: `node bench/overhead.ts [QUADS [WINDOW_MS]]`; 100 of them take ten minutes. Wants a quiet machine with a CPU to spare.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { openStub } from '../gdbstub/index.ts';
import { openImage } from '../src/symbolize/symbolizer.ts';
import { buildDemoGuest } from '../test/guests/build.ts';
import { UNIDBG } from '../test/support/cli.ts';
import { firstLine } from './first-line.ts';
import { type ObservedGuest, startObservedGuest } from './observed-guest.ts';
import { median, medianBounds } from './statistics.ts';
import { printAlone, type Section } from './table.ts';

const RATE = 100;
const WINDOW_MS = Number(process.argv[3] ?? 500);
const SETTLE_MS = 40;
const NAME = 'overhead';
/** They do nothing, and each has a CPU time to be measured: so that a sample has at least as many values as the debugger reads. */
const IOTHREADS = Array.from({ length: 20 }, (_, index) => ['-object', `iothread,id=io${index}`]).flat();
const QUADS = Number(process.argv[2] ?? 100);
/** What the debugger reads each time: as many values of 8 bytes, from as many places. */
const VALUES = 50;

/** Something that can look at the guest, and be kept from it for a while. */
interface Looking {
  readonly go: () => Promise<void> | void;
  readonly rest: () => Promise<void> | void;
  /** Looks taken, and values read in each, so far. */
  readonly count: () => Promise<{ readonly looks: number; readonly values: number }>;
  readonly end: () => Promise<void>;
}

interface Contender {
  readonly name: string;
  readonly quads: number;
  readonly open: (guest: ObservedGuest) => Promise<Looking>;
}

const NOTHING: Looking = {
  go: () => undefined,
  rest: () => undefined,
  count: async () => ({ looks: 0, values: 0 }),
  end: async () => undefined,
};

const CONTENDERS: readonly Contender[] = [
  { name: 'nothing (the noise of this machine)', quads: QUADS, open: async () => NOTHING },
  { name: `\`unidbg export --every ${1000 / RATE}ms\`: all metrics, ${RATE} times a second`, quads: QUADS, open: openExport },
  {
    name: `gdbstub: stop, ${VALUES} reads, continue, ${RATE} times a second`,
    quads: Math.ceil(QUADS / 5),
    open: openDebugger,
  },
];

/** What a window showed. */
interface Window {
  /** Units of work in a second of CPU time: what slows the vCPU down while it runs. */
  readonly pace: number;
  /** Units of work a second, as it were on a CPU of its own: that, and what keeps it from running. */
  readonly rate: number;
  /** Part of the time in which the vCPU was neither running nor waiting for a CPU: QEMU kept it from running. */
  readonly held: number;
  /** CPU time of QEMU's main loop, ms a second: what QEMU itself does for whoever looks. */
  readonly main: number;
  readonly stops: number;
}

/** Measures all contenders one after the other on one guest. */
export async function measureOverhead(): Promise<Section> {
  const elf = await buildDemoGuest('fp', { sources: [join(import.meta.dirname, 'guest/busy.c')] });
  const guest = await startObservedGuest({ elf, qemuArgs: ['-name', `${NAME},debug-threads=on`, ...IOTHREADS] });
  try {
    const rows: string[][] = [];
    for (const contender of CONTENDERS) rows.push(await measure(guest, contender));
    return {
      title: 'What being measured costs the guest',
      about: `The demo guest with a thread that computes without end, so that its one vCPU is never idle; its own counter of work done, in windows of ${WINDOW_MS} ms in the order A B B A (A: nothing looks, B: the row's title). A quad gives one change from A to B; the table has the median of each and where it lies with 95 % confidence, by order statistics. Time in which the host had no CPU for the vCPU's thread is taken out (schedstat). “Held” is the part of time in which the vCPU's thread neither ran nor wanted to: kept from running by QEMU.`,
      columns: [
        ...['', 'quads', 'work', '(95 %)', 'work in a CPU second', '(95 %)', 'held', '(95 %)'],
        ...["QEMU's main loop, CPU", 'looks/s', 'values in each', 'stops/s'],
      ],
      rows,
      remarks: [],
    };
  } finally {
    await guest.stop();
  }
}

async function measure(guest: ObservedGuest, { name, quads, open }: Contender): Promise<string[]> {
  const looking = await open(guest);
  const [paces, rates, held, main]: [number[], number[], number[], number[]] = [[], [], [], []];
  let [stops, seconds] = [0, 0];
  const before = await looking.count();
  try {
    for (let quad = 0; quad < quads; quad += 1) {
      const windows: Window[] = [];
      for (const isOn of [false, true, true, false]) {
        await (isOn ? looking.go() : looking.rest());
        await sleep(SETTLE_MS);
        windows.push(await watch(guest));
      }
      const [a1, b1, b2, a2] = windows as [Window, Window, Window, Window];
      paces.push((b1.pace + b2.pace) / (a1.pace + a2.pace) - 1);
      rates.push((b1.rate + b2.rate) / (a1.rate + a2.rate) - 1);
      held.push((b1.held + b2.held - a1.held - a2.held) / 2);
      main.push((b1.main + b2.main - a1.main - a2.main) / 2);
      stops += b1.stops + b2.stops;
      seconds += (2 * (WINDOW_MS + SETTLE_MS)) / 1000;
    }
    await looking.go();
    const after = await looking.count();
    const looks = after.looks - before.looks;
    return [
      name,
      String(quads),
      ...[rates, paces, held].flatMap((changes) => [percent(median(changes)), medianBounds(changes).map(percent).join(' … ')]),
      `${median(main).toFixed(2)} ms/s`,
      (looks / seconds).toFixed(0),
      looks === 0 ? '' : ((after.values - before.values) / looks).toFixed(0),
      (stops / seconds).toFixed(0),
    ];
  } finally {
    await looking.end();
  }
}

async function watch(guest: ObservedGuest): Promise<Window> {
  await guest.observe();
  const read = () => ({ work: guest.counter('bench_work'), at: performance.now(), ...readSchedule(guest.pid) });
  const from = read();
  await sleep(WINDOW_MS);
  const to = read();
  const [ran, waited, elapsed] = [to.ranMs - from.ranMs, to.waitedMs - from.waitedMs, to.at - from.at];
  const { stops } = await guest.observe();
  const present = (ran + waited) / elapsed;
  const pace = Number(to.work - from.work) / ran;
  const main = ((to.mainMs - from.mainMs) / elapsed) * 1000;
  return { pace, rate: pace * present, held: 1 - present, main, stops };
}

/** How long the vCPU's thread ran and waited for a CPU, and the main loop ran, in ms (schedstat, Documentation/scheduler/sched-stats.rst). */
function readSchedule(pid: number): { readonly ranMs: number; readonly waitedMs: number; readonly mainMs: number } {
  const tasks = `/proc/${pid}/task`;
  const thread = readdirSync(tasks).find((task) => readFileSync(`${tasks}/${task}/comm`, 'latin1').startsWith('CPU 0/'));
  if (thread === undefined) throw new Error('QEMU names no thread CPU 0/…, which -name …,debug-threads=on makes it do');
  const read = (task: string): number[] => readFileSync(`${tasks}/${task}/schedstat`, 'latin1').split(' ').map(Number);
  const [ran = 0, waited = 0] = read(thread);
  return { ranMs: ran / 1e6, waitedMs: waited / 1e6, mainMs: (read(String(pid))[0] ?? 0) / 1e6 };
}

/** The program as people run it; kept from looking by SIGSTOP. */
async function openExport(): Promise<Looking> {
  const child = spawn(
    process.execPath,
    [UNIDBG, 'export', NAME, '--every', `${1000 / RATE}ms`, '--look-every', '1h', '--listen', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const address = await firstLine(child);
  const numberOf = (text: string, series: string): number =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(series))
        ?.split(' ')
        .at(-1) ?? 0,
    );
  return {
    go: () => void child.kill('SIGCONT'),
    rest: () => void child.kill('SIGSTOP'),
    count: async () => {
      const text = await (await fetch(address)).text();
      return { looks: numberOf(text, 'unidbg_sample_rounds_total'), values: numberOf(text, 'unidbg_samples_total') };
    },
    end: async () => {
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      await once(child, 'close');
    },
  };
}

/** A debugger's way: interrupt, read, continue. */
async function openDebugger({ gdbPath, guest }: ObservedGuest): Promise<Looking> {
  const stub = await openStub({ type: 'unix', path: gdbPath });
  const address = addressOfData(guest.elf);
  let stopped = stub.continue();
  let [isOn, isEnded, looks] = [false, false, 0];
  const interrupt = async (): Promise<void> => {
    // `continue` sends its packet a little later, and what does not run yet cannot be interrupted.
    while (!stub.running) await nextTurn();
    await stub.interrupt();
    await stopped;
  };
  const run = async (): Promise<void> => {
    for (let due = performance.now(); !isEnded; due = Math.max(due + 1000 / RATE, performance.now())) {
      await sleep(Math.max(0, due - performance.now()));
      if (!isOn) continue;
      await interrupt();
      for (let index = 0; index < VALUES; index += 1) await stub.readMemory(address + BigInt(8 * index), 8);
      stopped = stub.continue();
      looks += 1;
    }
  };
  const running = run();
  return {
    go: () => {
      isOn = true;
    },
    rest: () => {
      isOn = false;
    },
    count: async () => ({ looks, values: looks * VALUES }),
    end: async () => {
      isEnded = true;
      await running;
      await interrupt();
      await stub.detach();
    },
  };
}

/** Where the guest's statistics lie: the image runs where it is linked. */
function addressOfData(elf: string): bigint {
  const image = openImage(elf);
  const found = image.findLinkSymbol('alloc_stats');
  image.elf.close();
  if (found === null) throw new Error('the demo guest has no symbol alloc_stats');
  return found.address;
}

function percent(part: number): string {
  const value = part * 100;
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)} %`;
}

await printAlone(import.meta.main, measureOverhead);
