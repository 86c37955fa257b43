// The QEMU process as Linux accounts for it (proc(5)): CPU time of each vCPU's thread and how long it had to wait for a CPU of the
// host (schedstat, Documentation/scheduler/sched-stats.rst), CPU time of QEMU's own threads, resident memory, age. A few reads of
// /proc, so it can be asked a hundred times a second; which thread is which is learnt from the monitor every few seconds.

import { readFileSync } from 'node:fs';
import type { MetricDeclaration, Sample } from '../model/metric.ts';
import { askQmp, createSampleMaker, listOf } from './host-metrics-sample.ts';
import type { Monitor } from './monitor.ts';
import { findInteger, findMember, findText } from './qmp/exact-json.ts';

/** Metrics of the QEMU process. */
export const PROCESS_METRICS = {
  'system.cpu.time': {
    kind: 'counter',
    unit: 's',
    doc: 'Host CPU time used by a vCPU thread of QEMU (emulation included under TCG).',
  },
  'unikernel.cpu.steal': {
    kind: 'counter',
    unit: 's',
    doc: 'Time in which a vCPU thread wanted to run and the host had no CPU for it.',
  },
  'unikernel.qemu.cpu.time': {
    kind: 'counter',
    unit: 's',
    doc: "Host CPU time used by QEMU's main loop and by its I/O threads.",
  },
  'unikernel.memory.resident': {
    kind: 'gauge',
    unit: 'By',
    doc: 'Host memory that the QEMU process occupies: guest RAM touched so far and QEMU itself.',
  },
  'unikernel.memory.proportional': {
    kind: 'gauge',
    unit: 'By',
    doc: 'Host memory of the QEMU process (PSS): as resident, but of what it shares with other processes only its part.',
  },
  'process.uptime': { kind: 'gauge', unit: 's', doc: 'Age of the QEMU process.' },
} as const satisfies Readonly<Record<string, MetricDeclaration>>;

const make = createSampleMaker(PROCESS_METRICS);

/** A vCPU or an I/O thread and the Linux thread that runs it. */
interface NamedThread {
  readonly name: string;
  readonly thread: string;
}

const UNKNOWN_PROCESS = 'the QEMU process is not known here (another machine, or a container)';
/** More vCPUs or I/O threads than this nobody has. */
const MAX_THREADS = 1024;

/** Reads /proc of one QEMU. */
export class ProcessMetrics {
  private readonly monitor: Monitor;
  private readonly pid: number | null;
  private vcpus: readonly NamedThread[] = [];
  private iothreads: readonly NamedThread[] = [];

  /** `pid` null: QEMU's process is not of this machine. */
  constructor(monitor: Monitor, pid: number | null) {
    this.monitor = monitor;
    this.pid = pid;
  }

  /** Asks the monitor which threads there are. */
  async learnThreads(): Promise<void> {
    if (this.pid === null) return;
    const [text, answer] = await Promise.all([this.monitor.hmp('info cpus'), askQmp(this.monitor, 'query-iothreads')]);
    const found = [...text.matchAll(/CPU #(\d+):.*?thread_id=(\d+)/g)].slice(0, MAX_THREADS);
    this.vcpus = withoutTwins(found.map(([, name, thread]) => ({ name: name!, thread: thread! })));
    this.iothreads = ('value' in answer ? listOf(answer.value, MAX_THREADS) : []).flatMap((item) => {
      const [name, thread] = [findText(findMember(item, 'id')), findInteger(findMember(item, 'thread-id'))];
      return name === null || thread === null ? [] : [{ name, thread: String(thread) }];
    });
  }

  /** What costs microseconds. */
  sample(): Sample[] {
    const { pid } = this;
    if (pid === null) return make.allAbsent(UNKNOWN_PROCESS).filter(({ name }) => name !== 'unikernel.memory.proportional');
    return [
      ...(this.vcpus.length === 0
        ? [make.absent('system.cpu.time', 'QEMU names no vCPU threads (info cpus)')]
        : this.vcpus.flatMap((vcpu) => sampleVcpu(pid, vcpu))),
      ...[{ name: 'main', thread: String(pid) }, ...this.iothreads].flatMap(({ name, thread }) => {
        const seconds = findThreadTime(pid, thread)?.ran;
        return seconds === undefined ? [] : [make.value('unikernel.qemu.cpu.time', seconds, { thread: name })];
      }),
      sampleResident(pid),
      sampleUptime(pid),
    ];
  }

  /** PSS. Linux walks the whole page table for it: milliseconds for a big guest. */
  sampleProportional(): Sample {
    const name = 'unikernel.memory.proportional';
    if (this.pid === null) return make.absent(name, UNKNOWN_PROCESS);
    const kib = /^Pss:\s*(\d+) kB/m.exec(readText(`/proc/${this.pid}/smaps_rollup`) ?? '')?.[1];
    if (kib !== undefined) return make.value(name, Number(kib) * 1024);
    return make.absent(
      name,
      "/proc/<pid>/smaps_rollup is closed to this user: run unidbg as QEMU's user, or with CAP_SYS_PTRACE",
    );
  }
}

// Single-threaded TCG runs all vCPUs on one thread: its time is theirs together.
function withoutTwins(vcpus: readonly NamedThread[]): readonly NamedThread[] {
  const isShared = new Set(vcpus.map(({ thread }) => thread)).size < vcpus.length;
  return isShared ? vcpus.slice(0, 1).map(({ thread }) => ({ name: 'all', thread })) : vcpus;
}

function sampleVcpu(pid: number, { name, thread }: NamedThread): Sample[] {
  const vcpu = { vcpu: name };
  const time = findThreadTime(pid, thread);
  if (time === null) return [make.absent('system.cpu.time', `thread ${thread} of QEMU is gone`, vcpu)];
  return [
    make.value('system.cpu.time', time.ran, vcpu),
    time.waited === null
      ? make.absent('unikernel.cpu.steal', 'this Linux keeps no schedstat (CONFIG_SCHED_INFO)', vcpu)
      : make.value('unikernel.cpu.steal', time.waited, vcpu),
  ];
}

/** Linux counts user-visible ticks at 100 Hz on every architecture Debian has. */
const TICKS_PER_SECOND = 100;

/** Seconds a thread ran and waited for a CPU. schedstat is exact but optional: without it, ticks and no waiting. */
function findThreadTime(pid: number, thread: string): { readonly ran: number; readonly waited: number | null } | null {
  const folder = `/proc/${pid}/task/${thread}`;
  const exact = /^(\d+) (\d+) /.exec(readText(`${folder}/schedstat`) ?? '');
  if (exact !== null && exact[1] !== '0') return { ran: Number(exact[1]) / 1e9, waited: Number(exact[2]) / 1e9 };
  const fields = statFields(`${folder}/stat`);
  const ticks = Number(fields?.[11]) + Number(fields?.[12]);
  return Number.isFinite(ticks) ? { ran: ticks / TICKS_PER_SECOND, waited: null } : null;
}

const PAGE_BYTES = 4096;

function sampleResident(pid: number): Sample {
  // statm is open to every user, smaps_rollup only to those who may trace QEMU.
  const pages = readText(`/proc/${pid}/statm`)?.split(' ')[1];
  if (pages === undefined) return make.absent('unikernel.memory.resident', 'the QEMU process is gone');
  return make.value('unikernel.memory.resident', Number(pages) * PAGE_BYTES);
}

function sampleUptime(pid: number): Sample {
  const started = Number(statFields(`/proc/${pid}/stat`)?.[19]) / TICKS_PER_SECOND;
  const now = Number(readText('/proc/uptime')?.split(' ')[0]);
  if (!Number.isFinite(now - started)) return make.absent('process.uptime', 'the QEMU process is gone');
  return make.value('process.uptime', Math.max(0, Math.round((now - started) * TICKS_PER_SECOND) / TICKS_PER_SECOND));
}

/** The fields of a stat file from the third (state) on: the second, a name in brackets, may hold anything. */
function statFields(path: string): string[] | undefined {
  return readText(path)
    ?.replace(/^.*\)\s*/s, '')
    .split(' ');
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
