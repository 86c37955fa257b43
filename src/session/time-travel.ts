// A recorded run, replayed by QEMU and moved through in both directions: time is the number of instructions since the start. QEMU 7.2's own
// way to the last breakpoint (packet `bc`) was seen to stop for ever inside QEMU; so the run is played forward to here with the breakpoint
// set, and then sought to where it was met last. One instruction back is the packet `bs`.

import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { Breakpoint, StubClient } from '../../gdbstub/index.ts';
import { UnidbgError } from '../model/error.ts';
import type { QmpClient } from '../qemu/qmp/client.ts';

const POLL_MS = 20;
/** Instructions that are played before the end at first; each next attempt goes so many times further back. */
const FIRST_WINDOW = 65_536;
const WIDER = 32;
/** How often a breakpoint may be met on the way. */
const MAX_HITS = 20_000;
/** Where a run has come so often seen at, it has ended: its record holds no more. */
const STILL_LOOKS = 25;

const replayState = v.object({ icount: v.number() });
const runState = v.object({ running: v.boolean() });

/** The replay of one run. */
export class TimeTravel {
  private readonly stub: StubClient;
  private readonly qmp: Pick<QmpClient, 'execute'>;
  private readonly timeoutMs: number;

  /** `timeoutMs` bounds each way through the run. */
  constructor(stub: StubClient, qmp: Pick<QmpClient, 'execute'>, timeoutMs: number) {
    this.stub = stub;
    this.qmp = qmp;
    this.timeoutMs = timeoutMs;
  }

  /** Instructions since the start. */
  async now(): Promise<number> {
    return v.parse(replayState, await this.qmp.execute('query-replay')).icount;
  }

  /**
   * Plays to the end of the record, and says when that was; to `known`, where it is known. Throws QMP_TIMEOUT, and QMP_CLOSED where QEMU ends
   * with its log (seen: 7.2, when the guest was neither stopped nor off when the record ended).
   */
  async toEnd(known: number | null): Promise<number> {
    if (known !== null) {
      await this.seek(known);
      return known;
    }
    const stopped = this.stub.continue().catch(() => null);
    const deadline = performance.now() + this.timeoutMs;
    let [last, still] = [-1, 0];
    while (still < STILL_LOOKS) {
      await sleep(POLL_MS);
      const at = await this.now();
      still = at === last ? still + 1 : 0;
      last = at;
      if (performance.now() > deadline)
        throw new UnidbgError('QMP_TIMEOUT', `the replay did not come to its end within ${this.timeoutMs} ms`);
    }
    if (this.stub.running) await this.stub.interrupt();
    await stopped;
    return last;
  }

  /** Goes to a moment. */
  async seek(icount: number): Promise<void> {
    const deadline = performance.now() + this.timeoutMs;
    for (let looks = 0; !(await this.isAt(icount)); looks += 1) {
      // Seen, once in some: QEMU stops on the way. Asked again it goes on.
      const isIdle = looks % STILL_LOOKS === 0 && !(await this.isRunning());
      if (isIdle) await this.qmp.execute('replay-seek', { icount }, { timeoutMs: this.timeoutMs });
      if (performance.now() > deadline)
        throw new UnidbgError('QMP_TIMEOUT', `QEMU did not come to instruction ${icount} within ${this.timeoutMs} ms`);
      await sleep(POLL_MS);
    }
  }

  /** One instruction back; false at the beginning. */
  async stepBack(): Promise<boolean> {
    const before = await this.now();
    if (before === 0) return false;
    await this.stub.reverseStep({ timeoutMs: this.timeoutMs });
    return (await this.now()) < before;
  }

  /** Goes to where a breakpoint was met last before the moment `end`; null when it never was (and then it is at `end`). */
  async lastBefore(breakpoint: Breakpoint, end: number): Promise<number | null> {
    for (let window = FIRST_WINDOW; ; window *= WIDER) {
      const from = Math.max(0, end - window);
      const hit = await this.lastBetween(breakpoint, from, end);
      if (hit !== null) await this.meetAgain(breakpoint, hit);
      else if (from === 0) await this.seek(end);
      if (hit !== null || from === 0) return hit;
    }
  }

  /** An exception takes no instruction: sought to, the moment of one that faults may be behind its fault. Met again, it is before. */
  private async meetAgain(breakpoint: Breakpoint, icount: number): Promise<void> {
    await this.seek(Math.max(0, icount - 1));
    await this.stub.insertBreakpoint(breakpoint);
    try {
      await this.qmp.execute('replay-break', { icount: icount + 1 });
      await this.stub.continue({ timeoutMs: this.timeoutMs });
    } finally {
      await this.qmp.execute('replay-delete-break').catch(() => null);
      await this.stub.removeBreakpoint(breakpoint);
    }
    // A breakpoint that it stood at already was stepped over.
    if ((await this.now()) !== icount) await this.seek(icount);
  }

  private async lastBetween(breakpoint: Breakpoint, from: number, end: number): Promise<number | null> {
    await this.seek(from);
    await this.stub.insertBreakpoint(breakpoint);
    try {
      await this.qmp.execute('replay-break', { icount: end });
      let last: number | null = null;
      for (let hits = 0; hits < MAX_HITS; hits += 1) {
        await this.stub.continue({ timeoutMs: this.timeoutMs });
        const at = await this.now();
        if (at >= end) return last;
        last = at;
      }
      throw new UnidbgError('RSP_FAILED', `it was met more than ${MAX_HITS} times in ${end - from} instructions`);
    } finally {
      await this.qmp.execute('replay-delete-break').catch(() => null);
      await this.stub.removeBreakpoint(breakpoint);
    }
  }

  private async isAt(icount: number): Promise<boolean> {
    return !(await this.isRunning()) && (await this.now()) === icount;
  }

  private async isRunning(): Promise<boolean> {
    return v.parse(runState, await this.qmp.execute('query-status')).running;
  }
}
