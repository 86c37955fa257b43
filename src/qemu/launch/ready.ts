// When a started QEMU can be talked to.

import { chmodSync, existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnidbgError } from '../../model/error.ts';
import { openQmp } from '../qmp/client.ts';

/** How a process ended: its status, or the signal that killed it. */
export interface ProcessEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long QEMU's end may trail the end of its socket. */
export const END_MS = 1000;

/**
 * The socket exists before QEMU listens on it, and QEMU listens before the machine is made: many a command line is refused
 * only then. Ready is who answers. Asking takes the socket's one place, for a moment. Throws QEMU_LAUNCH after `timeoutMs`, QMP_*.
 */
export async function waitForMonitor(socket: string, timeoutMs: number, stopped: AbortSignal): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!stopped.aborted) {
    if (existsSync(socket) && (await answers(socket, timeoutMs))) return;
    if (performance.now() > deadline)
      throw new UnidbgError('QEMU_LAUNCH', `QEMU did not open its QMP socket within ${timeoutMs} ms`);
    await sleep(5);
  }
}

/** Why a program was not started. */
export function cannotStart(program: string, cause: Error & { readonly code?: string }): UnidbgError {
  const missing = cause.code === 'ENOENT';
  const message = missing ? `${program} is not installed, or not in PATH` : `cannot start ${program}: ${cause.message}`;
  return new UnidbgError(missing ? 'QEMU_NOT_FOUND' : 'QEMU_LAUNCH', message, { cause });
}

async function answers(path: string, timeoutMs: number): Promise<boolean> {
  // QEMU made it with our umask; the folder is closed to others already, and so is the socket now.
  chmodSync(path, 0o600);
  try {
    const qmp = await openQmp({ kind: 'unix', path }, { connectTimeoutMs: timeoutMs });
    qmp.close();
    return true;
  } catch (error) {
    // Between bind() and listen().
    if (error instanceof UnidbgError && error.facts['errno'] === 'ECONNREFUSED') return false;
    throw error;
  }
}
