// One VM, from its first instruction to the end of its run: looks at it, and says how the run ended and why then.

import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestEvent } from '../../model/event.ts';
import type { ExpectationOutcome } from '../../model/report.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { StartedVm } from '../../qemu/launch/command.ts';
import { WORDS_MS } from '../../session/crash-watch.ts';
import { DeathExplainer, isPanic } from '../../session/explain-death.ts';
import { type LiveSession, type LiveSessionOptions, openLiveSession } from '../../session/live-session.ts';
import type { Session } from '../../session/session.ts';
import { GoalWatch } from './goals.ts';
import type { RunRules } from './options.ts';
import { ProgressWatch, type Stillness } from './progress.ts';

/** How a run ended: the guest crashed; it ended, or QEMU did; all had come that was waited for; something failed; the time was over. */
export type Ending = 'crash' | 'ended' | 'done' | 'failed' | 'time' | 'interrupted';

/** What was seen of one VM. Times in ms since the Unix epoch. */
export interface Watched {
  readonly ending: Ending;
  readonly snapshot: Snapshot;
  readonly outcomes: readonly ExpectationOutcome[];
  readonly startedAt: number;
  readonly endedAt: number;
  readonly bootMs: number | null;
  /** What the guest did at last; null where its end was plain. */
  readonly stillness: Stillness | null;
  /** QEMU's own ShutdownCause; null where it announced no end. */
  readonly shutdownCause: string | null;
}

/** Who takes part. */
export interface WatchParty {
  readonly rules: RunRules;
  readonly session: Omit<LiveSessionOptions, 'lookEveryMs' | 'sampleEveryMs' | 'hangAfterMs'>;
  /** Given the session before its first event. */
  readonly prepare: (session: Session) => void;
  /** Called when the run has ended, while what is left of the guest is still there. */
  readonly keep: (live: LiveSession, seen: Watched) => Promise<void>;
  /** Aborted: the user wants to stop. */
  readonly interrupted: AbortSignal;
}

const TURN_MS = 40;
const MAX_MOVED = 6;
/** What a crash makes known at once: a second crash, why memory ran out, the guest's last words. */
const AFTER_CRASH_MS = 200;
/** What the console of a guest that is off still holds is told first. */
const AFTER_END_MS = 250;
/** One that reset itself may have died without a word, which is certain only when no word comes. */
const AFTER_RESET_MS = WORDS_MS + 500;

/** Watches to the end. Throws QMP_*, ELF_*, FILE_UNREADABLE where it cannot be attached to. */
export async function watchVm(vm: StartedVm, party: WatchParty): Promise<Watched> {
  const { rules } = party;
  const signs = new Signs();
  const live = await openLiveSession(vm.record, { ...party.session, ...rules }, (session) => {
    party.prepare(session);
    session.subscribe(signs.hear);
  });
  try {
    let shutdownCause: string | null = null;
    live.target.onState((state) => {
      if (state.event === 'SHUTDOWN') shutdownCause ??= state.cause;
      if (isPanic(state)) signs.hasPanicked = true;
    });
    if (vm.plan.isHeld) await live.target.cont();
    const startedAt = Date.now();
    const watch = new RunWatch(live, signs, party, startedAt);
    const ending = await watch.untilEnd();
    const endedAt = Date.now();
    const seen = (): Watched => ({ ...watch.result(signs.hasCrashed ? 'crash' : ending), startedAt, endedAt, shutdownCause });
    await party.keep(live, seen());
    await live.close();
    return seen();
  } finally {
    await live.close();
  }
}

/** What the session's events say of the end. */
class Signs {
  hasCrashed = false;
  hasEnded = false;
  /** It told QEMU that it panicked: a crash for which words are still waited. */
  hasPanicked = false;
  /** New stacks were read. */
  hasLooked = false;

  readonly hear = (event: GuestEvent): void => {
    if (event.type === 'crash') this.hasCrashed = true;
    if (event.type === 'guest-exit') this.hasEnded = true;
    if (event.type === 'vm' && (event.status === 'shutdown' || event.status === 'gone')) this.hasEnded = true;
    if (event.type === 'stacks') this.hasLooked = true;
  };
}

class RunWatch {
  private readonly live: LiveSession;
  private readonly signs: Signs;
  private readonly party: WatchParty;
  private readonly startedAt: number;
  private readonly goals: GoalWatch;
  private readonly progress: ProgressWatch;
  private stillness: Stillness | null = null;

  constructor(live: LiveSession, signs: Signs, party: WatchParty, startedAt: number) {
    this.live = live;
    this.signs = signs;
    this.party = party;
    this.startedAt = startedAt;
    this.goals = new GoalWatch(party.rules.goals, startedAt);
    this.progress = new ProgressWatch(startedAt);
  }

  async untilEnd(): Promise<Ending> {
    for (;;) {
      const ending = this.findEnding();
      if (ending !== null) return this.settle(ending);
      await sleep(TURN_MS);
    }
  }

  /** What became of all, after the last event. */
  result(ending: Ending): Omit<Watched, 'startedAt' | 'endedAt' | 'shutdownCause'> {
    const snapshot = this.live.session.snapshot();
    const over = ending !== 'crash' && ending !== 'interrupted';
    const work = this.stillness === null || this.stillness.isStill ? '' : workWords(this.stillness);
    const outcomes = this.goals.outcomes(snapshot, Date.now(), { over, hasEnded: this.signs.hasEnded, work });
    return { ending, snapshot, outcomes, bootMs: this.goals.bootMs, stillness: this.stillness };
  }

  private findEnding(): Ending | null {
    const now = Date.now();
    const snapshot = this.live.session.snapshot();
    if (this.signs.hasLooked) this.progress.push(snapshot, now);
    this.signs.hasLooked = false;
    const { failed, isDone } = this.goals.judge(snapshot, now);
    if (this.signs.hasCrashed) return 'crash';
    if (this.signs.hasEnded) return 'ended';
    if (this.party.interrupted.aborted) return 'interrupted';
    if (failed !== null) return 'failed';
    if (isDone) return 'done';
    return now - this.startedAt >= this.party.rules.timeoutMs ? 'time' : null;
  }

  private async settle(ending: Ending): Promise<Ending> {
    if (ending === 'ended') {
      const isReset = this.live.target.state().cause === 'guest-reset';
      // Seen: Unikraft without a console panics, then switches itself off; its bundle was left out, for want of a crash yet.
      const mayHaveDied = isReset || this.signs.hasPanicked;
      await this.sleepUntil(mayHaveDied ? AFTER_RESET_MS : AFTER_END_MS, () => this.signs.hasCrashed);
    }
    if (ending === 'failed' || ending === 'time') await this.tellHang();
    if (ending !== 'crash' && !this.signs.hasCrashed) return ending;
    this.live.session.dispatch({ type: 'refresh-stacks' });
    await sleep(AFTER_CRASH_MS);
    return 'crash';
  }

  /** A guest that stands still is a hang where something was waited for, and where it goes round in one place; else it is only idle. */
  private async tellHang(): Promise<void> {
    const now = Date.now();
    const { session, target, code } = this.live;
    const stillness = this.progress.judge(now);
    this.stillness = stillness;
    const isWaiting = this.goals.isWaiting(session.snapshot(), now);
    if (!stillness.isStill || (!isWaiting && stillness.spinning.length === 0)) return;
    const { isBootLate } = this.goals.judge(session.snapshot(), now);
    const vcpu = Number(/\d+/.exec(stillness.spinning[0]?.vcpu ?? '')?.[0] ?? 0);
    const message = hangWords(stillness, isBootLate);
    const explainer = new DeathExplainer({ target, session, code, lastLook: () => null });
    const crash = await explainer.explain({
      type: 'silent',
      kind: 'hang',
      message,
      vcpu,
      from: 'memory',
      threads: [],
      frames: null,
    });
    session.emit({ type: 'crash', crash });
  }

  private async sleepUntil(ms: number, isEnough: () => boolean): Promise<void> {
    for (const from = performance.now(); performance.now() - from < ms && !isEnough(); ) await sleep(TURN_MS);
  }
}

function hangWords({ forMs, spinning }: Stillness, isBoot: boolean): string {
  const where = spinning.map(({ vcpu, where: place }) => `${vcpu} goes round in ${place}`).join(', ');
  const what = where === '' ? 'every vCPU is idle' : where;
  const since = `for ${(forMs / 1000).toFixed(1)} s`;
  return `${isBoot ? 'stuck boot' : 'no progress'}\n${since} nothing was printed, no device was asked for anything, and no stack moved: ${what}`;
}

/** What a guest did in the time that it was not enough for. */
function workWords({ forMs, moved }: Stillness): string {
  const shown = moved.slice(0, MAX_MOVED).join(', ');
  const more = moved.length > MAX_MOVED ? `, and ${moved.length - MAX_MOVED} more` : '';
  return `; it is still at work: in the last ${(forMs / 1000).toFixed(1)} s there moved ${shown}${more}`;
}
