// Stopping a guest under the eyes of a resumer (resumer.ts): whatever happens to us (kill -9), the guest runs again.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UnidbgError } from '../../model/error.ts';
import type { Monitor } from '../monitor.ts';
import { RELEASED, type ResumerOrder } from './resumer-order.ts';

/** A guest that we stopped. */
export interface StoppedGuest {
  /** Lets it run; resolves to the ms that it stood still. Again: the same answer. Never throws: a QEMU that is gone needs nothing. */
  release(): Promise<number>;
}

const START_MS = 10_000;
// In the published package it is a file beside the bundle.
const MAIN = ['./resumer.ts', './resumer.js'].map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync)!;

/** Stops a guest that runs. Throws QMP_*, and QEMU_LAUNCH when no resumer can be started: then the guest was not touched. */
export async function stopGuest(monitor: Monitor, pid: number | null): Promise<StoppedGuest> {
  const dismiss = await startResumer({ monitor: monitor.where, qemuPid: pid });
  const from = performance.now();
  try {
    await monitor.stop();
  } catch (error) {
    await dismiss();
    throw error;
  }
  let releasing: Promise<number> | null = null;
  const release = async (): Promise<number> => {
    await monitor.cont().catch(() => undefined);
    const stoppedMs = performance.now() - from;
    await dismiss();
    return stoppedMs;
  };
  return { release: () => (releasing ??= release()) };
}

/** Starts one, in a session of its own: Ctrl-C at our terminal is not for it. Resolves to what ends it. */
async function startResumer(order: ResumerOrder): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [MAIN], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: '/',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => {
      resolve();
    });
    child.once('close', () => {
      resolve();
    });
  });
  const abort = new AbortController();
  const timer = setTimeout(() => {
    abort.abort();
  }, START_MS);
  try {
    const isReady = await Promise.race([
      once(child.stdout, 'data', { signal: abort.signal }).then(
        () => true,
        () => false,
      ),
      ended.then(() => false),
    ]);
    if (!isReady) {
      child.kill('SIGKILL');
      throw new UnidbgError(
        'QEMU_LAUNCH',
        'the process that would let the guest run again should unidbg die does not start: dump with --live',
      );
    }
  } finally {
    clearTimeout(timer);
  }
  return async () => {
    child.stdin.end(`${RELEASED}\n`);
    await ended;
  };
}
