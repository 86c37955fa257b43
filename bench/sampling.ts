// What looking costs a guest that is always busy: its own count of work done with and without `unidbg attach` at the default rate;
// and how often one can look at most, beside a debugger that stops the guest for each look.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { openStub } from '../gdbstub/index.ts';
import { SYSTEMS } from '../src/cli/systems.ts';
import { findSource } from '../src/cli/target.ts';
import { CodeReader } from '../src/session/code.ts';
import { look } from '../src/session/sampler.ts';
import { openLive } from '../src/targets/live.ts';
import { buildDemoGuest } from '../test/guests/build.ts';
import { UNIDBG } from '../test/support/cli.ts';
import { type Observation, type ObservedGuest, startObservedGuest } from './observed-guest.ts';
import { median, medianBounds, quantile, range } from './statistics.ts';
import { formatChange, formatMs, printAlone, type Section } from './table.ts';

const ROUNDS = 12;
const WINDOW_MS = 2000;
/** The rate at which ours and the peer's looks are compared: a profiler's. */
const RATE = 100;
const SETTLE_MS = 1500;
const STACK_BYTES = 4096;

/** What is known of the looking after a window: how long each look took, and the part of one host CPU it cost; where known. */
interface Looking {
  readonly looks: readonly number[];
  readonly cpu: number | null;
}

interface Contender {
  readonly name: string;
  /** Resolves when the looking is under way; `end` ends it. */
  readonly open: (guest: ObservedGuest) => Promise<{ end: () => Promise<Looking> }>;
}

const NOTHING: Contender = {
  name: 'nothing looks (the noise of this machine)',
  open: async () => ({ end: async () => ({ looks: [], cpu: null }) }),
};

const CONTENDERS: readonly Contender[] = [
  NOTHING,
  { name: '`unidbg attach --plain --json`, default rate', open: openAttach },
  { name: `ours, ${RATE} looks a second`, open: (guest) => openLooking(guest, RATE) },
  { name: `peer: gdbstub, ${RATE} looks a second (stop, registers, 4 KiB of stack, continue)`, open: openStopping },
  { name: 'ours, as fast as it goes', open: (guest) => openLooking(guest, Infinity) },
];

/** Each round: nothing, a contender, nothing, the next one, … so that each stands between two undisturbed windows. */
export async function measureSampling(): Promise<Section> {
  const elf = await buildDemoGuest('fp', { sources: [join(import.meta.dirname, 'guest/busy.c')] });
  const guest = await startObservedGuest({ elf, qemuArgs: ['-name', 'demo,debug-threads=on'] });
  try {
    const seen = CONTENDERS.map((contender) => ({
      contender,
      ratios: [] as number[],
      looks: [] as number[],
      cpu: [] as number[],
      stops: 0,
      gaps: [] as number[],
    }));
    let before = await workDuring(guest, NOTHING);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const one of seen) {
        const during = await workDuring(guest, one.contender);
        const after = await workDuring(guest, NOTHING);
        one.ratios.push(during.rate / ((before.rate + after.rate) / 2));
        one.looks.push(...during.looks);
        if (during.cpu !== null) one.cpu.push(during.cpu);
        one.stops += during.stops;
        one.gaps.push(during.longestGapMs);
        before = after;
      }
    }
    const seconds = (ROUNDS * WINDOW_MS) / 1000;
    const rows = seen.map(({ contender, ratios, looks, cpu, stops, gaps }) => [
      contender.name,
      formatChange(median(ratios)),
      medianBounds(ratios).map(formatChange).join(' … '),
      range(ratios).map(formatChange).join(' … '),
      looks.length === 0 ? '' : `${(looks.length / seconds).toFixed(0)}/s`,
      looks.length === 0 ? '' : `${formatMs(median(looks))} (99 %: ${formatMs(quantile(looks, 0.99))})`,
      cpu.length === 0 ? '' : `${(median(cpu) * 100).toFixed(1)} %`,
      (stops / seconds).toFixed(stops === 0 ? 0 : 1),
      formatMs(median(gaps)),
    ]);
    return {
      title: 'What looking costs the guest',
      about: `The demo guest with a thread that computes without end, so that its one vCPU is never idle; its own counter of work done in windows of ${WINDOW_MS / 1000} s, against the mean of the undisturbed windows before and after; ${ROUNDS} rounds. Time in which the host had no CPU for the vCPU's thread is taken out (schedstat), so that only what QEMU itself keeps it from doing counts. The first row is such a comparison of undisturbed windows alone: nothing smaller than its range means anything here. The default rate is two looks and one sample of all metrics a second.`,
      columns: [
        '',
        'work, median',
        'median lies in (95 %)',
        'all rounds',
        'looks',
        'one look',
        'host CPU',
        'STOP/s',
        'longest pause of the tick',
      ],
      rows,
      remarks: [],
    };
  } finally {
    await guest.stop();
  }
}

async function workDuring(guest: ObservedGuest, { open }: Contender): Promise<Looking & Observation & { readonly rate: number }> {
  const looking = await open(guest);
  await guest.observe();
  const read = () => ({ work: guest.counter('bench_work'), at: performance.now(), ...readSchedule(guest.pid) });
  const from = read();
  await sleep(WINDOW_MS);
  const to = read();
  const [ranMs, waitedMs] = [to.ranMs - from.ranMs, to.waitedMs - from.waitedMs];
  const rate = (Number(to.work - from.work) / ranMs) * ((ranMs + waitedMs) / (to.at - from.at));
  const observation = await guest.observe();
  return { rate, ...observation, ...(await looking.end()) };
}

/**
 * How long the vCPU's thread has run, and how long it wanted to and the host had no CPU for it, in ms (proc/<pid>/schedstat,
 * Documentation/scheduler/sched-stats.rst). With it a rate can be told as it were on a free CPU, whatever else this machine does;
 * time in which the thread was kept from running by QEMU (a lock, a stop) still counts against the rate.
 */
function readSchedule(pid: number): { readonly ranMs: number; readonly waitedMs: number } {
  const tasks = `/proc/${pid}/task`;
  const thread = readdirSync(tasks).find((task) => readFileSync(`${tasks}/${task}/comm`, 'latin1').startsWith('CPU 0/'));
  if (thread === undefined) throw new Error('QEMU names no thread CPU 0/…, which -name …,debug-threads=on makes it do');
  const [ran = 0, waited = 0] = readFileSync(`${tasks}/${thread}/schedstat`, 'latin1').split(' ').map(Number);
  return { ranMs: ran / 1e6, waitedMs: waited / 1e6 };
}

async function openAttach({ pid }: ObservedGuest): ReturnType<Contender['open']> {
  const child = spawn(process.execPath, [UNIDBG, 'attach', String(pid), '--plain', '--json'], { stdio: 'ignore' });
  await sleep(SETTLE_MS);
  const from = { cpu: cpuSeconds(child.pid!), at: performance.now() };
  return {
    end: async () => {
      const cpu = (cpuSeconds(child.pid!) - from.cpu) / ((performance.now() - from.at) / 1000);
      child.kill('SIGTERM');
      await once(child, 'close');
      return { looks: [], cpu };
    },
  };
}

/** User and system time of a process so far (proc_pid_stat(5): fields 14 and 15, in hundredths of a second). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** A look as the session does it: registers, all stacks and threads, everything named. */
async function openLooking({ pid, guest }: ObservedGuest, rate: number): ReturnType<Contender['open']> {
  const target = await openLive(findSource(String(pid)));
  const reader = CodeReader.open([guest.elf], SYSTEMS);
  const registers = await target.registers(0);
  const code = await reader.place({ space: target.memory(registers), physical: null, registers });
  const looking = repeat(rate, () => look(target, code));
  return {
    end: async () => {
      const looks = await looking.end();
      target.close();
      reader.close();
      return { looks, cpu: null };
    },
  };
}

async function openStopping({ gdbPath }: ObservedGuest): ReturnType<Contender['open']> {
  const stub = await openStub({ type: 'unix', path: gdbPath });
  let stopped = stub.continue();
  const interrupt = async (): Promise<void> => {
    // `continue` sends its packet a little later, and what does not run yet cannot be interrupted.
    while (!stub.running) await nextTurn();
    await stub.interrupt();
    await stopped;
  };
  const looking = repeat(RATE, async () => {
    await interrupt();
    const { rsp } = await stub.registers();
    await stub.readMemory(rsp! - (rsp! % 4096n), STACK_BYTES);
    stopped = stub.continue();
  });
  return {
    end: async () => {
      const looks = await looking.end();
      await interrupt();
      await stub.detach();
      return { looks, cpu: null };
    },
  };
}

/** Does it `rate` times a second, or as often as it can be done; `end` gives the ms that each time took. */
function repeat(rate: number, work: () => Promise<unknown>): { end: () => Promise<number[]> } {
  const times: number[] = [];
  let ended = false;
  const run = async (): Promise<number[]> => {
    for (let due = performance.now(); !ended; due = Math.max(due + 1000 / rate, performance.now())) {
      // Also at full speed other work of this process, such as the end of the window, has its turn.
      await (due > performance.now() ? sleep(due - performance.now()) : nextTurn());
      const from = performance.now();
      await work();
      times.push(performance.now() - from);
    }
    return times;
  };
  const running = run();
  return {
    end: () => {
      ended = true;
      return running;
    },
  };
}

await printAlone(import.meta.main, measureSampling);
