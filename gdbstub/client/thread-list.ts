// The stub's threads, part by part: `qfThreadInfo`, then `qsThreadInfo` until `l`. GDB manual, E.4.

import { decodeLatin1 } from '../framing/bytes.ts';
import type { ThreadId } from '../packets/threads.ts';
import { decodeThreads, FIRST_THREADS, MORE_THREADS } from '../packets/threads.ts';
import type { Connection } from './connection.ts';

const MAX_THREADS = 4096;

/** Thread-ids in the stub's order, at most 4096; none from a stub that knows no threads. */
export async function readThreadList(connection: Connection): Promise<ThreadId[]> {
  const ids: ThreadId[] = [];
  let request = FIRST_THREADS;
  for (let packets = 0; packets < MAX_THREADS && ids.length < MAX_THREADS; packets += 1) {
    const { threads, last } = decodeThreads(decodeLatin1(await connection.request(request)));
    ids.push(...threads);
    if (last) break;
    request = MORE_THREADS;
  }
  return ids.slice(0, MAX_THREADS);
}
