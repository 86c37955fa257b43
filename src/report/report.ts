// Puts a report together from what was found. Pure: what it says depends on nothing else.

import type { Crash } from '../model/crash.ts';
import type { Image } from '../model/image.ts';
import type { Report, Verdict } from '../model/report.ts';

/** A report's parts, crashes in the order they happened. */
export interface Findings extends Omit<Report, 'verdict' | 'image' | 'crash' | 'laterCrashes' | 'runtime'> {
  readonly crashes: readonly Crash[];
  readonly images: readonly Image[];
}

/** The report. */
export function makeReport({ crashes, images, ...rest }: Findings): Report {
  const [crash = null, ...laterCrashes] = crashes;
  const verdict: Verdict = crash?.kind ?? (rest.guestExit !== null && (rest.guestExit.code ?? 0) !== 0 ? 'exit' : 'ok');
  return {
    ...rest,
    verdict,
    unikernel: crash?.unikernel ?? rest.unikernel,
    runtime: crash?.runtime ?? null,
    image: crash === null ? (images[0] ?? null) : imageOf(crash, images),
    crash,
    laterCrashes,
  };
}

/** The image of the guilty frame; else the first that is what the guest runs. */
function imageOf(crash: Crash, images: readonly Image[]): Image | null {
  const guilty = crash.guiltyFrame === null ? null : crash.frames[crash.guiltyFrame];
  const own = images.find(({ base, end }) => guilty != null && base <= guilty.pc && guilty.pc < end);
  return own ?? images.find(({ match }) => match !== 'mismatch' && match !== 'no-file') ?? images[0] ?? null;
}
