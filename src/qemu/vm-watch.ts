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
  private current: VmState = { status: 'connecting', reason: null, event: null };
  private timer: NodeJS.Timeout | null = null;

  constructor(monitor: Monitor, pid: number | null) {
    this.monitor = monitor;
    this.pid = pid;
    this.startTime = pid === null ? null : findStartTime(pid);
  }

  async start(): Promise<void> {
    this.unsubscribe.push(
      this.monitor.subscribe((event) => {
        const state = findVmState(event);
        if (state !== null) this.change(state);
        else if (event.name === 'STOP') void this.refresh('STOP');
      }),
      this.monitor.onConnection((change) => {
        if (change.state === 'connected') void this.refresh(null);
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
    try {
      this.change({ ...(await this.monitor.askState()), event });
    } catch (error) {
      // A closed connection is told by onConnection; anything else leaves the last state standing.
      if (errorCode(error) === null) throw error;
    }
  }

  private change(state: VmState): void {
    const same = state.status === this.current.status;
    // STOP follows SHUTDOWN and GUEST_PANICKED, whose reason is the better one; a RESET changes nothing but is news.
    if (same && state.event !== 'RESET' && (state.reason === this.current.reason || this.current.event !== null)) return;
    if (this.current.status === 'gone') return;
    this.current = state;
    for (const listener of this.listeners) listener(state);
  }

  /** The socket closed: either QEMU is ending (known within moments by its pid) or only the connection was lost. */
  private lost(reason: string, final: boolean): void {
    if (this.isProcessGone() || (final && this.pid === null)) this.gone();
    else {
      this.change({ status: 'connecting', reason, event: null });
      this.poll(DEATH_POLL_MS, () => {
        if (this.isProcessGone()) this.gone();
      });
    }
  }

  private gone(): void {
    if (this.timer !== null) clearInterval(this.timer);
    const { status, reason } = this.current;
    const last = status === 'shutdown' || status === 'crashed' ? ` after: ${reason ?? status}` : '';
    this.change({ status: 'gone', reason: `QEMU ended${last}`, event: null });
  }

  private isProcessGone(): boolean {
    return this.pid !== null && findStartTime(this.pid) !== this.startTime;
  }

  private poll(everyMs: number, body: () => void): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = setInterval(body, everyMs);
  }
}
