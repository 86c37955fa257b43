// The probe's ring in guest RAM is read more often than samples are taken: 65,536 slots are overwritten in a third of a second by a
// guest that says 200,000 records a second. How often follows from how full it was; an idle ring costs four small reads a second.

import { errorCode } from '../model/error.ts';
import type { ProbeRing } from '../model/guest-probe.ts';
import type { Registers } from '../model/registers.ts';
import type { LiveTarget } from '../targets/live.ts';

const SLOWEST_MS = 100;
/** Of a ring that hardly turns: a hundredth of it was new. */
const IDLE_MS = 250;
const IDLE = 0.01;
const FASTEST_MS = 5;
/** The part of the ring that should be new at each reading. */
const AIM = 0.25;
/** Reading takes at most so much of our time; what comes faster is lost, and counted. */
const MAX_SHARE = 0.5;

/** What is read, and where. */
export interface RingPollInput {
  readonly target: LiveTarget;
  /** Null while something else is listened to. */
  readonly findRing: () => ProbeRing | null;
  /** Null while nothing says where the ring is. */
  readonly findAddress: () => bigint | null;
  /** The address is asked for again when this is another object. */
  readonly keyOfAddress: () => object;
}

/** Reads the ring on and on, from the first `read` until closed. */
export class RingPoll {
  private readonly input: RingPollInput;
  private space: Registers | null = null;
  private known: { readonly key: object; readonly address: bigint | null } | null = null;
  private reading: Promise<void> | null = null;
  private timer: NodeJS.Timeout | null = null;
  private lastAt = 0;
  private closed = false;

  constructor(input: RingPollInput) {
    this.input = input;
  }

  /** Reads what is new now; from now on through the address space of `space`. Rejects when the guest cannot be read. */
  async read(space: Registers | null): Promise<void> {
    this.space = space;
    await this.readOnce();
  }

  close(): void {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
  }

  private readOnce(): Promise<void> {
    this.reading ??= this.readNew().finally(() => {
      this.reading = null;
    });
    return this.reading;
  }

  private async readNew(): Promise<void> {
    const { target, findRing } = this.input;
    const [ring, address, space] = [findRing(), this.address(), this.space];
    const from = performance.now();
    const elapsed = from - this.lastAt;
    let rest = IDLE_MS;
    if (ring !== null && address !== null && space !== null) {
      const progress = await ring.read(() => target.memory(space), address);
      const took = performance.now() - from;
      const filled = progress === null ? 0 : progress.records / progress.slots;
      if (filled > IDLE) rest = Math.max(FASTEST_MS, Math.min(SLOWEST_MS, (elapsed * AIM) / filled));
      rest = Math.max(rest, took / MAX_SHARE - took);
    }
    this.lastAt = from;
    this.wait(rest);
  }

  // A guest that is gone, or whose memory cannot be had just now, is told of where it is sampled.
  private wait(ms: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    if (this.closed) return;
    this.timer = setTimeout(() => {
      const { status } = this.input.target.state();
      if (status === 'gone' || status === 'connecting') return;
      this.readOnce().catch((error: unknown) => {
        if (errorCode(error) === null) throw error;
      });
    }, ms);
  }

  private address(): bigint | null {
    const key = this.input.keyOfAddress();
    if (this.known?.key !== key) this.known = { key, address: this.input.findAddress() };
    return this.known.address;
  }
}
