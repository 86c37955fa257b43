import { describe, expect, it } from 'vitest';
import { GoalWatch } from '../../../src/cli/ci/goals.ts';
import { type CiOptions, parseRules } from '../../../src/cli/ci/options.ts';
import type { NewEvent } from '../../../src/session/session.ts';
import { Session } from '../../../src/session/session.ts';

const DEFAULTS: CiOptions = {
  ...{ timeout: '60s', launchWithin: '10m', hangAfter: '5s', lookEvery: '200ms', sampleEvery: '1s' },
  ...{ expect: [], symbols: [], debugDir: [], source: [] },
};

const END = { over: true, hasEnded: false, work: '; it works' };

function line(number: number, text: string): NewEvent {
  return { type: 'console', line: { number, source: 'console', text, partial: false, notes: [] } };
}

function metric(name: string, value: number): NewEvent {
  const sample = { name, value, attributes: {}, unit: 'By', kind: 'gauge', absent: null, probe: 'test' } as const;
  return { type: 'metrics', samples: [sample] };
}

/** A watch that starts at 0, and a guest that is told what to do. */
function watch(options: Partial<CiOptions>): { goals: GoalWatch; session: Session } {
  return { goals: new GoalWatch(parseRules({ ...DEFAULTS, ...options }).goals, 0), session: new Session() };
}

describe('the goals of a run', () => {
  it('are met as soon as the console says what was waited for', () => {
    const { goals, session } = watch({ until: '/listening/' });
    expect(goals.judge(session.snapshot(), 100)).toEqual({ failed: null, isBootLate: false, isDone: false });
    session.emit(line(1, 'listening on 8080'));
    expect(goals.judge(session.snapshot(), 200).isDone).toBe(true);
    expect(goals.bootMs).toBe(200);
  });

  it('are not met by --until while an expectation is pending', () => {
    const { goals, session } = watch({ until: '/ready/', expect: ['console ~ /served/ within 5s'] });
    session.emit(line(1, 'ready'));
    expect(goals.judge(session.snapshot(), 100).isDone).toBe(false);
    session.emit(line(2, 'served'));
    expect(goals.judge(session.snapshot(), 200).isDone).toBe(true);
  });

  it('are met by expectations alone, but never by those that last', () => {
    const { goals, session } = watch({ expect: ['console ~ /ready/', 'console !~ /error/'] });
    expect(goals.judge(session.snapshot(), 1).isDone).toBe(false);
    session.emit(line(1, 'ready'));
    expect(goals.judge(session.snapshot(), 2).isDone).toBe(true);
    const lasting = watch({ expect: ['console !~ /error/'] });
    expect(lasting.goals.judge(lasting.session.snapshot(), 30_000)).toMatchObject({ failed: null, isDone: false });
    lasting.session.emit(line(1, 'an error'));
    expect(lasting.goals.judge(lasting.session.snapshot(), 31_000).failed).toContain('an error');
  });

  it('that want an end are met by nothing else', () => {
    const { goals, session } = watch({ until: 'exit' });
    session.emit(line(1, 'ready'));
    expect(goals.judge(session.snapshot(), 100).isDone).toBe(false);
    expect(goals.isWaiting(session.snapshot(), 100)).toBe(true);
    expect(goals.outcomes(session.snapshot(), 100, { ...END, hasEnded: true })).toMatchObject([{ state: 'met' }]);
    expect(goals.outcomes(session.snapshot(), 100, END)).toMatchObject([
      { state: 'failed', reason: expect.stringMatching(/it works$/) as string },
    ]);
    expect(goals.outcomes(session.snapshot(), 100, { ...END, over: false })).toMatchObject([{ state: 'undecided' }]);
  });

  it('stay undecided where a crash came first', () => {
    const { goals, session } = watch({ until: '/ready/', expect: ['console ~ /served/ within 5s'] });
    const outcomes = goals.outcomes(session.snapshot(), 100, { ...END, over: false });
    expect(outcomes.map(({ state }) => state)).toEqual(['undecided', 'undecided']);
  });

  it('fail when the boot takes too long, and a firmware’s words are no boot', () => {
    const { goals, session } = watch({ bootsWithin: '2s' });
    session.emit(line(1, 'SeaBIOS (version 1.16)'));
    session.emit(line(2, 'Booting from ROM...'));
    expect(goals.judge(session.snapshot(), 1_999)).toMatchObject({ failed: null, isBootLate: false });
    expect(goals.judge(session.snapshot(), 2_000)).toMatchObject({
      isBootLate: true,
      failed: expect.stringContaining('has not booted') as string,
    });
    const quick = watch({ bootsWithin: '2s' });
    quick.session.emit(line(1, 'my kernel'));
    expect(quick.goals.judge(quick.session.snapshot(), 900)).toMatchObject({ failed: null, isDone: true });
    expect(quick.goals.bootMs).toBe(900);
  });

  it('hold the runtime’s heap against its limit, and the whole guest only where there is no other', () => {
    const heap = watch({ maxHeap: '1MiB' });
    heap.session.emit(metric('unikernel.memory.used', 5 << 20));
    expect(heap.goals.judge(heap.session.snapshot(), 1).failed).toBeNull();
    heap.session.emit(metric('go.memory.heap.live', 1 << 19));
    expect(heap.goals.outcomes(heap.session.snapshot(), 2, END)).toMatchObject([
      { state: 'met', reason: expect.stringContaining("Go's heap") as string },
    ]);
    const over = watch({ maxHeap: '1MiB' });
    over.session.emit(metric('go.memory.heap.live', 2 << 20));
    expect(over.goals.judge(over.session.snapshot(), 3).failed).toContain('reached 2.00 MiB');
    const whole = watch({ maxHeap: '1MiB' });
    whole.session.emit(metric('unikernel.memory.used', 5 << 20));
    expect(whole.goals.outcomes(whole.session.snapshot(), 4, END)).toMatchObject([
      { state: 'failed', reason: expect.stringContaining('memory in use') as string },
    ]);
  });

  it('fail where the heap could not be measured: a limit that nobody checked is no pass', () => {
    const { goals, session } = watch({ maxHeap: '1MiB' });
    expect(goals.outcomes(session.snapshot(), 1, END)).toMatchObject([
      { state: 'failed', reason: expect.stringContaining('could be measured') as string },
    ]);
  });
});
