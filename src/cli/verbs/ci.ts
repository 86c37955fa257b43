// `unidbg ci [options] -- COMMAND`: runs a unikernel, watches it, and makes a verdict of it: docs/ci.md.

import { existsSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { errorCode, errorMessage, UnidbgError } from '../../model/error.ts';
import type { Run, RunSet } from '../../model/report.ts';
import { findLastValue, findProgram, parseCommandLine } from '../../qemu/discover/command-line.ts';
import type { StartedCommand } from '../../qemu/launch/command.ts';
import { type Baseline, formatBaseline, updateBaseline } from '../../report/baseline.ts';
import type { ReportContext, ReportFormat } from '../../report/format.ts';
import { formatNamed } from '../../report/formats.ts';
import { makeRunSet } from '../../report/run-set.ts';
import { crashLines } from '../../report/stack-text.ts';
import { exitCodeOfRuns, exitCodeOfVerdict, SIGNAL_CODES } from '../ci/exit-code.ts';
import { type CiOptions, parseRules, parseSchedule, type RunRules, type Schedule } from '../ci/options.ts';
import { openPrinter, runLines, setLines } from '../ci/print.ts';
import { type Audience, runAll } from '../ci/runs.ts';
import { tellGitHub } from '../ci/tell-github.ts';
import { collect } from '../collect.ts';
import { EXIT } from '../exit-codes.ts';
import { debugDirOption, sourceOption, symbolsOption } from '../file-options.ts';
import { beginRecord, noteEnd } from '../record-rr.ts';
import { makeFolder, readBaseline, reportContext, writeReports } from '../report-files.ts';
import { remark } from '../say.ts';
import { SYSTEMS } from '../systems.ts';
import type { Verb } from '../verb.ts';

const NOTES = `
Examples:
  unidbg ci --until '/listening on/' -- qemu-system-x86_64 -kernel server.elf -serial stdio
  unidbg ci --until exit --timeout 2m --report out -- ops run -p 8080 server
  unidbg ci --expect 'go.memory.gc.cycles > 0 within 60s' --max-heap 64MiB -- make run
  unidbg ci --repeat 50 --jobs 4 -- ./run.sh

Exit codes: 0 fine, 1 an expectation failed or the program did, 2 usage, 3 QEMU failed, 4 crash, 5 out of memory, 6 hang.
All is told in docs/ci.md, the language of --expect in docs/expressions.md.`;

const MAX_TITLE = 120;

export const ci: Verb = {
  register: (program: Command, finish) => {
    program
      .command('ci')
      .argument('<command...>', 'QEMU’s command line, or any launcher (ops, kraft, make, a script), after --')
      .description('run a unikernel, watch it, and make a verdict of it: exit code, report, bundle')
      .passThroughOptions()
      .option('--timeout <time>', 'the watch ends after this time, from the guest’s first instruction', '60s')
      .option('--until <what>', 'the run ends well as soon as this holds: /regex/ on the console, an expression, or exit')
      .option('--expect <expression>', 'has to hold; may be given many times', collect, [])
      .option('--boots-within <time>', 'boot has to be over by then: the text of --ready or --until, else the first line')
      .option('--ready <what>', 'what ends the boot: /regex/ on the console, or an expression')
      .option('--max-heap <size>', 'the heap of the language runtime, else the memory in use, stays below')
      .option('--repeat <n>', 'run it so often; crashes are put together by bug')
      .option('--fail-fast', 'with --repeat and --matrix-memory: stop at the first failure')
      .option('--jobs <n>', 'so many runs side by side', '1')
      .option('--matrix-memory <sizes>', 'run it with each size of memory: 64M,128M,256M')
      .option('--report <dir>', 'write all forms of the report, and the bundle, into this folder')
      .option('--no-dump', 'no bundle in the report’s folder')
      .option('--baseline <file>', 'bugs that are known: they are told apart from new ones, and do not fail the run')
      .option('--update-baseline', 'write new bugs into the baseline')
      .option('--name <name>', 'what the run is called in reports; the command line without it')
      .option('--json', 'print the report as JSON, and nothing else to stdout')
      .option('--format <form>', 'print the report in this form, and nothing else to stdout: text, markdown, github, …')
      .option('--quiet', 'the guest’s console is not printed')
      .option(
        '--record-rr <file>',
        'let QEMU record the run, for `unidbg replay-rr` to go back from its crash (docs/replay-rr.md)',
      )
      .option('--pass-exit-code', 'exit with the guest’s own exit code, where it gave one')
      .option(
        '--hang-after <time>',
        'a vCPU that spins with interrupts off so long hangs; what is less certain takes longer',
        '5s',
      )
      .option('--launch-within <time>', 'the launcher has started QEMU by then', '10m')
      .option('--look-every <time>', 'how often stacks are read, 50ms or more', '200ms')
      .option('--sample-every <time>', 'how often metrics are read, 10ms or more', '1s')
      .addOption(symbolsOption())
      .addOption(debugDirOption())
      .addOption(sourceOption())
      .addHelpText('after', NOTES)
      .action(finish(async (argv: readonly string[], options: CiOptions) => runCi(argv, options)));
  },
};

async function runCi(argv: readonly string[], options: CiOptions): Promise<number> {
  const asked = understand(argv, options);
  const write = openOutput();
  const say = asked.form === null ? write : (text: string): void => void process.stderr.write(text);
  const { runs, signalCode } = await performRuns(asked, say);
  const set = makeRunSet(asked.title, tolerateKnown(runs, asked.baseline), asked.baseline);
  const exitCode = signalCode ?? exitCodeOfRuns(set, options.passExitCode === true);
  for (const line of summaryLines(set, asked, signalCode)) say(`unidbg: ${line}\n`);
  const isWritten = options.report === undefined || tryToWriteReports(set, options.report, say);
  if (asked.baseline !== null && options.updateBaseline === true) saveBaseline(asked.baseline, set);
  if (asked.form !== null) write(asked.form.render(set, asked.context));
  if (asked.onGitHub && options.format !== 'github')
    tellGitHub(set, asked.context, process.env['GITHUB_STEP_SUMMARY'], say, remark);
  // A verdict that is bad already is not hidden behind a disk that is full.
  return isWritten || exitCode !== EXIT.fine ? exitCode : EXIT.cannotAttach;
}

/** The command line, understood. */
interface Asked {
  readonly argv: readonly string[];
  readonly options: CiOptions;
  readonly rules: RunRules;
  readonly schedule: Schedule;
  readonly isMany: boolean;
  /** What standard output is for, when it is for a report alone. */
  readonly form: ReportFormat | null;
  readonly baseline: Baseline | null;
  readonly onGitHub: boolean;
  readonly title: string;
  readonly context: ReportContext;
}

/** Throws USAGE, FILE_UNREADABLE, FILE_UNWRITABLE, REPORT_MALFORMED: what is wrong is said before anything runs. */
function understand(argv: readonly string[], options: CiOptions): Asked {
  const schedule = parseSchedule(options);
  const isMany = schedule.repeat * schedule.memory.length > 1;
  if (options.recordRr !== undefined && isMany) throw new UnidbgError('USAGE', '--record-rr records one run, not many');
  const formName = options.json === true ? 'json' : options.format;
  const asked: Asked = {
    ...{ argv, options, schedule, isMany },
    rules: parseRules(options),
    form: formName === undefined ? null : formatNamed(formName),
    baseline: options.baseline === undefined ? null : openBaseline(options.baseline, options.updateBaseline === true),
    onGitHub: process.env['GITHUB_ACTIONS'] === 'true',
    title: options.name ?? titleOf(argv),
    context: reportContext(),
  };
  if (options.report !== undefined) makeFolder(options.report);
  return asked;
}

interface Performed {
  readonly runs: readonly Run[];
  /** The exit code of the signal that ended it; null when none did. */
  readonly signalCode: number | null;
}

async function performRuns(asked: Asked, say: (text: string) => void): Promise<Performed> {
  const { argv, options, rules, schedule, isMany, title, context } = asked;
  const printer = openPrinter(say, asked.onGitHub, options.quiet === true || asked.form !== null || isMany);
  const record = options.recordRr === undefined ? null : await beginRecord(argv, options.recordRr);
  const commands = new Set<StartedCommand>();
  const stopping = listenToSignals(commands);
  const runs = await runAll(
    {
      ...{ rules, schedule, title },
      argv: record?.argv ?? argv,
      isRecorded: record !== null,
      shortName: options.name ?? 'run',
      repository: context.root,
      bundleFolder: options.dump === false ? null : (options.report ?? null),
      session: {
        systems: SYSTEMS,
        symbols: options.symbols,
        debugSearch: { roots: options.debugDir, splitRoots: options.debugDir },
        sourceRoots: [],
        takeConsole: false,
      },
      sourceRoots: [...options.source, process.cwd(), context.root],
      interrupted: stopping.interrupted,
      audience: makeAudience(printer.onEvent, isMany ? say : null),
    },
    commands,
  ).finally(() => {
    printer.close();
    stopping.close();
  });
  if (record !== null) noteEnd(record, options.symbols, runs[0]?.report.crash ?? null);
  return { runs, signalCode: stopping.code() };
}

/** How each run went where there are few, and how all did. */
function summaryLines(set: RunSet, { isMany, schedule }: Asked, signalCode: number | null): readonly string[] {
  const isAlone = set.runs.length === 1;
  const each = set.runs.flatMap((run) =>
    runLines(run, signalCode ?? exitCodeOfVerdict(run.report.verdict), isAlone ? null : run.name),
  );
  return [...(isMany ? [] : each), ...setLines(set, schedule.memory)].flatMap((line) => line.split('\n'));
}

/** Whether it could; what the run told is not lost with its reports. */
function tryToWriteReports(set: RunSet, folder: string, say: (text: string) => void): boolean {
  try {
    say(`unidbg: reports: ${writeReports(set, folder).join(' ')}\n`);
    return true;
  } catch (error) {
    if (errorCode(error) !== 'FILE_UNWRITABLE') throw error;
    remark(errorMessage(error));
    return false;
  }
}

/** What a command is called in reports: QEMU by what it boots, anything else as it was written. */
function titleOf(argv: readonly string[]): string {
  const options = findProgram(argv) === 0 ? parseCommandLine(argv.slice(1)) : [];
  const image = findLastValue(options, 'name', 'kernel', 'drive', 'hda', 'cdrom', 'disk');
  const words = image === null ? argv : [basename(image), findLastValue(options, 'append') ?? ''];
  return words.join(' ').trim().slice(0, MAX_TITLE);
}

/** `say`: how each run of many went, at once; null of one run. */
function makeAudience(onEvent: Audience['onEvent'], say: ((text: string) => void) | null): Audience {
  let isFirst = true;
  const told = new Set<string>();
  return {
    onEvent,
    onStart: ({ plan, record }) => {
      if (isFirst)
        remark(
          `QEMU (pid ${record.pid}) is watched; to its command line was added: ${plan.additions.flatMap(({ flags }) => flags).join(' ')}`,
        );
      isFirst = false;
    },
    onOthers: (count) => {
      remark(
        `${count === 1 ? 'another QEMU' : `${count} more QEMUs`} ran beside the one that was watched: only one at a time is`,
      );
    },
    onLauncherOutput: (text) => process.stderr.write(text),
    onRun: (run) => {
      const { crash, verdict } = run.report;
      const isNew = crash !== null && !told.has(crash.signature);
      if (crash !== null) told.add(crash.signature);
      const lines = [
        ...(isNew ? crashLines(crash) : []),
        ...runLines(run, exitCodeOfVerdict(verdict), run.name).map((line) => `unidbg: ${line}`),
      ];
      for (const line of lines) say?.(`${line}\n`);
    },
    onRemark: remark,
  };
}

/** Known bugs are no news: a run that only met such a one passes. */
function tolerateKnown(runs: readonly Run[], baseline: Baseline | null): readonly Run[] {
  if (baseline === null) return runs;
  const { comparison } = makeRunSet('', runs, baseline);
  const known = new Set(comparison?.known.flatMap(({ sources }) => sources));
  return runs.map((run) => (known.has(run.name) ? { ...run, passed: true } : run));
}

/** A baseline that is yet to be written is empty. Throws FILE_UNREADABLE, REPORT_MALFORMED. */
function openBaseline(path: string, isUpdated: boolean): Baseline {
  return isUpdated && !existsSync(path) ? { path, bugs: [] } : readBaseline(path);
}

function saveBaseline(baseline: Baseline, { comparison }: RunSet): void {
  if (comparison === null) return;
  try {
    writeFileSync(baseline.path, formatBaseline(updateBaseline(baseline, comparison)));
  } catch (cause) {
    throw new UnidbgError('FILE_UNWRITABLE', `cannot write the baseline ${baseline.path}: ${errorMessage(cause)}`, { cause });
  }
}

/** A closed pipe ends neither the run nor its verdict. */
function openOutput(): (text: string) => void {
  let isOpen = true;
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', () => {
    isOpen = false;
  });
  return (text) => {
    if (isOpen) process.stdout.write(text);
  };
}

/** The first signal ends the watch, with a report of what was seen; the second ends all at once. */
function listenToSignals(commands: ReadonlySet<StartedCommand>): {
  readonly interrupted: AbortSignal;
  readonly code: () => number | null;
  readonly close: () => void;
} {
  const stop = new AbortController();
  let code: number | null = null;
  const leaveNothing = (): void => {
    for (const command of commands) command.closeNow();
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (code !== null) process.exit(code);
    code = SIGNAL_CODES[signal as keyof typeof SIGNAL_CODES];
    remark(`${signal}: ending; once more ends at once`);
    stop.abort();
  };
  const signals = Object.keys(SIGNAL_CODES) as (keyof typeof SIGNAL_CODES)[];
  for (const signal of signals) process.on(signal, onSignal);
  process.on('exit', leaveNothing);
  return {
    interrupted: stop.signal,
    code: () => code,
    close: () => {
      for (const signal of signals) process.off(signal, onSignal);
      process.off('exit', leaveNothing);
    },
  };
}
