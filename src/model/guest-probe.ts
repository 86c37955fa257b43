// What the session needs of the in-guest probe (probes/guest), which is passed in: it knows transports, not their bytes.

import type { Sample } from './metric.ts';
import type { Memory } from './target.ts';

/** What is known of losses between the guest and us. */
export interface ProbeLoss {
  /** Sent but never received, by sequence numbers; `dropped` and `damaged` ones are among them. */
  readonly lost: number;
  /** Dropped in the guest since its boot, by its own count. */
  readonly dropped: number;
  /** Received but no record. */
  readonly damaged: number;
}

/** Records of an in-guest probe that were taken in. */
export interface ProbeIntake {
  /** What was said of each metric since the last call: the newest value, of spans the longest. Names are the guest's: not to be trusted. */
  take(): readonly Sample[];
  /** Whole records received so far: what never has one is no probe. */
  readonly records: number;
  readonly loss: ProbeLoss;
}

/** A byte stream from an in-guest probe: virtio-serial, a UART. */
export interface ProbeStream extends ProbeIntake {
  /** Takes bytes, cut anywhere. Never throws. */
  push(bytes: Uint8Array): void;
}

/** The probe's ring in guest RAM. */
export interface ProbeRing extends ProbeIntake {
  /**
   * Reads what is new; null = no ring there (yet). Pure, as a walk may run it again: the returned function takes the records
   * in.
   */
  read(memory: Memory, address: bigint): (() => void) | null;
}

/** The in-guest probe as a source of samples. */
export interface GuestProbe {
  /** Linker symbol of the ring. */
  readonly ringSymbol: string;
  /** Name of the virtio-serial port it speaks on. */
  readonly portName: string;
  openStream(transport: string): ProbeStream;
  openRing(): ProbeRing;
}
