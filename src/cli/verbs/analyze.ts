// `unidbg analyze FILE…`: what killed the guest of which this is the log, the dump, the bundle or the recording; with --group, which bugs
// many of them tell of.

import type { Command } from 'commander';
import { errorCode, errorMessage, UnidbgError } from '../../model/error.ts';
import { encodeJson } from '../../model/json.ts';
import type { Report } from '../../model/report.ts';
import { formatNamed, REPORT_FORMATS, renderReport } from '../../report/formats.ts';
import { groupCrashes, type SeenCrash } from '../../report/groups.ts';
import { groupsToJson, reportToJson } from '../../report/json.ts';
import { makeRunSet } from '../../report/run-set.ts';
import { groupLines, reportLines } from '../../report/text.ts';
import { openSourceMapsAmong, type SourceMaps } from '../../symbolize/source-maps.ts';
import { UNIKERNELS } from '../../unikernels/index.ts';
import { type Analysis, analyzeLog, type LogOptions } from '../analyze/analyze-log.ts';
import { analyzeStill } from '../analyze/analyze-still.ts';
import { isReportPath, readSavedReport } from '../analyze/saved-report.ts';
import { collect } from '../collect.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';
import { sourceOption } from '../file-options.ts';
import { readBaseline, reportContext, writeReports } from '../report-files.ts';
import { remark, sayLines } from '../say.ts';
import { addDumpOptions, findStillKind, type StillOptions } from '../still-guest.ts';
import type { Names } from '../symbolize/names.ts';
import { openNames } from '../symbolize/open-names.ts';
import { SYSTEMS } from '../systems.ts';
import type { Verb } from '../verb.ts';

interface AnalyzeOptions extends StillOptions {
  readonly loadBias?: string;
  readonly base: readonly string[];
  readonly unikernel?: string;
  readonly exitStatus?: string;
  readonly group?: boolean;
  readonly all?: boolean;
  readonly json?: boolean;
  readonly format?: string;
  readonly report?: string;
  readonly baseline?: string;
}

const EXAMPLES = `
Examples:
  unidbg analyze console.log --symbols kernel.elf --symbols app
  qemu-system-x86_64 … -serial stdio | unidbg analyze --symbols kernel.elf
  unidbg analyze vmcore --symbols kernel.elf --console console.log
  unidbg analyze crash.unicrash --format html > crash.html
  unidbg analyze --group ci-logs/*.log
  unidbg analyze --group reports/*.json    each made by analyze --json

The exit code is the verdict's: 0 no crash, 4 crash, 5 out of memory, 6 hang.`;

export const analyze: Verb = {
  register: (program: Command, finish) => {
    addDumpOptions(program.command('analyze'))
      .argument('[files...]', 'console logs, plain or gzip, dumps, bundles, recordings; - or none: a log on standard input')
      .description('tell from a log, a dump or a bundle what killed the guest, where, and whether it was seen before')
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
      .addOption(sourceOption())
      .option('--json', 'print one JSON document (of several logs, one a line)')
      .option('--format <name>', `print all in one form: ${REPORT_FORMATS.map(({ name }) => name).join(', ')}`)
      .option('--report <dir>', 'write every form into this folder')
      .option('--baseline <file>', 'tell which bugs are new, known or fixed against this one (made by `ci --update-baseline`)')
      .addHelpText('after', EXAMPLES)
      .action(finish(async (logs: readonly string[], options: AnalyzeOptions) => run(logs, options)));
  },
};

async function run(given: readonly string[], options: AnalyzeOptions): Promise<number> {
  const logs = given.length === 0 ? ['-'] : given;
  if (logs.includes('-') && process.stdin.isTTY)
    process.stderr.write('unidbg: reading a log from the terminal; Ctrl-D ends it\n');
  if (options.format !== undefined) formatNamed(options.format);
  const reader = new LogAnalyzer(options);
  try {
    return await (options.group === true ? groupAll(logs, reader, options) : analyzeEach(logs, reader, options));
  } finally {
    reader.close();
  }
}

/** Reads logs; opens the images that they are told with when the first comes: a dump opens its own. */
class LogAnalyzer {
  private readonly options: AnalyzeOptions;
  private readonly unikernel: string | null;
  private readonly exitStatus: number | null;
  private opened: Promise<LogOptions> | null = null;
  private names: Names | null = null;
  private maps: SourceMaps | null = null;

  /** Throws USAGE. */
  constructor(options: AnalyzeOptions) {
    this.options = options;
    this.unikernel = options.unikernel === undefined ? null : nameOf(options.unikernel);
    this.exitStatus = options.exitStatus === undefined ? null : statusOf(options.exitStatus);
  }

  async analyze(path: string): Promise<Analysis> {
    this.opened ??= this.open();
    return analyzeLog(path, await this.opened);
  }

  close(): void {
    this.names?.close();
    this.maps?.close();
  }

  private async open(): Promise<LogOptions> {
    const { maps, images } = await openSourceMapsAmong(this.options.symbols);
    this.maps = maps;
    this.names = await openNames(images, this.options);
    const { unikernel, exitStatus, options } = this;
    const sourceRoots = [...(options.source ?? []), process.cwd()];
    return { systems: SYSTEMS, names: this.names, maps, unikernel, exitStatus, sourceRoots };
  }
}

async function analyzeEach(files: readonly string[], reader: LogAnalyzer, options: AnalyzeOptions): Promise<number> {
  const codes: number[] = [];
  const reports: Report[] = [];
  const isTogether = options.format !== undefined || options.report !== undefined || options.baseline !== undefined;
  for (const file of files) {
    try {
      const { report } = await analyzeOne(file, reader, options);
      codes.push(exitCodeOf(report));
      if (isTogether) reports.push(report);
      else
        sayLines(options.json === true ? [encodeJson(reportToJson(report))] : reportLines(report, { all: options.all === true }));
    } catch (error) {
      // Of several the others are still told.
      if (errorCode(error) === null || files.length === 1) throw error;
      complain(error);
      codes.push(EXIT.cannotAttach);
    }
  }
  if (isTogether) tellTogether(files, reports, options);
  return worst(codes);
}

/** All in one document, on stdout, or in every form in a folder. */
function tellTogether(files: readonly string[], reports: readonly Report[], options: AnalyzeOptions): void {
  const baseline = options.baseline === undefined ? null : readBaseline(options.baseline);
  const runs = reports.map((report) => ({ name: report.source, report, passed: report.verdict === 'ok', bundle: null }));
  const title = files.length === 1 ? files[0]! : `${files.length} files`;
  const set = makeRunSet(title, runs, baseline);
  if (options.report !== undefined) {
    for (const path of writeReports(set, options.report)) process.stderr.write(`unidbg: wrote ${path}\n`);
  }
  if (options.report === undefined || options.format !== undefined) {
    process.stdout.write(renderReport(options.format ?? (options.json === true ? 'json' : 'text'), set, reportContext()));
  }
}

/** A log that cannot be read is said and left out: the others still count. */
async function groupAll(logs: readonly string[], reader: LogAnalyzer, options: AnalyzeOptions): Promise<number> {
  const seen: SeenCrash[] = [];
  let healthy = 0;
  let unreadable = 0;
  for (const log of logs) {
    try {
      const crashes = isReportPath(log)
        ? [readSavedReport(log)].filter((crash) => crash !== null)
        : (await analyzeOne(log, reader, options)).firsts;
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
  sayLines(options.json === true ? [encodeJson(groupsToJson(groups, runs))] : groupLines(groups, runs));
  if (groups[0] !== undefined) return exitCodeOfCrash(groups[0].kind);
  return unreadable > 0 ? EXIT.cannotAttach : EXIT.fine;
}

async function analyzeOne(path: string, reader: LogAnalyzer, options: AnalyzeOptions): Promise<Analysis> {
  const kind = findStillKind(path, options);
  return kind === null ? reader.analyze(path) : analyzeStill(path, kind, options);
}

function complain(error: unknown): void {
  remark(errorMessage(error));
}

function exitCodeOf({ crash, verdict }: Report): number {
  if (verdict === 'unknown') return EXIT.cannotAttach;
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
