// One log to one report.

import { findTime } from '../../console/times.ts';
import type { Crash } from '../../model/crash.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { Image } from '../../model/image.ts';
import type { GuestExit, Report } from '../../model/report.ts';
import { makeReport } from '../../report/report.ts';
import type { Code } from '../../session/build-code.ts';
import { explainReported } from '../../session/explain-crash.ts';
import { type LoggedCrash, LogReader } from '../../session/log-reader.ts';
import type { Systems } from '../../session/systems.ts';
import type { SourceMaps } from '../../symbolize/source-maps.ts';
import type { Names } from '../symbolize/names.ts';
import { LogCode } from './log-code.ts';
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
}

/** The report, and of each crash (the first one first) the lines that tell it. Throws FILE_UNREADABLE. */
export async function analyzeLog(
  path: string,
  { systems, names, maps, unikernel, exitStatus }: LogOptions,
): Promise<{ readonly report: Report; readonly told: readonly LoggedCrash[] }> {
  const reader = new LogReader({ unikernels: systems.unikernels, runtimes: systems.runtimes, unikernel });
  const logCode = new LogCode(names, systems, maps);
  const told: LoggedCrash[] = [];
  const crashes: Crash[] = [];
  let first: Code | null = null;
  const explain = async (logged: readonly LoggedCrash[]): Promise<void> => {
    for (const crash of logged) {
      const code = logCode.at(crash);
      first ??= code;
      told.push(crash);
      crashes.push(await explainReported(crash.reported, code, null));
    }
  };
  for await (const bytes of readLog(path)) await explain(reader.push(bytes));
  await explain(reader.end());
  const seen: Code | null = first;
  const system = crashes[0]?.unikernel ?? reader.unikernel;
  const report = makeReport({
    source: path === '-' ? 'standard input' : path,
    seenAt: timeOf(told[0], path),
    unikernel: system,
    crashes,
    images: imagesOf(seen, names),
    stacks: [],
    metrics: [],
    guestExit: explainExit(exitStatus, system, systems),
    diagnostics: [
      ...logCode.diagnostics,
      ...(maps?.diagnostics ?? []),
      ...diagnosticsOf(seen),
      ...(reader.lines === 0 ? [EMPTY] : []),
    ],
  });
  return { report, told };
}

/** By a date that a carrier put before the crash's lines; else when the log was written. */
export function timeOf(told: LoggedCrash | undefined, path: string): number | null {
  const dated = told?.lines.map(findTime).find((at) => at !== null);
  return dated ?? writtenAt(path);
}

const EMPTY: Diagnostic = { code: 'log-empty', message: 'the log is empty: nothing was printed, or it was not captured' };

function imagesOf(code: Code | null, names: Names): readonly Image[] {
  if (code !== null) return code.images;
  return names.placed.map(({ image, loadBias, match, placedBy }) => {
    const { path, buildId, imageBase, imageEnd } = image.elf;
    return { path, machine: image.machine, buildId, base: imageBase, end: imageEnd, loadBias, match, placedBy };
  });
}

function diagnosticsOf(code: Code | null): readonly Diagnostic[] {
  return code?.diagnostics ?? [];
}

function explainExit(status: number | null, unikernel: string | null, { unikernels }: Systems): GuestExit | null {
  if (status === null) return null;
  const own = unikernels.find(({ name }) => name === unikernel)?.explainExit(status) ?? null;
  return { code: status === 0 ? 0 : null, how: own ?? `QEMU ended with status ${status}` };
}
