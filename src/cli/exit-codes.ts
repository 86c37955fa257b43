// Exit codes of every verb (DESIGN §6, README).

import type { CrashKind } from '../model/crash.ts';
import type { ErrorCode } from '../model/error.ts';

export const EXIT = {
  fine: 0,
  expectationFailed: 1,
  usage: 2,
  cannotAttach: 3,
  crash: 4,
  outOfMemory: 5,
  hang: 6,
  bug: 70,
} as const;

/** The exit code that a crash of this kind gives. */
export function exitCodeOfCrash(kind: CrashKind): number {
  if (kind === 'out-of-memory') return EXIT.outOfMemory;
  return kind === 'hang' ? EXIT.hang : EXIT.crash;
}

/** The exit code of an error of ours; null code = a bug. */
export function exitCodeOfError(code: ErrorCode | null): number {
  if (code === null) return EXIT.bug;
  return code === 'USAGE' || code === 'TARGET_AMBIGUOUS' ? EXIT.usage : EXIT.cannotAttach;
}
