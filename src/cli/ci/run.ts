// One run: a VM is watched to its end, and what was seen becomes a report.

import type { GuestExit } from '../../model/guest-exit.ts';
import type { ExpectationOutcome, Report } from '../../model/report.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { endWords, type StartedCommand, type StartedVm } from '../../qemu/launch/command.ts';
import type { ProcessEnd } from '../../qemu/launch/ready.ts';
import { reportOfSnapshot } from '../../report/snapshot-report.ts';
import { EMPTY_SNAPSHOT } from '../../session/reduce.ts';
import { readExcerpts } from '../../session/source-excerpts.ts';
import { SYSTEMS } from '../systems.ts';
import type { Watched } from './watch.ts';

/** What a report is made of beside what was watched. */
export interface RunFacts {
  readonly source: string;
  readonly command: StartedCommand;
  readonly vm: StartedVm;
  /** How QEMU ended, where we are its parent; null while it runs, and where nobody told us. */
  readonly qemuEnd: ProcessEnd | null;
  readonly sourceRoots: readonly string[];
  readonly repository: string;
}

/** The report of a run that was watched. */
export function reportOfRun(watched: Watched, facts: RunFacts): Report {
  const { snapshot, startedAt, endedAt, bootMs, ending } = watched;
  const { vm, command, qemuEnd } = facts;
  const end = explainEnd(watched, facts);
  return reportOfSnapshot(snapshot, {
    source: facts.source,
    seenAt: startedAt,
    launch: {
      command: vm.plan.argv,
      startedAt,
      durationMs: endedAt - startedAt,
      bootMs,
      qemuExit: snapshot.vm.status === 'gone' ? qemuEnd : null,
      qemuOutput: command.output(),
    },
    expectations: [...watched.outcomes, ...interruption(ending)],
    guestExit: mostTelling([snapshot.guestExit, end.guestExit, exitOfWords(snapshot)]),
    qemuFailed: end.qemuFailed,
    sources: readExcerpts(snapshot.crashes, facts.sourceRoots, facts.repository),
  });
}

/** The report of a run in which there was no VM to look at. */
export function reportOfFailure(source: string, startedAt: number, command: readonly string[], message: string): Report {
  return reportOfSnapshot(EMPTY_SNAPSHOT, {
    source,
    seenAt: startedAt,
    launch: {
      ...{ command, startedAt, durationMs: Date.now() - startedAt, bootMs: null, qemuExit: null },
      qemuOutput: message.split('\n'),
    },
    qemuFailed: true,
  });
}

/** How the launcher itself ended when its guest was off: its word counts as the guest's, where that said nothing itself. */
export function withLauncherEnd(report: Report, command: StartedCommand, { plan, record }: StartedVm, program: string): Report {
  const end = command.end();
  // A launcher that has become QEMU was told of already.
  if (end === null || command.pid === record.pid || report.verdict !== 'ok') return report;
  if (end.status === 0) return report;
  const told = plan.hasDebugExit && end.status !== null ? explainStatus(end.status, report.unikernel) : null;
  if (told !== null && (told.code ?? 0) === 0) return report;
  const how = `${program} ended ${endWords(end)}`;
  return { ...report, verdict: 'exit', guestExit: { code: end.status, how } };
}

/** The first that knows the code, else the first that knows anything. */
function mostTelling(exits: readonly (GuestExit | null)[]): GuestExit | null {
  const known = exits.filter((exit) => exit !== null);
  return known.find(({ code }) => code !== null) ?? known[0] ?? null;
}

const LAST_LINES = 40;

/** By the system's last words on the console. */
function exitOfWords({ console, identity }: Snapshot): GuestExit | null {
  const system = SYSTEMS.unikernels.find(({ name }) => name === identity?.unikernel);
  const told = console.slice(-LAST_LINES).map(({ text }) => system?.exitOfWords?.(text) ?? null);
  return told.findLast((exit) => exit !== null) ?? null;
}

interface End {
  readonly guestExit: GuestExit | null;
  readonly qemuFailed: boolean;
}

/** What QEMU's end means: the guest's own exit status, or that QEMU failed. */
function explainEnd({ snapshot, shutdownCause }: Watched, { vm, qemuEnd }: RunFacts): End {
  const fine: End = { guestExit: null, qemuFailed: false };
  if (snapshot.vm.status !== 'gone') return fine;
  const { status = null, signal = null } = qemuEnd ?? {};
  if (signal !== null || shutdownCause === 'host-signal' || shutdownCause === 'host-error') return { ...fine, qemuFailed: true };
  if (status !== null && status !== 0) {
    if (!vm.plan.hasDebugExit) return { ...fine, qemuFailed: true };
    return { ...fine, guestExit: explainStatus(status, snapshot.identity?.unikernel ?? null) };
  }
  // An end of the guest's is announced, but for that by isa-debug-exit.
  if (shutdownCause !== null) return fine;
  if (!vm.plan.hasDebugExit) return { ...fine, qemuFailed: true };
  const how = 'the guest ended QEMU through isa-debug-exit; its status went to who started it';
  return status === null ? { ...fine, guestExit: { code: null, how } } : fine;
}

/** By the guest's system, else by the device: it makes 2·code+1 of what the guest writes. */
function explainStatus(status: number, unikernel: string | null): GuestExit {
  const system = SYSTEMS.unikernels.find(({ name }) => name === unikernel);
  const told = system?.explainExit(status) ?? null;
  if (told !== null) return told;
  const code = status >> 1;
  const isDevices = status % 2 === 1;
  return isDevices
    ? { code, how: `the guest wrote ${code} to isa-debug-exit (QEMU's status is ${status})` }
    : { code: status, how: `QEMU ended with status ${status}` };
}

function interruption(ending: Watched['ending']): readonly ExpectationOutcome[] {
  if (ending !== 'interrupted') return [];
  return [{ text: 'the run is watched to its end', state: 'undecided', reason: 'a signal ended it' }];
}
