// Undoing: breakpoints out, the guest running again if it ran before, by whatever way is left.
//
//   connection alive   → (0x03, wait) z… M… D, else c
//   connection broken  → connect anew: ? z… M… D
//   QMP socket given   → query-status, cont
//
// Folklore, all measured on QEMU 7.2 (test/live/gdbstub.test.ts): a lost client leaves the guest stopped and its breakpoints
// in; `?` removes all breakpoints; `D` does too and lets the guest run; once any client has asked for `multiprocess`, `D`
// is refused (E22) for all later ones and `D;1` is wanted; a `s` that was sent before the client died is still carried out.
// On QEMU 10.0 also: a byte other than 0x03 that comes while the guest runs stops it without a stop reply.

import type { Duplex } from 'node:stream';
import { Connection } from '../client/connection.ts';
import type { Endpoint } from '../client/endpoint.ts';
import { openSocket } from '../client/endpoint.ts';
import { readThreadList } from '../client/thread-list.ts';
import { isRspError } from '../error.ts';
import { decodeLatin1 } from '../framing/bytes.ts';
import type { UnitDecoder } from '../framing/decoder.ts';
import { decodeStopReply, isStopReply } from '../packets/stop-reply.ts';
import { encodeSelectThread, parseThreadId } from '../packets/threads.ts';
import type { ContinueResult } from './qmp.ts';
import { continueByQmp } from './qmp.ts';
import type { Tracker } from './tracker.ts';

/** How the guest was left. `paused`: as it was before, stopped by somebody else. */
export type ReleaseReport = {
  readonly guest: 'running' | 'paused' | 'untouched' | 'unknown';
  readonly by: string;
};

/** What a release has to work with. */
export interface ReleaseMeans {
  readonly gdb: Endpoint;
  readonly qmp: Endpoint | null;
  readonly wasRunning: boolean;
}

/** The stub's socket and the decoder that may be in the middle of a packet of it. */
export interface HeldSocket {
  readonly socket: Duplex;
  readonly decoder: UnitDecoder;
}

const ANSWER_MS = 700;
const STEP_MS = 100;
const MAX_VCPUS = 64;
const RECONNECT_MS = 1500;
const QMP_MS = 400;
const QMP_TRIES_MS = 3000;

/** Leaves the guest as the tracker's record says it was; `held` is the stub's side of the conversation, null when lost. */
export async function releaseGuest(means: ReleaseMeans, tracker: Tracker, held: HeldSocket | null): Promise<ReleaseReport> {
  const wasLeftRunning = tracker.run === 'continue';
  const resume = (means.wasRunning || wasLeftRunning) && !tracker.pausedByOthers;
  let by = held === null ? null : await undo(tracker, held, resume);
  by ??= await undoOverNewConnection(means.gdb, tracker, resume);
  if (!resume) return { guest: by === null ? 'unknown' : 'paused', by: by ?? 'nothing' };
  // A detach that was answered OK is the guest running; anything less is confirmed, or done, by QMP.
  if (by?.startsWith('detach') === true || means.qmp === null)
    return { guest: by === null ? 'unknown' : 'running', by: by ?? 'nothing' };
  const confirmed = await continueByQmpRetrying(means.qmp);
  if (confirmed === 'continued') return { guest: 'running', by: 'qmp cont' };
  if (confirmed === 'dead-guest') return { guest: 'paused', by: 'the guest is at its end' };
  return confirmed === 'running' ? { guest: 'running', by: by ?? 'itself' } : { guest: 'unknown', by: by ?? 'nothing' };
}

/** Over the connection that the client used. Null when it does not hold. */
async function undo(tracker: Tracker, { socket, decoder }: HeldSocket, resume: boolean): Promise<string | null> {
  if (socket.destroyed) return null;
  const connection = new Connection(socket, { requestTimeoutMs: ANSWER_MS, decoder });
  if (!tracker.acks) connection.stopAcknowledging();
  try {
    await settle(connection, tracker);
    return await removeAndGo(connection, tracker, resume);
  } catch (error) {
    if (isRspError(error)) return null;
    throw error;
  } finally {
    connection.close();
  }
}

/**
 * Waits out what the client had asked: answers still owed, and the stop of a guest that runs. A request of our own would
 * else be given the client's answer. A step is given the time to end by itself.
 */
async function settle(connection: Connection, tracker: Tracker): Promise<void> {
  for (const request of tracker.pending.splice(0)) {
    await connection.awaitReply({
      stopReply: request === '?',
      ...(request.startsWith('qRcmd,') ? { onOutput: () => undefined } : {}),
    });
  }
  if (tracker.run === null) return;
  const stopped = connection.awaitReply({ stopReply: true, onOutput: () => undefined });
  if (tracker.run === 'step' && (await endsWithin(stopped, STEP_MS))) return;
  connection.interrupt();
  await stopped;
  if (tracker.run === 'step') await endSingleStep(connection);
}

/**
 * QEMU ends a vCPU's single-step mode only when it reports a stop with that vCPU as its current one. A step that did not
 * end by itself (its vCPU is halted), or whose end nobody heard, leaves the mode on: the guest would stop again after one
 * instruction, at every `cont`, for ever. So each vCPU is made the current one for a stop.
 */
async function endSingleStep(connection: Connection): Promise<void> {
  for (const thread of (await readThreadList(connection)).slice(0, MAX_VCPUS)) {
    await connection.request(encodeSelectThread('c', thread));
    const stopped = connection.resume('c', { timeoutMs: ANSWER_MS });
    connection.interrupt();
    await stopped;
  }
}

async function endsWithin(promise: Promise<unknown>, limitMs: number): Promise<boolean> {
  return Promise.race([promise.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, limitMs, false))]);
}

async function undoOverNewConnection(endpoint: Endpoint, tracker: Tracker, resume: boolean): Promise<string | null> {
  const deadline = Date.now() + RECONNECT_MS;
  for (let left = RECONNECT_MS; left > 0; left = deadline - Date.now()) {
    let connection: Connection | null = null;
    try {
      connection = new Connection(await openSocket(endpoint, { timeoutMs: left }), { requestTimeoutMs: ANSWER_MS });
      const stop = decodeLatin1(await connection.request('?', { stopReply: true }));
      tracker.process = processIn(stop) ?? tracker.process;
      if (resume) await endSingleStep(connection);
      return `${await removeAndGo(connection, tracker, resume)} after reconnecting`;
    } catch (error) {
      if (!isRspError(error)) throw error;
      // The stub may yet have to notice that its client has gone; a stub that nobody serves any more is given up at once.
      if (error.code === 'RSP_CONNECT') return null;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } finally {
      connection?.close();
    }
  }
  return null;
}

async function removeAndGo(connection: Connection, tracker: Tracker, resume: boolean): Promise<string> {
  for (const place of tracker.breakpoints) await connection.request(`z${place}`);
  for (const [address, hex] of tracker.written) {
    await connection.request(`M${address},${(hex.length / 2).toString(16)}:${hex}`);
  }
  if (!resume) return 'closing';
  const detaches = [...new Set([tracker.process === null ? 'D' : `D;${tracker.process}`, 'D', 'D;1'])];
  for (const detach of detaches) {
    try {
      if (decodeLatin1(await connection.request(detach)) === 'OK') return 'detach';
    } catch (error) {
      // gdbsx lets its domain go and hangs up without a word.
      if (isRspError(error, 'RSP_CLOSED')) return 'detach';
      throw error;
    }
  }
  void connection.resume('c').catch(() => undefined);
  // Without a detach the connection's end is all that follows; the stub must have read the `c` by then.
  await new Promise((resolve) => setTimeout(resolve, 50));
  return 'continue';
}

/** The socket may still be held by the process that died, or by one that lives and can see for itself. */
async function continueByQmpRetrying(endpoint: Endpoint): Promise<ContinueResult> {
  const deadline = Date.now() + QMP_TRIES_MS;
  for (;;) {
    const result = await continueByQmp(endpoint, QMP_MS);
    if (result !== 'busy' || Date.now() > deadline) return result;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function processIn(text: string): string | null {
  if (!isStopReply(text)) return null;
  const stop = decodeStopReply(text);
  return stop.type === 'stopped' && stop.thread !== null ? (parseThreadId(stop.thread).process?.toString(16) ?? null) : null;
}
