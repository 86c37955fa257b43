// What a run is held against, over time: snapshots in; whether anything failed, and whether all that was waited for has come.

import { type Expectation, type Verdict, watchExpectation } from '../../expression/index.ts';
import { COLLECTORS } from '../../model/collectors.ts';
import { formatSize } from '../../model/quantity.ts';
import type { ExpectationOutcome } from '../../model/report.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { isFirmwareLine } from '../../session/silent-death-boot.ts';
import type { Goals } from './options.ts';

/** How things stand. */
export interface Standing {
  /** The first that failed, in words; null while none did. */
  readonly failed: string | null;
  /** Boot was to be over by now, and is not. */
  readonly isBootLate: boolean;
  /** All that was waited for has come, and something was. */
  readonly isDone: boolean;
}

/** One of the things to be held against. `lasting`: it is decided by the end of the run alone. */
interface Watched {
  readonly text: string;
  readonly lasting: boolean;
  readonly judge: (snapshot: Snapshot, now: number, over?: boolean) => Verdict;
}

const MET = 'met';
const FOREVER_MS = Number.MAX_SAFE_INTEGER;

/** Watches the goals of one run from `startedAt` on, ms since the Unix epoch. */
export class GoalWatch {
  private readonly goals: Goals;
  private readonly startedAt: number;
  private readonly expected: readonly Watched[];
  private readonly until: Watched | null;
  private readonly boot: BootWatch;

  constructor(goals: Goals, startedAt: number) {
    this.goals = goals;
    this.startedAt = startedAt;
    this.boot = new BootWatch(goals, startedAt);
    this.until = goals.until === null || goals.until === 'exit' ? null : watchUntil(goals.until, startedAt);
    this.expected = [
      ...goals.expectations.map((expectation) => watchExpected(expectation, startedAt)),
      ...(goals.bootsWithinMs === null ? [] : [this.boot.asGoal(goals.bootsWithinMs)]),
      ...(goals.maxHeapBytes === null ? [] : [watchHeap(goals.maxHeapBytes)]),
    ];
  }

  /** From the start to the end of boot, in ms; null while it lasts. */
  get bootMs(): number | null {
    return this.boot.bootMs;
  }

  /** Whether the run needs something to happen, which has not happened yet. */
  isWaiting(snapshot: Snapshot, now: number): boolean {
    const pending = [...this.expected.filter(({ lasting }) => !lasting), ...(this.until === null ? [] : [this.until])];
    return this.goals.until === 'exit' || pending.some(({ judge }) => judge(snapshot, now).state !== MET);
  }

  judge(snapshot: Snapshot, now: number): Standing {
    this.boot.push(snapshot, now);
    const verdicts = this.expected.map((goal) => ({ goal, verdict: goal.judge(snapshot, now) }));
    const failed = verdicts.find(({ verdict }) => verdict.state === 'failed');
    const isPending = verdicts.some(({ goal, verdict }) => !goal.lasting && verdict.state === 'pending');
    const untilMet = this.until?.judge(snapshot, now).state === MET;
    const waits = this.until !== null || this.goals.until === 'exit' || this.expected.some(({ lasting }) => !lasting);
    return {
      failed: failed === undefined ? null : `${failed.goal.text}: ${failed.verdict.reason}`,
      isBootLate: this.boot.bootMs === null && now - this.startedAt >= (this.goals.bootsWithinMs ?? FOREVER_MS),
      isDone: waits && !isPending && this.goals.until !== 'exit' && (this.until === null || untilMet),
    };
  }

  /**
   * What became of each. `over`: the run came to its end, so that what has not come never will; else (a crash, a signal) what was not
   * decided stays so. `hasEnded`: the guest ended by itself. `work`: what it did instead of what was waited for.
   */
  outcomes(
    snapshot: Snapshot,
    now: number,
    end: { readonly over: boolean; readonly hasEnded: boolean; readonly work: string },
  ): readonly ExpectationOutcome[] {
    this.boot.push(snapshot, now);
    const watched = [...this.expected, ...(this.until === null ? [] : [this.until])];
    const outcomes = watched.map(({ text, judge, lasting }): ExpectationOutcome => {
      const { state, reason } = judge(snapshot, now, end.over);
      if (state === 'pending') return { text, state: 'undecided', reason };
      return { text, state, reason: state === 'failed' && !lasting ? reason + end.work : reason };
    });
    return this.goals.until === 'exit' ? [...outcomes, exitOutcome(end)] : outcomes;
  }
}

function exitOutcome({ over, hasEnded, work }: { over: boolean; hasEnded: boolean; work: string }): ExpectationOutcome {
  const text = 'until exit';
  if (hasEnded) return { text, state: 'met', reason: 'the guest has ended' };
  const reason = 'the guest has not ended by itself';
  return over ? { text, state: 'failed', reason: reason + work } : { text, state: 'undecided', reason };
}

function watchExpected(expectation: Expectation, startedAt: number): Watched {
  const { condition, span } = expectation;
  // A console that must not say something must never say it, unless told how long.
  const isLasting = span.type === 'always' || (span.type === 'now' && condition.type === 'console' && !condition.wanted);
  const lasting: Expectation = isLasting ? { ...expectation, span: { type: 'always' } } : expectation;
  return { text: expectation.text, lasting: isLasting, judge: watchExpectation(lasting, startedAt) };
}

/** Waited for to the end of the run, unless it says itself how long. */
function watchUntil(expectation: Expectation, startedAt: number): Watched {
  const span = expectation.span.type === 'now' ? ({ type: 'within', ms: FOREVER_MS } as const) : expectation.span;
  return { text: `until ${expectation.text}`, lasting: false, judge: watchExpectation({ ...expectation, span }, startedAt) };
}

/** When boot is over: with the text that says so, else with the first line that is not the firmware's. */
class BootWatch {
  bootMs: number | null = null;
  private readonly startedAt: number;
  private readonly ready: Watched | null;
  private looked = 0;

  constructor({ ready }: Goals, startedAt: number) {
    this.startedAt = startedAt;
    this.ready = ready === null ? null : watchUntil(ready, startedAt);
  }

  push(snapshot: Snapshot, now: number): void {
    if (this.bootMs !== null) return;
    const isOver = this.ready === null ? this.hasSpoken(snapshot) : this.ready.judge(snapshot, now).state === MET;
    if (isOver) this.bootMs = now - this.startedAt;
  }

  asGoal(withinMs: number): Watched {
    const text = `boots within ${withinMs} ms`;
    return {
      text,
      lasting: false,
      judge: (_snapshot, now, over = false) => {
        if (this.bootMs !== null && this.bootMs <= withinMs) return { state: MET, reason: `booted after ${this.bootMs} ms` };
        const late = now - this.startedAt >= withinMs || over || this.bootMs !== null;
        const reason = this.bootMs === null ? 'it has not booted' : `booted only after ${this.bootMs} ms`;
        return { state: late ? 'failed' : 'pending', reason };
      },
    };
  }

  private hasSpoken({ console }: Snapshot): boolean {
    const fresh = console.filter(({ number }) => number > this.looked);
    this.looked = fresh.findLast(({ partial }) => !partial)?.number ?? this.looked;
    return fresh.some(({ text }) => text.trim() !== '' && !isFirmwareLine(text));
  }
}

const HEAPS = COLLECTORS.map(({ title, heapUsed }) => ({ title: `${title}'s heap`, name: heapUsed }));
/** The whole guest's, where no runtime's heap is measured. */
const WHOLE = { title: 'memory in use', name: 'unikernel.memory.used' };

/** The largest that was read of each; the whole guest's counts only at the end, when no runtime's heap was ever read. */
function watchHeap(limit: number): Watched {
  const text = `heap at most ${formatSize(limit)}`;
  const peaks = new Map<string, number>();
  const say = ({ title, name }: typeof WHOLE): string => `${title} (${name}) reached ${formatSize(peaks.get(name) ?? 0)}`;
  return {
    text,
    lasting: true,
    judge: ({ metrics }, _now, over = false) => {
      for (const { latest } of metrics.values()) {
        if (latest.value !== null) peaks.set(latest.name, Math.max(peaks.get(latest.name) ?? 0, latest.value));
      }
      const heaps = HEAPS.filter(({ name }) => peaks.has(name));
      const large = heaps.find(({ name }) => peaks.get(name)! > limit);
      if (large !== undefined) return { state: 'failed', reason: say(large) };
      if (!over) return { state: 'pending', reason: 'the run goes on' };
      if (heaps.length > 0) return { state: MET, reason: heaps.map(say).join('; ') };
      const whole = peaks.get(WHOLE.name);
      if (whole !== undefined) return { state: whole > limit ? 'failed' : MET, reason: say(WHOLE) };
      return { state: 'failed', reason: 'neither a runtime’s heap nor the memory in use could be measured here' };
    },
  };
}
