// Follows what a VM does: QMP events where there are any, polling where not, and the end of its process.

import { errorCode } from '../model/error.ts';
import type { Monitor } from './monitor.ts';
import { findStartTime } from './process.ts';
import { findVmState, type VmState } from './vm-status.ts';

/** A running watch; owns its timers. */
export interface VmWatch {
  state(): VmState;
  /** Calls `listener` at each change. Returns the unsubscriber. */
  onState(listener: (state: VmState) => void): () => void;
  close(): void;
}

const POLL_MS = 1000;
const DEATH_POLL_MS = 50;

/** Starts watching; the first state has been asked for when the promise resolves. `pid` null: the end is known by the socket only. */
export async function watchVm(monitor: Monitor, pid: number | null): Promise<VmWatch> {
  const watcher = new VmWatcher(monitor, pid);
  await watcher.start();
  return watcher;
}

class VmWatcher implements VmWatch {
  private readonly monitor: Monitor;
  private readonly pid: number | null;
  private readonly startTime: string | null;
  private readonly listeners = new Set<(state: VmState) => void>();
  private readonly unsubscribe: (() => void)[] = [];
  private current: VmState = { status: 'connecting', reason: null, event: null, cause: null };
  private timer: NodeJS.Timeout | null = null;
  /** Counts what was heard, so that an answer to an older question cannot overwrite newer news. */
  private generation = 0;
  /** Why the guest ended or crashed, for when QEMU is gone. */
  private lastWords: string | null = null;

  constructor(monitor: Monitor, pid: number | null) {
    this.monitor = monitor;
    this.pid = pid;
    this.startTime = pid === null ? null : findStartTime(pid);
  }

  async start(): Promise<void> {
    this.unsubscribe.push(
      this.monitor.subscribe((event) => {
        const state = findVmState(event);
        if (state === null) return;
        this.generation += 1;
        this.change(state);
        // STOP does not say why: a debugger, a disk error, a person.
        if (event.name === 'STOP') void this.refresh('STOP');
      }),
      this.monitor.onConnection((change) => {
        this.generation += 1;
        if (change.state === 'connected') this.reconnected();
        else this.lost(change.reason, change.retryInMs === null);
      }),
    );
    this.current = await this.monitor.askState();
    if (!this.monitor.hasEvents) this.poll(POLL_MS, () => void this.refresh(null));
  }

  state(): VmState {
    return this.current;
  }

  onState(listener: (state: VmState) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    if (this.timer !== null) clearInterval(this.timer);
    for (const unsubscribe of this.unsubscribe) unsubscribe();
    this.listeners.clear();
  }

  private async refresh(event: string | null): Promise<void> {
    const asked = this.generation;
    try {
      const answer = await this.monitor.askState();
      if (asked === this.generation) this.change({ ...answer, event });
    } catch (error) {
      // A closed connection is told by onConnection; anything else leaves the last state standing.
      if (errorCode(error) === null) throw error;
    }
  }

  private change(state: VmState): void {
    const { status, reason, event } = this.current;
    if (status === 'gone') return;
    // STOP follows SHUTDOWN and GUEST_PANICKED, which said it better.
    if (state.event === 'STOP' && (status === 'shutdown' || status === 'crashed')) return;
    // A RESET leaves the VM running as before, but is news.
    if (state.event !== 'RESET' && state.status === status && (state.reason === reason || isTelling(event))) return;
    this.current = state;
    if (state.status === 'running') this.lastWords = null;
    else if (isTelling(state.event)) this.lastWords = state.reason;
    for (const listener of this.listeners) listener(state);
  }

  private reconnected(): void {
    if (this.timer !== null) clearInterval(this.timer);
    void this.refresh(null);
  }

  /** The socket closed: either QEMU is ending (known within moments by its pid) or only the connection was lost. */
  private lost(reason: string, final: boolean): void {
    if (this.isProcessGone() || (final && this.pid === null)) this.gone();
    else {
      this.change({ status: 'connecting', reason, event: null, cause: null });
      this.poll(DEATH_POLL_MS, () => {
        if (this.isProcessGone()) this.gone();
      });
    }
  }

  private gone(): void {
    if (this.timer !== null) clearInterval(this.timer);
    // Where there are events, an end of the guest's comes as SHUTDOWN first: without it QEMU itself was killed, or crashed.
    const unsaid = this.monitor.hasEvents ? 'QEMU ended without a word: it was killed, or it crashed itself' : 'QEMU ended';
    this.change({
      status: 'gone',
      reason: this.lastWords === null ? unsaid : `QEMU ended: ${this.lastWords}`,
      event: null,
      cause: null,
    });
  }

  private isProcessGone(): boolean {
    return this.pid !== null && findStartTime(this.pid) !== this.startTime;
  }

  private poll(everyMs: number, body: () => void): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = setInterval(body, everyMs);
  }
}

function isTelling(event: string | null): boolean {
  return event === 'SHUTDOWN' || event === 'GUEST_PANICKED';
}
