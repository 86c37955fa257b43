// The exit codes of `ci` (docs/ci.md).

import type { Report, RunSet, Verdict } from '../../model/report.ts';
import { EXIT, exitCodeOfCrash } from '../exit-codes.ts';

/** 128 + the signal's number, as a shell has it. */
export const SIGNAL_CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** The exit code of a verdict. */
export function exitCodeOfVerdict(verdict: Verdict): number {
  switch (verdict) {
    case 'ok':
      return EXIT.fine;
    case 'expectation-failed':
    case 'exit':
      return EXIT.expectationFailed;
    case 'qemu-failed':
    case 'unknown':
      return EXIT.cannotAttach;
    default:
      return exitCodeOfCrash(verdict);
  }
}

/** Of all runs: the first one that did not pass. `pass`: the guest's own code, where it gave one. */
export function exitCodeOfRuns({ runs }: RunSet, pass: boolean): number {
  const failed = runs.find(({ passed }) => !passed);
  const told = pass ? ownCode((failed ?? runs.at(-1))?.report) : null;
  if (told !== null) return told;
  return failed === undefined ? EXIT.fine : exitCodeOfVerdict(failed.report.verdict);
}

/** An exit code is one byte; a guest that was killed by us, or fell silent, has none. */
function ownCode(report: Report | undefined): number | null {
  const code = report?.guestExit?.code ?? null;
  return code === null ? null : code & 0xff;
}
