// Thread-ids, the thread list and the selection of a thread. GDB manual, E.2 (`H`, `T`), E.4 (`qfThreadInfo`, `qThreadExtraInfo`).
// Folklore: gdbsx ends the list in the same packet (`m0l`) and answers qsThreadInfo with nothing; it counts threads from 0.
// QEMU numbers its vCPUs from 1, and keeps writing `p1.1` for a client that never asked for `multiprocess` when an
// earlier client on the same stub did. Tests: test/gdbstub/packets.test.ts.

import { RspError } from '../error.ts';
import { decodeHex, decodeLatin1, quote } from '../framing/bytes.ts';

/** A thread-id as the stub writes it (`1`, `p1.1`): opaque, sent back unchanged. */
export type ThreadId = string;

const THREAD_ID = /^(?:p([0-9a-f]{1,16})\.)?([0-9a-f]{1,16})$/i;

export const FIRST_THREADS = 'qfThreadInfo';
export const MORE_THREADS = 'qsThreadInfo';
export const CURRENT_THREAD = 'qC';

/** Process and thread number of a thread-id; process null where the id has none. Throws RSP_MALFORMED. */
export function parseThreadId(id: ThreadId): { readonly process: bigint | null; readonly thread: bigint } {
  const match = THREAD_ID.exec(id);
  if (match === null) throw new RspError('RSP_MALFORMED', `${quote(id)} is not a thread-id`);
  return { process: match[1] === undefined ? null : BigInt(`0x${match[1]}`), thread: BigInt(`0x${match[2]!}`) };
}

/** Whether text is a thread-id. */
export function isThreadId(text: string): boolean {
  return THREAD_ID.test(text);
}

/** One part of the list; `last` when no further part need be asked for. */
export function decodeThreads(text: string): { readonly threads: readonly ThreadId[]; readonly last: boolean } {
  if (text === '' || text === 'l') return { threads: [], last: true };
  const endsHere = /^m.*l$/.test(text);
  const threads = (endsHere ? text.slice(1, -1) : text.slice(1)).split(',').filter((id) => id !== '');
  if (!text.startsWith('m') || !threads.every(isThreadId)) {
    throw new RspError('RSP_MALFORMED', `${quote(text)} is not a list of threads`);
  }
  return { threads, last: endsHere };
}

export function encodeThreadInfo(id: ThreadId): string {
  return `qThreadExtraInfo,${id}`;
}

/** The stub's own words for a thread (`CPU#0 [running]`); null when it has none or they are not hex. */
export function decodeThreadInfo(text: string): string | null {
  if (text === '' || !/^(?:[0-9a-f]{2})+$/i.test(text)) return null;
  return decodeLatin1(decodeHex(text));
}

/** `g`: the thread whose registers are read. `c`: the one that `s` and `c` move. */
export function encodeSelectThread(operation: 'g' | 'c', id: ThreadId): string {
  return `H${operation}${id}`;
}
