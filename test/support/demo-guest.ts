// Starts the demo guest (test/guests/demo) under QEMU for a test, and makes sure that no QEMU outlives it.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildDemoGuest, type DemoVariant } from '../guests/build.ts';

/** How to start it. `append` is the guest's command line (test/guests/demo/README.md), `qemuArgs` come last and may override. */
export interface DemoGuestOptions {
  readonly variant?: DemoVariant;
  readonly append?: string;
  readonly qemuArgs?: readonly string[];
  readonly cwd?: string;
  /** False: QEMU starts without the guest, for whatever its firmware finds. */
  readonly kernel?: false;
  /** An image built otherwise than by buildDemoGuest. */
  readonly elf?: string;
}

/** A running demo guest. */
export interface DemoGuest {
  /** The qemu-system-x86_64 process itself. */
  readonly process: ChildProcess;
  readonly elf: string;
  /** A listening QMP socket. */
  readonly qmpPath: string;
  /** The serial port's output, from its first byte. */
  readonly consolePath: string;
  /** The private folder in which the two lie; gone after stop(). */
  readonly folder: string;
  /** QEMU's exit status; null when a signal ended it. Settles when the process is gone. */
  readonly exited: Promise<number | null>;
  /** The console text so far. */
  readonly console: () => Promise<string>;
  /** Waits until the console matches; resolves to its text. Throws with the console after `timeoutMs` (20 s unless told). */
  readonly waitForConsole: (pattern: RegExp, timeoutMs?: number) => Promise<string>;
  /** Kills QEMU and removes the folder. May be called twice. */
  readonly stop: () => Promise<void>;
}

const POLL_MS = 20;
const START_TIMEOUT_MS = 20_000;

/** Builds and starts a demo guest on q35 with TCG and 128 MiB; resolves when its QMP socket listens. */
export async function startDemoGuest(options: DemoGuestOptions = {}): Promise<DemoGuest> {
  const elf = options.elf ?? (await buildDemoGuest(options.variant ?? 'fp'));
  const folder = await mkdtemp(join(tmpdir(), 'demo-guest-'));
  const qmpPath = join(folder, 'qmp.sock');
  const consolePath = join(folder, 'console.log');
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-machine', 'q35', '-accel', 'tcg', '-m', '128M', '-nodefaults', '-display', 'none', '-no-reboot'],
      ...(options.kernel === false ? [] : ['-kernel', elf, '-append', options.append ?? '']),
      ...['-serial', `file:${consolePath}`],
      ...['-qmp', `unix:${qmpPath},server=on,wait=off`, ...(options.qemuArgs ?? [])],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'], cwd: options.cwd },
  );
  const guard = killWhenWeDie(child);
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('exit', resolve);
    child.once('error', reject);
  });
  exited.catch(() => undefined);

  const stop = async (): Promise<void> => {
    guard();
    child.kill('SIGKILL');
    await exited.catch(() => undefined);
    await rm(folder, { recursive: true, force: true });
  };
  const readConsole = async (): Promise<string> => (existsSync(consolePath) ? readFile(consolePath, 'latin1') : '');
  const waitForConsole = async (pattern: RegExp, timeoutMs = START_TIMEOUT_MS): Promise<string> => {
    const deadline = Date.now() + timeoutMs;
    while (true) {
      const text = await readConsole();
      if (pattern.test(text)) return text;
      await sleep(POLL_MS);
      if (Date.now() > deadline) throw new Error(`the demo guest did not print ${pattern.source} in ${timeoutMs} ms:\n${text}`);
    }
  };

  try {
    await waitForSocket(child, qmpPath, exited);
  } catch (cause) {
    await stop();
    throw new Error(`qemu-system-x86_64 did not start: ${errors.trim()}`, { cause });
  }
  return { process: child, elf, qmpPath, consolePath, folder, exited, console: readConsole, waitForConsole, stop };
}

async function waitForSocket(child: ChildProcess, path: string, exited: Promise<number | null>): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(path)) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) {
      throw new Error(`it ended with status ${await exited}; is it installed? apt-get install --yes qemu-system-x86`);
    }
    if (Date.now() > deadline) throw new Error(`no QMP socket after ${START_TIMEOUT_MS} ms`);
    await sleep(POLL_MS);
  }
}

/**
 * Kills the child also when this process is killed without a word: a shell waits for the end of a pipe that only we hold
 * open. The returned function calls that off.
 */
function killWhenWeDie(child: ChildProcess): () => void {
  if (child.pid === undefined) return () => undefined;
  const guardian = spawn('sh', ['-c', `read -r line; [ "$line" = off ] || kill -9 ${child.pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guardian.unref();
  const callOff = (): void => {
    if (guardian.stdin.writable) guardian.stdin.end('off\n');
  };
  guardian.stdin.on('error', () => undefined);
  child.once('exit', callOff);
  return callOff;
}
