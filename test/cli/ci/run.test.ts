import { describe, expect, it } from 'vitest';
import { exitCodeOfRuns } from '../../../src/cli/ci/exit-code.ts';
import { reportOfFailure, reportOfRun, withLauncherEnd } from '../../../src/cli/ci/run.ts';
import type { Watched } from '../../../src/cli/ci/watch.ts';
import type { VmStatus } from '../../../src/model/event.ts';
import type { Report } from '../../../src/model/report.ts';
import type { StartedCommand, StartedVm } from '../../../src/qemu/launch/command.ts';
import { planLaunch } from '../../../src/qemu/launch/plan.ts';
import type { ProcessEnd } from '../../../src/qemu/launch/ready.ts';
import { makeRunSet } from '../../../src/report/run-set.ts';
import { Session } from '../../../src/session/session.ts';

interface Case {
  readonly flags?: readonly string[];
  readonly status?: VmStatus;
  readonly cause?: string | null;
  readonly end?: ProcessEnd | null;
  readonly unikernel?: string;
  readonly lines?: readonly string[];
}

function vmOf(flags: readonly string[]): StartedVm {
  const plan = planLaunch(['qemu-system-x86_64', '-nodefaults', ...flags], '/p', { hold: true });
  return { plan, record: { pid: 7 } as StartedVm['record'] };
}

function commandOf(pid: number, end: ProcessEnd | null): StartedCommand {
  const none = async (): Promise<never> => Promise.reject(new Error('not here'));
  const ended = Promise.resolve(end ?? { status: 0, signal: null });
  return {
    isQemu: pid === 7,
    pid,
    ended,
    end: () => end,
    next: none,
    others: () => 0,
    output: () => [],
    quit: none,
    close: none,
    closeNow: () => undefined,
  };
}

function report({ flags = [], status = 'gone', cause = null, end = null, unikernel = 'demo', lines = [] }: Case): Report {
  const session = new Session();
  const nothing = { accelerator: null, memoryBytes: null, unikernelTitle: null, memoryReader: null, console: null };
  const identity = {
    ...nothing,
    name: 'vm',
    kind: 'live',
    pid: 7,
    machine: 'x86_64',
    vcpus: 1,
    unikernel,
    readStopsGuest: false,
  } as const;
  session.emit({ type: 'identity', identity });
  for (const [index, text] of lines.entries())
    session.emit({ type: 'console', line: { number: index + 1, source: 'console', text, partial: false, notes: [] } });
  session.emit({ type: 'vm', status, reason: null });
  const watched: Watched = {
    ...{ ending: 'ended', snapshot: session.snapshot(), outcomes: [], startedAt: 1000, endedAt: 2000 },
    ...{ bootMs: null, stillness: null, shutdownCause: cause },
  };
  const facts = { source: 'run', command: commandOf(7, end), vm: vmOf(flags), qemuEnd: end, sourceRoots: [], repository: '/' };
  return reportOfRun(watched, facts);
}

const DEBUG_EXIT = ['-device', 'isa-debug-exit'];

describe('the end of QEMU', () => {
  it.each<[string, Case, Report['verdict']]>([
    [
      'that a guest asked for by switching itself off is fine',
      { cause: 'guest-shutdown', end: { status: 0, signal: null } },
      'ok',
    ],
    ['kept for a look is fine', { status: 'shutdown', cause: 'guest-shutdown' }, 'ok'],
    ['by a signal is its own', { end: { status: null, signal: 'SIGABRT' } }, 'qemu-failed'],
    ['by a signal that it obeyed is not the guest’s', { cause: 'host-signal', end: { status: 0, signal: null } }, 'qemu-failed'],
    ['with a status is its own where the guest has no means to set one', { end: { status: 1, signal: null } }, 'qemu-failed'],
    ['without a word is its own', { end: null }, 'qemu-failed'],
    ['with a status that the guest set is the program’s', { flags: DEBUG_EXIT, end: { status: 7, signal: null } }, 'exit'],
    ['with a status that means well is fine', { flags: DEBUG_EXIT, unikernel: 'nanos', end: { status: 1, signal: null } }, 'ok'],
    ['through isa-debug-exit that nobody saw is told, and no failure', { flags: DEBUG_EXIT, end: null }, 'ok'],
  ])('%s', (_title, given, verdict) => {
    expect(report(given).verdict).toBe(verdict);
  });

  it('says the guest’s own code: by its system, by the device, by its last words', () => {
    expect(report({ flags: DEBUG_EXIT, end: { status: 7, signal: null } }).guestExit).toMatchObject({ code: 3 });
    expect(report({ flags: DEBUG_EXIT, unikernel: 'unikraft', end: { status: 85, signal: null } }).guestExit).toMatchObject({
      code: 42,
    });
    const words = ['Solo5: solo5_exit(3) called'];
    const solo5 = report({ flags: DEBUG_EXIT, unikernel: 'solo5', end: { status: 83, signal: null }, lines: words });
    expect(solo5).toMatchObject({ verdict: 'exit', guestExit: { code: 3 } });
  });
});

describe('the end of a launcher', () => {
  const fine = report({ status: 'shutdown', cause: 'guest-shutdown' });

  it('fails a run that went well, with its status', () => {
    const failed = withLauncherEnd(fine, commandOf(6, { status: 2, signal: null }), vmOf([]), './run.sh');
    expect(failed).toMatchObject({ verdict: 'exit', guestExit: { code: 2, how: './run.sh ended with status 2' } });
  });

  it('says nothing where it was well, where the launcher had become QEMU, and where there is a failure already', () => {
    expect(withLauncherEnd(fine, commandOf(6, { status: 0, signal: null }), vmOf([]), 'x')).toBe(fine);
    expect(withLauncherEnd(fine, commandOf(7, { status: 83, signal: null }), vmOf(DEBUG_EXIT), 'x')).toBe(fine);
    const failed = report({ end: { status: 1, signal: null } });
    expect(withLauncherEnd(failed, commandOf(6, { status: 1, signal: null }), vmOf([]), 'x')).toBe(failed);
  });
});

describe('the exit code of many runs', () => {
  const run = (name: string, of: Report, passed = of.verdict === 'ok') => ({ name, report: of, passed, bundle: null });
  const fine = report({ status: 'shutdown', cause: 'guest-shutdown' });
  const failed = report({ flags: DEBUG_EXIT, end: { status: 7, signal: null } });

  it('is that of the first that did not pass', () => {
    expect(exitCodeOfRuns(makeRunSet('', [run('1', fine), run('2', fine)]), false)).toBe(0);
    const broken = reportOfFailure('3', 0, ['qemu-system-x86_64'], 'QEMU ended');
    expect(exitCodeOfRuns(makeRunSet('', [run('1', fine), run('2', failed), run('3', broken)]), false)).toBe(1);
    expect(exitCodeOfRuns(makeRunSet('', [run('1', broken)]), false)).toBe(3);
    expect(exitCodeOfRuns(makeRunSet('', [run('1', failed, true)]), false)).toBe(0);
  });

  it('is the guest’s own where that is asked for', () => {
    expect(exitCodeOfRuns(makeRunSet('', [run('1', fine), run('2', failed)]), true)).toBe(3);
    expect(exitCodeOfRuns(makeRunSet('', [run('1', fine)]), true)).toBe(0);
  });
});
