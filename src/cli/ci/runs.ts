// All runs of a `ci`: one, or many times, or with several sizes of memory; side by side where the user allows it.

import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, errorMessage, type UnidbgError } from '../../model/error.ts';
import type { GuestEvent } from '../../model/event.ts';
import { formatSize } from '../../model/quantity.ts';
import type { Report, Run } from '../../model/report.ts';
import { type StartedCommand, type StartedVm, startCommand } from '../../qemu/launch/command.ts';
import type { ProcessEnd } from '../../qemu/launch/ready.ts';
import { bundlePath, RunBundle } from './bundle.ts';
import type { RunRules, Schedule } from './options.ts';
import { reportOfFailure, reportOfRun, withLauncherEnd } from './run.ts';
import { type Watched, type WatchParty, watchVm } from './watch.ts';

/** What is the same for all runs. */
export interface RunsOptions {
  readonly argv: readonly string[];
  /** Of a run that is alone; `shortName` for its files. */
  readonly title: string;
  readonly shortName: string;
  readonly rules: RunRules;
  readonly schedule: Schedule;
  readonly session: WatchParty['session'];
  readonly sourceRoots: readonly string[];
  readonly repository: string;
  /** Where the bundles of runs that fail are written; null: nowhere. */
  readonly bundleFolder: string | null;
  /** QEMU records the run: it has to end by itself, for its log to be whole. */
  readonly isRecorded: boolean;
  readonly interrupted: AbortSignal;
  readonly audience: Audience;
}

/** Who is told while it goes on. */
export interface Audience {
  readonly onStart: (vm: StartedVm) => void;
  /** QEMUs that ran beside the one that was watched. */
  readonly onOthers: (count: number) => void;
  readonly onEvent: (event: GuestEvent) => void;
  readonly onLauncherOutput: (text: string) => void;
  readonly onRun: (run: Run) => void;
  /** Something went wrong that does not change the verdict. */
  readonly onRemark: (text: string) => void;
}

interface Planned {
  readonly name: string;
  readonly memoryBytes: number | null;
}

/** A launcher whose guest is off is waited for so long. */
const LAUNCHER_END_MS = 10_000;
const QEMU_END_MS = 1000;
/** QEMU writes the end of its record when it is told to quit. */
const RECORD_END_MS = 15_000;

/** Runs all. Throws USAGE, FILE_UNREADABLE, ELF_*: what is wrong with the call, not with a run. */
export async function runAll(options: RunsOptions, commands: Set<StartedCommand>): Promise<readonly Run[]> {
  const planned = planRuns(options);
  const results: (readonly Run[])[] = planned.map(() => []);
  let next = 0;
  let isOver = false;
  const work = async (): Promise<void> => {
    while (next < planned.length && !isOver && !options.interrupted.aborted) {
      const index = next;
      next += 1;
      const runs = await runCommand(planned[index]!, options, commands, planned.length === 1);
      results[index] = runs;
      for (const run of runs) options.audience.onRun(run);
      isOver ||= options.schedule.failFast && runs.some(({ passed }) => !passed);
    }
  };
  await Promise.all(Array.from({ length: Math.min(options.schedule.jobs, planned.length) }, work));
  return results.flat();
}

function planRuns({ schedule: { memory, repeat }, title }: RunsOptions): readonly Planned[] {
  return memory.flatMap((memoryBytes) =>
    Array.from({ length: repeat }, (_, index): Planned => {
      const parts = [...(memoryBytes === null ? [] : [formatSize(memoryBytes)]), ...(repeat === 1 ? [] : [`run ${index + 1}`])];
      return { name: parts.length === 0 ? title : parts.join(', '), memoryBytes };
    }),
  );
}

/** One start of the command: mostly one VM, of a launcher perhaps several, one after the other. */
async function runCommand(
  { name, memoryBytes }: Planned,
  options: RunsOptions,
  commands: Set<StartedCommand>,
  isAlone: boolean,
): Promise<readonly Run[]> {
  const { argv, rules, audience } = options;
  const startedAt = Date.now();
  const command = startCommand(argv, {
    wishes: { hold: true, memoryBytes },
    stdin: isAlone && !process.stdin.isTTY ? 'inherit' : 'ignore',
    onOutput: audience.onLauncherOutput,
  });
  commands.add(command);
  const runs: Run[] = [];
  let lastVm: StartedVm | null = null;
  try {
    for (;;) {
      const vm = await nextVm(command, runs.length === 0 ? rules.launchWithinMs : LAUNCHER_END_MS, options.interrupted);
      if (vm === null) break;
      lastVm = vm;
      const run = await runVm(vm, runs.length === 0 ? name : `${name}, VM ${runs.length + 1}`, command, options);
      runs.push(run.run);
      if (run.watched.ending !== 'ended' || !run.run.passed || command.isQemu) return runs;
    }
  } catch (error) {
    if (!isLaunchFailure(error)) throw error;
    const report = reportOfFailure(name, startedAt, argv, errorMessage(error));
    return [...runs, { name, report, passed: false, bundle: null }];
  } finally {
    const others = command.others();
    if (others > 0) audience.onOthers(others);
    await command.close();
    commands.delete(command);
  }
  const last = runs.at(-1);
  if (last === undefined || lastVm === null || options.interrupted.aborted) return runs;
  const report = withLauncherEnd(last.report, command, lastVm, argv[0]!);
  return [...runs.slice(0, -1), judged({ ...last, report })];
}

async function runVm(
  vm: StartedVm,
  name: string,
  command: StartedCommand,
  options: RunsOptions,
): Promise<{ readonly run: Run; readonly watched: Watched }> {
  const { audience, rules, interrupted, sourceRoots, repository, bundleFolder } = options;
  const bundle =
    bundleFolder === null ? null : new RunBundle(bundlePath(bundleFolder, name === options.title ? options.shortName : name));
  const toReport = async (watched: Watched): Promise<Report> => {
    const qemuEnd = await endOfQemu(watched, vm, command);
    return reportOfRun(watched, { source: name, command, vm, qemuEnd, sourceRoots, repository });
  };
  let kept: string | null = null;
  audience.onStart(vm);
  try {
    const watched = await watchVm(vm, {
      rules,
      interrupted,
      session: bundle === null ? options.session : { ...options.session, onConsole: bundle.hearConsole },
      prepare: (session) => {
        session.subscribe(audience.onEvent);
        bundle?.begin(session);
      },
      keep: async (live, seen) => {
        const report = await toReport(seen);
        const isWorthIt = report.verdict !== 'ok' && seen.ending !== 'interrupted';
        if (bundle !== null && isWorthIt) kept = await bundle.write(live, vm, report, audience.onRemark);
      },
    });
    if (options.isRecorded) await command.quit(vm, RECORD_END_MS);
    return { run: judged({ name, report: await toReport(watched), passed: false, bundle: kept }), watched };
  } finally {
    bundle?.close();
  }
}

function judged(run: Run): Run {
  return { ...run, passed: run.report.verdict === 'ok' };
}

/** Where we are QEMU's parent, or a launcher has become QEMU. */
async function endOfQemu({ snapshot }: Watched, { record }: StartedVm, command: StartedCommand): Promise<ProcessEnd | null> {
  if (snapshot.vm.status !== 'gone' || command.pid !== record.pid) return null;
  return Promise.race([command.ended, sleep(QEMU_END_MS, null, { ref: false })]);
}

async function nextVm(command: StartedCommand, withinMs: number, interrupted: AbortSignal): Promise<StartedVm | null> {
  const stop = new Promise<null>((resolve) => {
    if (interrupted.aborted) resolve(null);
    interrupted.addEventListener('abort', () => {
      resolve(null);
    });
  });
  const next = command.next(withinMs);
  next.catch(() => undefined);
  return Promise.race([next, stop]);
}

function isLaunchFailure(error: unknown): error is UnidbgError {
  return /^(?:QEMU|QMP)_/.test(errorCode(error) ?? '');
}
