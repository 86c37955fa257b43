// A disk image of Nanos given for a log: what its kernel wrote onto it when it shut down is all that is left of a guest that nobody watched.

import { statSync } from 'node:fs';
import { openFileSource } from '../../bytes/byte-source.ts';
import type { Diagnostic } from '../../model/diagnostic.ts';
import type { GuestExit } from '../../model/guest-exit.ts';
import { nanos } from '../../unikernels/nanos.ts';
import { readNanosDiskLog } from '../../unikernels/nanos-disk-log.ts';

/** What a Nanos disk has of the guest's last end. */
export interface NanosDisk {
  readonly unikernel: string;
  /** The last of the console, by pieces. */
  readonly console: readonly Uint8Array[];
  readonly exit: GuestExit;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads a Nanos disk; null when `path` is none, or its guest ended well. Throws FILE_UNREADABLE. */
export function findNanosDisk(path: string): NanosDisk | null {
  if (path === '-' || statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return null;
  const source = openFileSource(path);
  try {
    const log = readNanosDiskLog(source);
    if (log === null) return null;
    // As isa-debug-exit tells it: the same code, with the same words.
    const exit = nanos.explainExit((log.exitCode << 1) | 1) ?? {
      code: log.exitCode,
      how: `Nanos left exit code ${log.exitCode}`,
    };
    const message =
      'a disk of Nanos: its exit code, and the last 4 KiB of its console, are what the kernel wrote before the first partition';
    return { unikernel: nanos.name, console: [log.console], exit, diagnostics: [{ code: 'nanos-disk', message }] };
  } finally {
    source.close();
  }
}
