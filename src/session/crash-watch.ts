// Which of the many signs of a death are one death: console text, the VM's own state, and memory may all tell the same crash.
// The first witness with words wins; the VM's state waits a moment for the console; what follows the first crash is kept
// when it is text and not told again when it is a mere consequence (the dead halt after a panic).

import type { ReportedCrash } from '../model/console-text.ts';
import type { CrashKind } from '../model/crash.ts';
import type { Frame } from '../model/frame.ts';

/** What was noticed. `silent` ones are consequences when a crash was told before. */
export type DeathSign =
  | { readonly type: 'text'; readonly crash: ReportedCrash }
  | {
      readonly type: 'silent';
      readonly kind: CrashKind;
      readonly message: string;
      readonly vcpu: number | null;
      readonly from: 'vm' | 'memory';
      /** Whose stack tells it: a guest thread's, of the last look. */
      readonly threads: readonly string[];
      /** The stack that tells it, when it was seen at an earlier look; null = the threads' or the vCPU's, now. */
      readonly frames: readonly Frame[] | null;
    };

/** So long a sign from the VM waits for words from the console: the text may still be in a pipe. */
export const WORDS_MS = 500;

/** Decides which signs become crashes. */
export class CrashWatch {
  private toldAt: number | null = null;
  private waiting: { sign: DeathSign; timer: NodeJS.Timeout } | null = null;
  private readonly tell: (sign: DeathSign) => void;

  constructor(tell: (sign: DeathSign) => void) {
    this.tell = tell;
  }

  /** A crash was told since the guest's last boot. */
  get told(): boolean {
    return this.toldAt !== null;
  }

  push(sign: DeathSign): void {
    if (sign.type === 'text') {
      this.drop();
      this.toldAt = Date.now();
      this.tell(sign);
    } else if (this.toldAt === null && this.waiting === null) {
      const timer = setTimeout(() => {
        this.waiting = null;
        this.toldAt = Date.now();
        this.tell(sign);
      }, WORDS_MS);
      this.waiting = { sign, timer };
    }
  }

  /** Tells what is waiting, now: nobody will say more. */
  flush(): void {
    const { waiting } = this;
    if (waiting === null) return;
    this.drop();
    this.toldAt = Date.now();
    this.tell(waiting.sign);
  }

  /** The guest boots anew: its next death is its own. */
  reset(): void {
    this.flush();
    this.toldAt = null;
  }

  private drop(): void {
    if (this.waiting !== null) clearTimeout(this.waiting.timer);
    this.waiting = null;
  }
}
