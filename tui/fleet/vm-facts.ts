// One VM of a fleet in a row's worth of facts, from its snapshot: how it is, what it costs, and the one thing worth saying of it.

import { COLLECTORS } from '../../src/model/collectors.ts';
import type { FleetMember } from '../../src/model/fleet.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { findNanoseconds, findRate, findSeries, findValue, rateOf } from '../../src/vitals/history.ts';
import type { SortKey } from '../sorting.ts';
import type { Style } from '../style.ts';
import { worstFinding } from '../views/findings.ts';
import { GC_WINDOW_MS, isMeasured } from '../views/gc.ts';
import type { Usage } from '../views/memory.ts';
import { findUsage } from '../views/memory.ts';
import { isDead } from '../views/status-bar.ts';

/** What a row shows; null = not known. */
export interface VmFacts {
  readonly member: FleetMember;
  readonly system: string;
  /** A word and how it looks. */
  readonly state: { readonly text: string; readonly style: Style };
  /** 0 = nothing is wrong, 4 = it has crashed. */
  readonly trouble: number;
  readonly uptimeMs: number | null;
  /** 1 = all of one CPU. */
  readonly cpu: number | null;
  readonly memory: Usage | null;
  /** What QEMU's process occupies: shown where the guest's own use is not known. */
  readonly resident: number | null;
  readonly collectionsPerMinute: number | null;
  readonly lastPauseNs: number | null;
  /** A second, both ways: bytes, or packets where only they are counted. */
  readonly network: { readonly rate: number; readonly unit: 'By' | 'packet' } | null;
  readonly threads: number | null;
  /** Its crash, else what is found wrong, else the last line of its console. */
  readonly remark: { readonly text: string; readonly style: Style };
}

const CPU_WINDOW_MS = 5_000;

/** All facts of a VM. */
export function factsOf(member: FleetMember): VmFacts {
  const snapshot = member.session?.snapshot() ?? null;
  if (snapshot === null) return { ...UNKNOWN, member, ...(member.failure === null ? {} : refused(member.failure)) };
  const collector = COLLECTORS.find((candidate) => isMeasured(snapshot, candidate)) ?? null;
  const rate = findRate(snapshot, collector?.cycles ?? null, GC_WINDOW_MS);
  const runs = snapshot.vm.status === 'running';
  return {
    member,
    system: snapshot.identity?.unikernel ?? '?',
    ...stateOf(snapshot),
    uptimeMs: uptimeOf(snapshot),
    cpu: runs ? findRate(snapshot, 'system.cpu.time', CPU_WINDOW_MS) : null,
    memory: findUsage(snapshot),
    resident: findValue(snapshot, 'unikernel.memory.resident'),
    collectionsPerMinute: rate === null || !runs ? null : rate * 60,
    lastPauseNs: findNanoseconds(snapshot, collector?.pauseLast ?? null),
    network: runs ? networkRate(snapshot) : null,
    threads: snapshot.threads.length > 0 ? snapshot.threads.length : findValue(snapshot, 'unikernel.threads'),
    remark: remarkOf(snapshot),
  };
}

const UNKNOWN: Omit<VmFacts, 'member'> = {
  system: '',
  state: { text: 'attaching', style: 'dim' },
  trouble: 0,
  ...{ uptimeMs: null, cpu: null, memory: null, resident: null, collectionsPerMinute: null },
  ...{ lastPauseNs: null, network: null, threads: null },
  remark: { text: '', style: 'dim' },
};

function refused(why: string): Pick<VmFacts, 'state' | 'trouble' | 'remark'> {
  return {
    state: { text: '✖ refused', style: 'bad' },
    trouble: 3,
    remark: { text: `✖ cannot be attached: ${why}`, style: 'bad' },
  };
}

const STATES: Readonly<Record<Snapshot['vm']['status'], VmFacts['state']>> = {
  connecting: { text: '… attach', style: 'dim' },
  running: { text: '● running', style: 'good' },
  paused: { text: '‖ paused', style: 'warning' },
  debug: { text: '■ STOPPED', style: 'bad' },
  crashed: { text: '✖ CRASHED', style: 'bad' },
  shutdown: { text: '○ off', style: 'dim' },
  gone: { text: '○ gone', style: 'dim' },
};

function stateOf(snapshot: Snapshot): Pick<VmFacts, 'state' | 'trouble'> {
  const { vm, crashes } = snapshot;
  const crashed = crashes.length > 0 || vm.status === 'crashed';
  if (isDead(snapshot)) return { state: { text: '✖ DEAD', style: 'bad' }, trouble: 4 };
  const { text, style } = STATES[vm.status];
  // One that crashed and is gone is no longer just gone; one that goes on after a crash still runs.
  const state = crashed && vm.status !== 'running' ? { text: text.replace('○', '✖'), style: 'bad' as const } : { text, style };
  const worst = worstFinding(snapshot);
  const trouble = crashed ? 4 : worst?.severity === 'critical' ? 3 : worst !== null ? 2 : vm.status === 'running' ? 0 : 1;
  return { state, trouble };
}

function uptimeOf(snapshot: Snapshot): number | null {
  const own = findNanoseconds(snapshot, 'unikernel.uptime') ?? findNanoseconds(snapshot, 'process.uptime');
  return own === null ? null : own / 1e6;
}

/** The same bytes may be counted by the guest's driver and by the host: those of one counter only. */
function networkRate(snapshot: Snapshot): VmFacts['network'] {
  const rate = (name: string): number | null => {
    const all = findSeries(snapshot, name);
    return rateOf(all.filter(({ latest }) => latest.probe === all[0]?.latest.probe));
  };
  const [bytes, packets] = [rate('system.network.io'), rate('system.network.packets')];
  if (bytes !== null) return { rate: bytes, unit: 'By' };
  return packets === null ? null : { rate: packets, unit: 'packet' };
}

function remarkOf(snapshot: Snapshot): VmFacts['remark'] {
  const crash = snapshot.crashes.at(-1);
  if (crash !== undefined) return { text: `✖ ${crash.kind}: ${crash.title}`, style: 'bad' };
  const worst = worstFinding(snapshot);
  if (worst !== null) return { text: `! ${worst.message}`, style: worst.severity === 'critical' ? 'bad' : 'warning' };
  const said = snapshot.console.findLast(({ text }) => text.trim() !== '');
  return { text: said?.text ?? '', style: 'dim' };
}

/** What the overview can be sorted by. */
export const VM_SORTS: readonly SortKey<VmFacts>[] = [
  { name: 'trouble', value: ({ trouble }) => trouble, descending: true },
  { name: 'name', value: ({ member }) => member.name, descending: false },
  { name: 'CPU', value: ({ cpu }) => cpu, descending: true },
  {
    name: 'memory',
    value: ({ memory, resident }) => fullness(memory) ?? (resident === null ? null : -1 / (1 + resident)),
    descending: true,
  },
  { name: 'state', value: ({ state }) => state.text, descending: false },
];

/** Used of the limit, where both are known. */
function fullness(memory: Usage | null): number | null {
  return memory?.limit == null ? null : memory.used / memory.limit;
}
