// What the session needs of the in-guest probe (probes/guest), which is passed in: it knows transports, not their bytes.

import type { Sample } from './metric.ts';
import type { Memory } from './target.ts';

/** What was lost on the way from the guest. */
export interface ProbeLoss {
  /** Sent but never received, by sequence numbers. */
  readonly lost: number;
  /** Dropped in the guest, by its own count. */
  readonly dropped: number;
  /** Received but no record. */
  readonly damaged: number;
}

/** A byte stream from an in-guest probe: virtio-serial, a UART. */
export interface ProbeStream {
  /** The newest value of each metric in these bytes. Never throws. */
  push(bytes: Uint8Array): readonly Sample[];
  readonly loss: ProbeLoss;
}

/** The probe's ring in guest RAM. */
export interface ProbeRing {
  /**
   * Reads what is new; null = no ring there (yet). Pure, as a walk may run it again: the returned function takes the records
   * over and gives the newest value of each metric.
   */
  read(memory: Memory, address: bigint): (() => readonly Sample[]) | null;
  readonly loss: ProbeLoss;
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
