// Starts the janitor: see janitor.ts for what it promises.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { encodeProgress, encodeWritten, type JanitorOrder, type Progress } from './janitor-order.ts';

/** A running janitor. */
export interface Janitor {
  readonly pid: number;
  /** Tells how far a file has been read. */
  tell(progress: Progress): void;
  /** Entrusts a pcapng file to it: should unidbg be killed, it ends with a whole block. */
  entrust(path: string): void;
  /** Lets it go; what is left of the capture, it cleans up. Resolves when it has ended. */
  dismiss(): Promise<void>;
}

// In the published package it is a file beside the bundle.
const MAIN = ['./janitor.ts', './janitor.js'].map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync)!;

/** Starts one, in a session of its own: Ctrl-Z and Ctrl-C at our terminal are not for it. */
export function openJanitor(order: JanitorOrder): Janitor {
  const child = spawn(process.execPath, [MAIN], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => {
      resolve();
    });
    child.once('close', () => {
      resolve();
    });
  });
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  // A janitor that waits to be told must not keep unidbg from ending.
  child.unref();
  return {
    pid: child.pid ?? 0,
    tell: (progress) => {
      if (!child.stdin.writableNeedDrain) child.stdin.write(encodeProgress(progress));
    },
    entrust: (path) => {
      child.stdin.write(encodeWritten(path));
    },
    dismiss: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
