// What the session needs of the in-guest probe (probes/guest), which is passed in: it knows transports, not their bytes.

import type { Diagnostic } from './diagnostic.ts';
import type { Sample } from './metric.ts';
import type { AddressSpace } from './target.ts';

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
  /**
   * What was said of each metric since the last call: the newest value; of spans the longest, with their number and sum so far as
   * `.count` and `.time`. Names are the guest's: not to be trusted.
   */
  take(): readonly Sample[];
  /** What is to be said of the probe itself since the last call: it speaks a newer version, it names too much. */
  takeRemarks(): readonly Diagnostic[];
  /** Whole records received so far: what never has one is no probe. */
  readonly records: number;
  readonly loss: ProbeLoss;
}

/** A byte stream from an in-guest probe: virtio-serial, a UART, a socket, a file. */
export interface ProbeStream extends ProbeIntake {
  /** Takes bytes, cut anywhere. Never throws. */
  push(bytes: Uint8Array): void;
}

/** How far a reading of the ring came: `records` new ones, lost ones among them, in a ring of `slots`. */
export interface RingProgress {
  readonly records: number;
  readonly slots: number;
}

/** The probe's ring in guest RAM. */
export interface ProbeRing extends ProbeIntake {
  /** Takes in what is new; null = no ring there (yet). `openSpace` gives a fresh view of the guest's memory each time. */
  read(openSpace: () => AddressSpace, address: bigint): Promise<RingProgress | null>;
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
