// One log to one report.

import { findTime } from '../../console/times.ts';
import type { Crash } from '../../model/crash.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { GuestExit } from '../../model/guest-exit.ts';
import type { Image } from '../../model/image.ts';
import type { Report, Sighting } from '../../model/report.ts';
import type { SeenCrash } from '../../report/groups.ts';
import { makeReport } from '../../report/report.ts';
import type { Code } from '../../session/build-code.ts';
import { explainReported } from '../../session/explain-crash.ts';
import { type LoggedCrash, LogReader } from '../../session/log-reader.ts';
import { readExcerpts } from '../../session/source-excerpts.ts';
import type { Systems } from '../../session/systems.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import { reportContext } from '../report-files.ts';
import type { Names } from '../symbolize/names.ts';
import { LogCode } from './log-code.ts';
import { findNanosDisk } from './nanos-disk.ts';
import { readLog, writtenAt } from './read-input.ts';

/** How to read a log. */
export interface LogOptions {
  readonly systems: Systems;
  readonly names: Names;
  readonly maps: SourceMaps | null;
  /** By name; null = by the log's own banner and texts. */
  readonly unikernel: string | null;
  /** QEMU's exit status, where somebody knows it. */
  readonly exitStatus: number | null;
  /** Where source files may be. */
  readonly sourceRoots: readonly string[];
}

/** Crashes kept of one log; a guest that boots and dies all night tells nothing new after so many. */
const MAX_CRASHES = 1000;

/** What a log, or a recording, says. */
export interface Analysis {
  readonly report: Report;
  /** The first crash of each boot: what came after it may be its consequence. */
  readonly firsts: readonly SeenCrash[];
}

/** One log. Throws FILE_UNREADABLE. */
export async function analyzeLog(path: string, options: LogOptions): Promise<Analysis> {
  const { systems, names, maps } = options;
  const disk = findNanosDisk(path);
  const unikernel = options.unikernel ?? disk?.unikernel ?? null;
  const reader = new LogReader({ unikernels: systems.unikernels, runtimes: systems.runtimes, unikernel });
  const logCode = new LogCode(names, systems, maps);
  const source = path === '-' ? 'standard input' : path;
  const found: Found = { crashes: [], firsts: [], code: null, left: 0 };
  const explain = async (logged: readonly LoggedCrash[]): Promise<void> => {
    for (const told of logged) {
      if (found.crashes.length >= MAX_CRASHES) found.left += 1;
      else await explainOne(told, logCode, { source, at: timeOf(told, path) }, found);
    }
  };
  for await (const bytes of disk?.console ?? readLog(path)) await explain(reader.push(bytes));
  await explain(reader.end());
  const { crashes, firsts, code } = found;
  const system = crashes[0]?.unikernel ?? reader.unikernel;
  const report = makeReport({
    source,
    seenAt: firsts[0]?.seen.at ?? writtenAt(path),
    unikernel: system,
    crashes,
    images: code?.images ?? imagesOf(names),
    sources: readExcerpts(crashes, options.sourceRoots, reportContext().root),
    guestExit: explainExit(options.exitStatus, system, systems) ?? disk?.exit ?? null,
    diagnostics: [
      ...(disk?.diagnostics ?? []),
      ...logCode.diagnostics,
      ...(maps?.diagnostics ?? []),
      ...(code?.diagnostics ?? []),
      ...(reader.lines === 0 ? [EMPTY] : []),
      ...(found.left === 0 ? [] : [tooMany(found.left)]),
    ],
  });
  return { report, firsts };
}

interface Found {
  readonly crashes: Crash[];
  readonly firsts: SeenCrash[];
  /** As the first crash was told with. */
  code: Code | null;
  left: number;
}

async function explainOne(told: LoggedCrash, logCode: LogCode, seen: Sighting, found: Found): Promise<void> {
  const code = logCode.at(told);
  found.code ??= code;
  const crash = await explainReported(told.reported, code, null);
  found.crashes.push(crash);
  if (told.reported.ordinal === 1) found.firsts.push({ crash, seen });
}

/** By a date that a carrier put before the crash's lines; else when the log was written. */
function timeOf({ lines }: LoggedCrash, path: string): number | null {
  return lines.map(findTime).find((at) => at !== null) ?? writtenAt(path);
}

function tooMany(left: number): Diagnostic {
  return { code: 'crashes-left-out', message: `${left} more crashes were told after the first ${MAX_CRASHES}, and left out` };
}

const EMPTY: Diagnostic = { code: 'log-empty', message: 'the log is empty: nothing was printed, or it was not captured' };

function imagesOf({ placed }: Names): readonly Image[] {
  return placed.map(({ image, loadBias, match, placedBy }) => {
    const { path, buildId, imageBase, imageEnd } = image.elf;
    return { path, machine: image.machine, buildId, base: imageBase, end: imageEnd, loadBias, match, placedBy };
  });
}

function explainExit(status: number | null, unikernel: string | null, { unikernels }: Systems): GuestExit | null {
  if (status === null) return null;
  const own = unikernels.find(({ name }) => name === unikernel)?.explainExit(status) ?? null;
  return own ?? { code: status === 0 ? 0 : null, how: `QEMU ended with status ${status}` };
}
