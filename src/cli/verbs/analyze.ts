// `unidbg analyze LOG…`: what killed the guest that printed this, and with --group which bugs many logs tell of.

import type { Command } from 'commander';
import { errorCode, errorMessage, UnidbgError } from '../../model/error.ts';
import type { Report } from '../../model/report.ts';
import { groupCrashes, type SeenCrash } from '../../report/groups.ts';
import { groupsToJson, reportToJson } from '../../report/json.ts';
import { groupLines, reportLines } from '../../report/text.ts';
import { openSourceMapsAmong } from '../../symbolize/source-maps.ts';
import { UNIKERNELS } from '../../unikernels/index.ts';
import { type Analysis, analyzeLog, type LogOptions } from '../analyze/analyze-log.ts';
import { analyzeRecording, isRecording } from '../analyze/analyze-recording.ts';
import { isReportPath, readSavedReport } from '../analyze/saved-report.ts';
import { collect } from '../collect.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';
import type { Names } from '../symbolize/names.ts';
import { openNames } from '../symbolize/open-names.ts';
import { SYSTEMS } from '../systems.ts';
import type { Verb } from '../verb.ts';

interface AnalyzeOptions {
  readonly symbols: readonly string[];
  readonly loadBias?: string;
  readonly base: readonly string[];
  readonly debugDir: readonly string[];
  readonly unikernel?: string;
  readonly exitStatus?: string;
  readonly group?: boolean;
  readonly all?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  unidbg analyze console.log --symbols kernel.elf --symbols app
  qemu-system-x86_64 … -serial stdio | unidbg analyze --symbols kernel.elf
  unidbg analyze --group ci-logs/*.log
  unidbg analyze --group reports/*.json    each made by analyze --json

The exit code is the verdict's: 0 no crash, 4 crash, 5 out of memory, 6 hang.`;

export const analyze: Verb = {
  register: (program: Command, finish) => {
    program
      .command('analyze')
      .argument('[logs...]', 'console logs, plain or gzip; - or none: standard input')
      .description('tell from a console log what killed the guest, where, and whether it was seen before')
      .option(
        '--symbols <elf>',
        'image with the code, its debug file, a source map or a folder of them; may be given many times',
        collect,
        [],
      )
      .option('--load-bias <hex>', 'the images ran so far above their link addresses')
      .option('--base <elf=hex>', 'where one image was loaded; may be given many times', collect, [])
      .option('--debug-dir <dir>', 'where separate debug files are, beside /usr/lib/debug', collect, [])
      .option(
        '--unikernel <name>',
        `whose texts these are, where no banner says it: ${UNIKERNELS.map(({ name }) => name).join(', ')}`,
      )
      .option('--exit-status <n>', "QEMU's exit status, to be explained")
      .option('--group', 'put the crashes of all logs together by bug, as a table')
      .option('--all', 'tell every crash of a log in full, not only the first')
      .option('--json', 'print one JSON document (of several logs, one a line)')
      .addHelpText('after', EXAMPLES)
      .action(finish(async (logs: readonly string[], options: AnalyzeOptions) => run(logs, options)));
  },
};

async function run(given: readonly string[], options: AnalyzeOptions): Promise<number> {
  const logs = given.length === 0 ? ['-'] : given;
  if (logs.includes('-') && process.stdin.isTTY)
    process.stderr.write('unidbg: reading a log from the terminal; Ctrl-D ends it\n');
  const unikernel = options.unikernel === undefined ? null : nameOf(options.unikernel);
  const exitStatus = options.exitStatus === undefined ? null : statusOf(options.exitStatus);
  const { maps, images } = await openSourceMapsAmong(options.symbols);
  let names: Names | null = null;
  try {
    names = await openNames(images, options);
    const logOptions: LogOptions = { systems: SYSTEMS, names, maps, unikernel, exitStatus };
    return await (options.group === true ? groupAll(logs, logOptions, options) : analyzeEach(logs, logOptions, options));
  } finally {
    names?.close();
    maps?.close();
  }
}

async function analyzeEach(logs: readonly string[], logOptions: LogOptions, options: AnalyzeOptions): Promise<number> {
  const codes: number[] = [];
  for (const log of logs) {
    try {
      const { report } = await analyzeOne(log, logOptions);
      codes.push(exitCodeOf(report));
      print(options.json === true ? [JSON.stringify(reportToJson(report))] : reportLines(report, { all: options.all === true }));
    } catch (error) {
      // Of several the others are still told.
      if (errorCode(error) === null || logs.length === 1) throw error;
      complain(error);
      codes.push(EXIT.cannotAttach);
    }
  }
  return worst(codes);
}

/** A log that cannot be read is said and left out: the others still count. */
async function groupAll(logs: readonly string[], logOptions: LogOptions, options: AnalyzeOptions): Promise<number> {
  const seen: SeenCrash[] = [];
  let healthy = 0;
  let unreadable = 0;
  for (const log of logs) {
    try {
      const crashes = isReportPath(log)
        ? [readSavedReport(log)].filter((crash) => crash !== null)
        : (await analyzeOne(log, logOptions)).firsts;
      if (crashes.length === 0) healthy += 1;
      seen.push(...crashes);
    } catch (error) {
      if (errorCode(error) === null) throw error;
      complain(error);
      unreadable += 1;
    }
  }
  const groups = groupCrashes(seen);
  const runs = { total: logs.length, healthy, unreadable };
  print(options.json === true ? [JSON.stringify(groupsToJson(groups, runs))] : groupLines(groups, runs));
  if (groups[0] !== undefined) return exitCodeOfCrash(groups[0].kind);
  return unreadable > 0 ? EXIT.cannotAttach : EXIT.fine;
}

async function analyzeOne(path: string, logOptions: LogOptions): Promise<Analysis> {
  return isRecording(path) ? analyzeRecording(path) : analyzeLog(path, logOptions);
}

function complain(error: unknown): void {
  process.stderr.write(`unidbg: ${errorMessage(error)}\n`);
}

function exitCodeOf({ crash }: Report): number {
  return crash === null ? EXIT.fine : exitCodeOfCrash(crash.kind);
}

/** A crash of any log is the verdict of all; the first one's kind counts. */
function worst(codes: readonly number[]): number {
  return (
    codes.find((code) => code !== EXIT.fine && code !== EXIT.cannotAttach) ??
    codes.find((code) => code !== EXIT.fine) ??
    EXIT.fine
  );
}

function nameOf(name: string): string {
  if (UNIKERNELS.some((system) => system.name === name)) return name;
  const known = UNIKERNELS.map((system) => system.name).join(', ');
  throw new UnidbgError('USAGE', `--unikernel ${name}: not one that is known; these are: ${known}`);
}

function statusOf(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > 255)
    throw new UnidbgError('USAGE', `--exit-status ${text}: a number from 0 to 255`);
  return Number(text);
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}
