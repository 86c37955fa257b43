// Starting a guardian (main.ts) and working under it. "Whatever happens to us while the guest is halted (exit, crash,
// kill -9), the guest runs again": the guardian holds the stub's connection; our socket to it and its stdin are the two
// lines whose end tells it that we are gone. Should the guardian be the one that dies, we start a second one to undo.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '../client/endpoint.ts';
import type { StubClient, StubOptions } from '../client/stub-client.ts';
import { openStub } from '../client/stub-client.ts';
import { RspError } from '../error.ts';
import type { GuardianOrder, GuardianWord } from './order.ts';
import type { ReleaseReport } from './release.ts';

/** Whom to guard, and how the guest was when we came. `wasRunning` false: it is left paused, for whoever paused it. */
export interface GuardOptions {
  readonly gdb: Endpoint;
  readonly qmp: Endpoint | null;
  readonly wasRunning: boolean;
  /** Lets packets that write to the guest through; otherwise the guardian refuses them, whoever sends them. Default false. */
  readonly allowWrite?: boolean;
}

/** A guardian that waits: the guest is not touched until somebody connects to `endpoint`, one debugger at a time. */
export interface Guardian {
  readonly endpoint: Extract<Endpoint, { type: 'unix' }>;
  readonly pid: number;
  /** Releases the guest and ends the guardian. Can be called again; gives the last session's report. */
  readonly close: () => Promise<ReleaseReport>;
}

/** A stub under guard. */
export interface GuardedStub {
  readonly stub: StubClient;
  readonly guardian: Guardian;
  /** Takes the breakpoints out, lets the guest run if it ran before, and ends the guardian. */
  readonly close: () => Promise<ReleaseReport>;
}

const START_MS = 10_000;
const END_MS = 20_000;
/** Beside us in a clone; a bundle of its own in the published package. */
const MAIN = ['./main.ts', './guardian.js'].map((path) => fileURLToPath(new URL(path, import.meta.url))).find(existsSync)!;

/** Starts a guardian; the guest goes on running. Throws RSP_GUARDIAN. */
export async function openGuardian(options: GuardOptions): Promise<Guardian> {
  const order: GuardianOrder = {
    gdb: absolute(options.gdb),
    qmp: options.qmp === null ? null : absolute(options.qmp),
    wasRunning: options.wasRunning,
    allowWrite: options.allowWrite ?? false,
    rescue: false,
  };
  const process = startProcess(order);
  const path = await withTimeout(process.ready, START_MS, 'the guardian process did not start');
  let closing: Promise<ReleaseReport> | null = null;
  // Lost in mid-session while we live: undo at once, not only when somebody closes it.
  const ended = process.ended.then(async (report) => {
    if (report !== null) return report;
    rmSync(dirname(path), { recursive: true, force: true });
    return startProcess({ ...order, rescue: true }).ended;
  });
  return {
    endpoint: { type: 'unix', path },
    pid: process.pid,
    close: async () => {
      closing ??= (async () => {
        process.hangUp();
        const report = await withTimeout(ended, END_MS, 'the guardian process did not end');
        return report ?? { guest: 'unknown', by: 'nothing' };
      })();
      return closing;
    },
  };
}

/** Starts a guardian and opens the stub through it: from here on the guest is stopped. Throws RspError. */
export async function openGuarded(options: GuardOptions & StubOptions): Promise<GuardedStub> {
  const guardian = await openGuardian(options);
  try {
    const stub = await openStub(guardian.endpoint, options);
    const close = async (): Promise<ReleaseReport> => {
      stub.close();
      return guardian.close();
    };
    return { stub, guardian, close };
  } catch (error) {
    const report = await guardian.close();
    if (report.guest !== 'untouched') throw error;
    throw new RspError('RSP_CONNECT', report.by, { cause: error });
  }
}

interface GuardianProcess {
  readonly pid: number;
  readonly ready: Promise<string>;
  /** The last session's report; null when it was killed in mid-session. */
  readonly ended: Promise<ReleaseReport | null>;
  readonly hangUp: () => void;
}

function startProcess(order: GuardianOrder): GuardianProcess {
  const child = spawn(process.execPath, [MAIN], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    cwd: '/',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const { promise: ready, resolve: onReady, reject: onFailure } = Promise.withResolvers<string>();
  ready.catch(() => undefined);
  let last: GuardianWord | null = null;
  createInterface({ input: child.stdout }).on('line', (line) => {
    last = JSON.parse(line) as GuardianWord;
    if (last.event === 'ready') onReady(last.path);
  });
  const ended = new Promise<ReleaseReport | null>((resolveEnd) => {
    child.once('error', (cause) => {
      onFailure(new RspError('RSP_GUARDIAN', `the guardian process cannot be started: ${cause.message}`, { cause }));
      resolveEnd({ guest: 'untouched', by: 'no guardian' });
    });
    child.once('close', () => {
      onFailure(new RspError('RSP_GUARDIAN', 'the guardian process ended before it was ready'));
      resolveEnd(
        last === null || last.event === 'ready'
          ? { guest: 'untouched', by: 'nobody connected' }
          : last.event === 'released'
            ? last.report
            : null,
      );
    });
  });
  child.stdin.on('error', () => undefined);
  child.stdin.write(`${JSON.stringify(order)}\n`);
  unref(child);
  return { pid: child.pid ?? 0, ready, ended, hangUp: () => child.stdin.end() };
}

/** Neither the process nor its pipes keep ours alive. */
function unref(child: ChildProcess): void {
  child.unref();
  for (const pipe of [child.stdin, child.stdout]) (pipe as { unref?: () => void } | null)?.unref?.();
}

function absolute(endpoint: Endpoint): Endpoint {
  return endpoint.type === 'unix' ? { type: 'unix', path: resolve(endpoint.path) } : endpoint;
}

async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new RspError('RSP_GUARDIAN', `${what} within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
