// The VMs of this host as `unidbg export` watches them: looked for every few seconds, each with a light session of its own, and kept
// for a while when they are gone, so that what they died of is not missed between two scrapes.

import type { ExportedVm, Fleet } from '../../export/fleet.ts';
import type { Crash } from '../../model/crash.ts';
import { errorCode, errorMessage } from '../../model/error.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { findVms } from '../../qemu/discover/find.ts';
import type { VmConsole, VmRecord } from '../../qemu/discover/record.ts';
import { findStartTime } from '../../qemu/process.ts';
import { type LiveSession, openLiveSession } from '../../session/live-session.ts';
import { EMPTY_SNAPSHOT } from '../../session/reduce.ts';
import type { Session } from '../../session/session.ts';
import { SYSTEMS } from '../systems.ts';

/** How the VMs are watched; times in ms. */
export interface FleetOptions {
  /** Names or pids of those that are wanted; all when empty. */
  readonly names: readonly string[];
  readonly discoverEveryMs: number;
  readonly sampleEveryMs: number;
  readonly lookEveryMs: number;
  /** As of a live session. */
  readonly inspect: 'auto' | null;
  readonly evaluate: boolean;
  /** Where separate debug files are. */
  readonly debugDirs: readonly string[];
  /** Told of what comes, goes and cannot be reached: one line, safe for a terminal or a log. */
  readonly onNews: (line: string) => void;
}

/** An unreachable VM is tried again after so long, and a gone one kept. */
const RETRY_MS = 15_000;
const GIVE_UP_MS = 360_000;
const KEEP_GONE_MS = 300_000;
const MAX_VMS = 500;
const MAX_CRASHES = 20;

/** Watches until closed; owns a session for each VM. */
export class WatchedFleet implements Fleet {
  private readonly options: FleetOptions;
  private readonly watched = new Map<string, WatchedVm>();
  private timer: NodeJS.Timeout | null = null;

  constructor(options: FleetOptions) {
    this.options = options;
  }

  readonly vms = (): readonly ExportedVm[] => [...this.watched.values()];

  /** Resolves when those that are there now were attached to, as far as that can be. */
  async open(): Promise<void> {
    const opening = this.discover();
    this.timer = setInterval(() => void this.discover(), this.options.discoverEveryMs);
    await opening;
  }

  async close(): Promise<void> {
    if (this.timer !== null) clearInterval(this.timer);
    await Promise.all([...this.watched.values()].map((vm) => vm.close()));
  }

  private async discover(): Promise<void> {
    const { names } = this.options;
    const found = new Map<string, VmRecord>();
    for (const vm of findVms().slice(0, MAX_VMS)) {
      const isWanted = names.length === 0 || names.includes(vm.name) || names.includes(String(vm.pid));
      // A pid may come again; with its start time it names a process for ever.
      if (isWanted) found.set(`${vm.pid}:${findStartTime(vm.pid) ?? ''}`, vm);
    }
    for (const [key, vm] of this.watched) {
      if (!found.has(key)) vm.leave();
      if (vm.isForgotten(Date.now())) this.watched.delete(key);
    }
    for (const [key, record] of found) if (!this.watched.has(key)) this.welcome(key, record);
    await Promise.all([...this.watched.values()].map((vm) => vm.attach()));
  }

  // One that is started again takes the place of the one before; of two that run the second is told by its pid.
  private welcome(key: string, record: VmRecord): void {
    const [namesake] = [...this.watched].filter(([, vm]) => vm.name === record.name);
    if (namesake === undefined) this.watched.set(key, new WatchedVm(record.name, record, this.options));
    else if (namesake[1].state !== 'gone') {
      this.watched.set(key, new WatchedVm(`${record.name}-${record.pid}`, record, this.options));
    } else {
      this.watched.delete(namesake[0]);
      this.watched.set(key, new WatchedVm(record.name, record, this.options, namesake[1]));
    }
  }
}

class WatchedVm implements ExportedVm {
  readonly name: string;
  readonly pid: number;
  reason: string | null = null;
  since = Date.now();
  roundsTaken = 0;
  samplesTaken = 0;
  readonly crashCounts: Map<string, number>;
  private newestCrashes: readonly Crash[];
  private readonly record: VmRecord;
  private readonly options: FleetOptions;
  private live: LiveSession | null = null;
  private session: Session | null = null;
  private attaching: Promise<void> | null = null;
  private retryAt = 0;
  private goneAt = Infinity;

  constructor(name: string, record: VmRecord, options: FleetOptions, before: ExportedVm | null = null) {
    this.crashCounts = new Map(before?.crashCounts);
    this.newestCrashes = before?.crashes() ?? [];
    this.name = name;
    this.pid = record.pid;
    this.record = record;
    this.options = options;
  }

  get state(): ExportedVm['state'] {
    if (this.goneAt !== Infinity) return 'gone';
    return this.live === null || this.snapshot().vm.status === 'connecting' ? 'unreachable' : 'up';
  }

  readonly crashes = (): readonly Crash[] => this.newestCrashes;

  readonly snapshot = (): Snapshot => this.session?.snapshot() ?? EMPTY_SNAPSHOT;

  /** Attaches unless that is done, under way, or was in vain a moment ago. Never rejects but for a bug of ours. */
  async attach(): Promise<void> {
    if (this.isLostForGood()) await this.close();
    if (this.live !== null || this.state === 'gone' || Date.now() < this.retryAt) return;
    this.attaching ??= this.openSession().finally(() => (this.attaching = null));
    await this.attaching;
  }

  /** Its process is there no more. */
  leave(): void {
    if (this.state === 'gone') return;
    this.goneAt = Date.now();
    this.options.onNews(`${this.name} (pid ${this.pid}) is gone`);
    void this.close();
  }

  isForgotten(now: number): boolean {
    return now - this.goneAt > KEEP_GONE_MS;
  }

  async close(): Promise<void> {
    await this.attaching;
    const { live } = this;
    this.live = null;
    await live?.close();
  }

  // The session itself connects again where it can, for some minutes.
  private isLostForGood(): boolean {
    const { status, since } = this.snapshot().vm;
    return this.live !== null && status === 'connecting' && Date.now() - since > GIVE_UP_MS;
  }

  private async openSession(): Promise<void> {
    const { sampleEveryMs, lookEveryMs, inspect, evaluate, debugDirs, onNews } = this.options;
    this.retryAt = Date.now() + RETRY_MS;
    try {
      this.live = await openLiveSession(
        lightSource(this.record),
        {
          systems: SYSTEMS,
          symbols: [],
          debugSearch: { roots: debugDirs, splitRoots: debugDirs },
          sourceRoots: [],
          takeConsole: false,
          sampleEveryMs,
          lookEveryMs,
          inspect,
          evaluate,
        },
        (session) => {
          this.listen(session);
        },
      );
      this.since = Date.now();
      this.reason = null;
      // It may have ended while we came.
      if (this.goneAt === Infinity) onNews(`${this.name} (pid ${this.pid}) is watched`);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      const reason = errorMessage(error);
      if (reason !== this.reason) onNews(`${this.name} (pid ${this.pid}) cannot be watched: ${reason}`);
      this.reason = reason;
    }
  }

  private takeCrash(crash: Crash): void {
    this.crashCounts.set(crash.kind, (this.crashCounts.get(crash.kind) ?? 0) + 1);
    this.newestCrashes = [...this.newestCrashes, crash].slice(-MAX_CRASHES);
    this.options.onNews(`${this.name} (pid ${this.pid}) crashed: ${crash.title}`);
  }

  private listen(session: Session): void {
    this.session = session;
    session.subscribe((event) => {
      if (event.type === 'metrics') {
        this.roundsTaken += 1;
        this.samplesTaken += event.samples.filter(({ value }) => value !== null).length;
      }
      if (event.type === 'crash') this.takeCrash(event.crash);
      if (event.type === 'vm' && event.status === 'gone') this.leave();
    });
  }
}

/**
 * The VM without what others need more: a monitor serves one client at a time, so the last one is taken first and the others left to
 * people; and so does a console that is no file.
 */
function lightSource(record: VmRecord): VmRecord {
  return { ...record, monitors: record.monitors.toReversed(), consoles: record.consoles.map(asFile) };
}

function asFile(console: VmConsole): VmConsole {
  const { kind } = console.backend;
  const isFile = kind === 'file' || (kind === 'stdio' && console.backend.target === 'file');
  return isFile || kind === 'none' ? console : { ...console, backend: { kind: 'none' } };
}
