// Starts the planned QEMU and waits until it can be talked to.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode, UnidbgError } from '../../model/error.ts';
import { type LaunchPlan, type LaunchWishes, planLaunch } from './plan.ts';
import { cannotStart, END_MS, type ProcessEnd, waitForMonitor } from './ready.ts';

/** A started QEMU. `folder` (0700: socket, console files) goes away with `dispose`. */
export interface LaunchedVm {
  readonly plan: LaunchPlan;
  readonly process: ChildProcess;
  readonly pid: number;
  readonly folder: string;
  /** How it ended: status, or the signal that killed it. */
  readonly exited: Promise<ProcessEnd>;
  /** Kills QEMU if it is still there and removes the folder. */
  dispose(): Promise<void>;
}

/** `terminal` shared: QEMU has our stdin, stdout, stderr (`-serial stdio` works). Kept: a screen owns them, QEMU writes to a file. */
export interface LaunchOptions {
  readonly terminal: 'shared' | 'kept';
  readonly startTimeoutMs?: number;
  /** Held before the guest's first instruction, and more flags: see LaunchWishes. */
  readonly wishes?: LaunchWishes;
}

/** Starts QEMU with what unidbg needs added. Throws QEMU_NOT_FOUND, QEMU_LAUNCH with what QEMU said, USAGE. */
export async function launchVm(argv: readonly string[], options: LaunchOptions): Promise<LaunchedVm> {
  const folder = mkdtempSync(join(process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), 'unidbg-run-'));
  try {
    return await startPlanned(planLaunch(argv, folder, options.wishes), folder, options);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

async function startPlanned(plan: LaunchPlan, folder: string, options: LaunchOptions): Promise<LaunchedVm> {
  const outputPath = join(folder, 'qemu.out');
  const child = start(plan.argv, options.terminal, outputPath);
  const exited = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (status, signal) => {
      resolve({ status, signal });
    });
  });
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => {
      reject(cannotStart(plan.argv[0]!, cause));
    });
  });
  const ended = exited.then(({ status, signal }) => {
    const output = existsSync(outputPath) ? readFileSync(outputPath, 'utf8').trim().split('\n').slice(-5).join('\n') : '';
    const how = signal === null ? `with status ${status ?? '?'}` : `by ${signal}`;
    throw new UnidbgError('QEMU_LAUNCH', `QEMU ended ${how} before it could be talked to${output === '' ? '' : `: ${output}`}`);
  });
  ended.catch(() => undefined);
  failed.catch(() => undefined);
  const stopped = new AbortController();
  const ready = waitForMonitor(plan.socket, options.startTimeoutMs ?? 10_000, stopped.signal).catch(async (error: unknown) => {
    // QEMU closes the socket a moment before it has ended: how it ended says more than that it closed.
    if (errorCode(error) === 'QMP_CONNECT' || errorCode(error) === 'QMP_CLOSED') await Promise.race([ended, sleep(END_MS)]);
    throw error;
  });
  try {
    await Promise.race([ready, failed, ended]);
  } catch (error) {
    stopped.abort();
    child.kill('SIGKILL');
    throw error;
  }
  const dispose = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  return { plan, process: child, pid: child.pid!, folder, exited, dispose };
}

function start(argv: readonly string[], terminal: LaunchOptions['terminal'], outputPath: string): ChildProcess {
  if (terminal === 'shared') return spawn(argv[0]!, argv.slice(1), { stdio: 'inherit' });
  const output = openSync(outputPath, 'w', 0o600);
  try {
    return spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', output, output] });
  } finally {
    closeSync(output);
  }
}
