// One death, two witnesses: a Node.js guest tells an uncaught exception to its inspector, and prints it after the inspector has let
// go of it. It is one crash. The console's text wins, with what the inspector knows of the stack behind it; where no text comes
// (nobody reads the console) the inspector's word is the crash.

import { joinStacks } from '../inspector/exception.ts';
import type { ReportedCrash } from '../model/console-text.ts';

/** So long an exception waits for its text on the console: under emulation a serial line prints a kilobyte in some 100 ms. */
export const TEXT_MS = 2_000;
/** Text that comes even later is still that of the exception which was told. */
const LATE_MS = 30_000;

/** Brings both together. Owns a timer: `flush` it. */
export class ExceptionWitness {
  private readonly tell: (crash: ReportedCrash) => void;
  private waiting: { readonly crash: ReportedCrash; readonly timer: NodeJS.Timeout } | null = null;
  /** When an exception was told that had no text; the text still has to come. */
  private toldAt: number | null = null;

  constructor(tell: (crash: ReportedCrash) => void) {
    this.tell = tell;
  }

  /** The inspector told an exception. */
  hear(crash: ReportedCrash): void {
    this.flush();
    const timer = setTimeout(() => {
      this.flush();
    }, TEXT_MS);
    this.waiting = { crash, timer };
  }

  /** A crash that the console told: what is to be told of it, or null when it was told already. */
  join(text: ReportedCrash): ReportedCrash | null {
    if (text.kind !== 'exception' || text.runtime !== 'v8') return text;
    const { waiting, toldAt } = this;
    if (waiting !== null) {
      clearTimeout(waiting.timer);
      this.waiting = null;
      return { ...text, frames: joinStacks(text.frames, waiting.crash.frames) };
    }
    this.toldAt = null;
    return toldAt !== null && Date.now() - toldAt < LATE_MS ? null : text;
  }

  /** Tells what is waiting, now: nobody will say more. */
  flush(): void {
    if (this.waiting === null) return;
    const { crash, timer } = this.waiting;
    clearTimeout(timer);
    this.waiting = null;
    this.toldAt = Date.now();
    this.tell(crash);
  }
}
