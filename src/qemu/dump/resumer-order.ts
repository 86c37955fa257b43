// What unidbg tells the resumer over its standard input: the order, one line of JSON; then RELEASED, when the guest runs again.

/** Whose guest it is. */
export interface ResumerOrder {
  /** The monitor, as parseEndpoint reads it. */
  readonly monitor: string;
  /** QEMU's process, where it is known: nobody waits for one that has ended. */
  readonly qemuPid: number | null;
}

/** The resumer's only word: it has the order. */
export const READY = 'ready';
/** Our last word: nothing is left to do. */
export const RELEASED = 'released';
