// Puts a report together from what was found. Pure: what it says depends on nothing else.

import type { Crash } from '../model/crash.ts';
import type { Image } from '../model/image.ts';
import type { Report, Verdict } from '../model/report.ts';

/** A report's parts that are always there; crashes in the order they happened. */
type Required = 'source' | 'seenAt' | 'unikernel' | 'images' | 'guestExit' | 'diagnostics';

/** What is left out is not known. */
export type Findings = Pick<Report, Required> &
  Partial<Omit<Report, Required | 'verdict' | 'image' | 'crash' | 'laterCrashes' | 'runtime'>> & {
    readonly crashes: readonly Crash[];
    /** QEMU failed, and nothing is told of the guest. */
    readonly qemuFailed?: boolean;
    /** Nothing would tell a crash if there was one. */
    readonly untold?: boolean;
  };

const UNKNOWN = {
  target: null,
  launch: null,
  outOfMemory: null,
  stacks: [],
  registers: [],
  metrics: [],
  history: [],
  findings: [],
  expectations: [],
  console: { before: 0, lines: [] },
  sources: [],
  partial: null,
} satisfies Partial<Report>;

/** The report. */
export function makeReport({ crashes, qemuFailed = false, untold = false, ...rest }: Findings): Report {
  const { images } = rest;
  const [crash = null, ...laterCrashes] = crashes;
  return {
    ...UNKNOWN,
    ...rest,
    verdict: verdictOf(crash, rest, { qemuFailed, untold }),
    unikernel: crash?.unikernel ?? rest.unikernel,
    runtime: crash?.runtime ?? null,
    image: crash === null ? (images[0] ?? null) : imageOf(crash, images),
    crash,
    laterCrashes,
  };
}

// A crash says more than what it made fail; a program that says it failed more than an expectation.
function verdictOf(
  crash: Crash | null,
  { guestExit, expectations = [] }: Partial<Report>,
  { qemuFailed, untold }: { readonly qemuFailed: boolean; readonly untold: boolean },
): Verdict {
  if (crash !== null) return crash.kind;
  if (qemuFailed) return 'qemu-failed';
  if (untold) return 'unknown';
  if (guestExit !== null && guestExit !== undefined && (guestExit.code ?? 0) !== 0) return 'exit';
  return expectations.every(({ state }) => state === 'met') ? 'ok' : 'expectation-failed';
}

/** The image of the guilty frame, else of the innermost frame that lies in one; null when none does. */
function imageOf({ frames, guiltyFrame }: Crash, images: readonly Image[]): Image | null {
  const guilty = guiltyFrame === null ? [] : frames.slice(guiltyFrame, guiltyFrame + 1);
  for (const { pc } of [...guilty, ...frames]) {
    const found = images.find(({ base, end, match }) => match !== 'mismatch' && base <= pc && pc < end);
    if (found !== undefined) return found;
  }
  return null;
}
