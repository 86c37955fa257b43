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

/** The image of the guilty frame, else of the innermost frame that lies in one; null when none does. */
function imageOf({ frames, guiltyFrame }: Crash, images: readonly Image[]): Image | null {
  const guilty = guiltyFrame === null ? [] : frames.slice(guiltyFrame, guiltyFrame + 1);
  for (const { pc } of [...guilty, ...frames]) {
    const found = images.find(({ base, end, match }) => match !== 'mismatch' && base <= pc && pc < end);
    if (found !== undefined) return found;
  }
  return null;
}
