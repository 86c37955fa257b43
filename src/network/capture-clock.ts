// What filter-dump's stamps mean. QEMU writes (date at which the filter was made, in whole seconds) + (virtual clock, which began
// with the VM and stands still while it is paused): a VM that is an hour old stamps an hour ahead (net/dump.c, 7.2 and 10.0).
// Differences are exact to the µs; the absolute time is found by the file itself, whose mtime is the moment of its last record.

/** Corrections below this are the granularity of a file's times, not news. */
const JITTER_MS = 20;

/** Turns stamps into ms since the Unix epoch; one for all cards of a VM. */
export class CaptureClock {
  private offsetMs: number | null = null;

  /** A record with `stamp` was the file's last when the file was written at `writtenMs`. */
  calibrate(stamp: number, writtenMs: number): void {
    const offset = writtenMs - stamp / 1000;
    if (this.offsetMs === null || Math.abs(offset - this.offsetMs) > JITTER_MS) this.offsetMs = offset;
  }

  get calibrated(): boolean {
    return this.offsetMs !== null;
  }

  toEpochMs(stamp: number): number {
    return stamp / 1000 + (this.offsetMs ?? 0);
  }
}
