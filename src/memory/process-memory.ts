// Reader (b): /proc/<pid>/mem of the QEMU process, at the host address HMP `gpa2hva` gives for each RAM region. 4–10 µs per
// page, no launch flag; needs the right to trace the process (same user, no Yama restriction, or CAP_SYS_PTRACE).

import { openSync } from 'node:fs';
import { errorMessage } from '../model/error.ts';
import type { HostRegion } from './host-regions.ts';
import { createFileReader, type ReaderAttempt } from './physical.ts';

/** Opens /proc/<pid>/mem over `regions`. `uid` is the process's user, for the refusal's words. */
export function openProcessMemory(pid: number, uid: number | null, regions: readonly HostRegion[]): ReaderAttempt {
  if (regions.length === 0) return { refused: 'QEMU does not tell where guest RAM lies in its memory (gpa2hva)' };
  const path = `/proc/${pid}/mem`;
  try {
    const fd = openSync(path, 'r');
    const pieces = regions.map(({ start, end, host }) => ({ start, end, fd, position: host }));
    return { reader: createFileReader('process-memory', path, pieces) };
  } catch (error) {
    const foreign = uid !== null && uid !== process.getuid?.();
    // Yama's ptrace_scope=1 (Ubuntu) closes mem, but not fd: the memfd of a QEMU of ours can still be opened.
    const why = foreign
      ? "the process is another user's: run unidbg as that user"
      : "Yama's ptrace_scope? QEMU started with memory-backend-memfd,share=on would allow it";
    return { refused: `not permitted: ${errorMessage(error)} (${why})` };
  }
}
