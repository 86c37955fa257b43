// gdb as a child process behind GDB/MI, through gdb-js 1.3.0 as its authors left it, made dependable.
//
// Folklore of gdb-js: it needs a global `regeneratorRuntime`; it passes options to stdin.write that Node refuses, so every
// command fails; its enableAsync() sets non-stop, which QEMU's stub lacks; its promises never settle once gdb is gone, and
// have no time-out. Tests: test/gdb/machine-interface.test.ts.

import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { GDB } from 'gdb-js';
import { UnidbgError } from '../model/error.ts';
import { openSanitiser } from './sanitise.ts';

/** One gdb. Commands run one after another. */
export interface MachineInterface {
  /** Runs an MI command (`-gdb-version`); its result's values. Throws GDB_FAILED with gdb's own words. A time-out ends gdb. */
  readonly execute: (command: string, timeoutMs: number) => Promise<Readonly<Record<string, unknown>>>;
  /** Ends gdb; everything pending is rejected. */
  readonly close: () => Promise<void>;
}

const ARGUMENTS = ['--interpreter=mi3', '--nx', '--quiet', '-iex', 'set auto-load no', '-iex', 'set debuginfod enabled off'];
const EXIT_MS = 2000;

/** Starts the first of `programs` that is installed. Throws GDB_FAILED, naming `apt`, when none is. */
export async function openMachineInterface(programs: readonly string[], apt: string): Promise<MachineInterface> {
  await import('regenerator-runtime/runtime.js');
  const gdbJs = await import('gdb-js');
  for (const program of programs) {
    const child = await startProgram(program);
    if (child !== null) return overChild(child, gdbJs.GDB);
  }
  throw new UnidbgError('GDB_FAILED', `gdb is not installed (tried ${programs.join(', ')}). Install it: ${apt}`);
}

async function startProgram(program: string): Promise<ChildProcessWithoutNullStreams | null> {
  // Its own session: a Ctrl-C at our terminal is not for it.
  const child = spawn(program, ARGUMENTS, { detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  return new Promise((resolve, reject) => {
    child.once('spawn', () => {
      resolve(child);
    });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') resolve(null);
      else reject(new UnidbgError('GDB_FAILED', `${program} cannot be started: ${cause.message}`, { cause }));
    });
  });
}

function overChild(child: ChildProcessWithoutNullStreams, Driver: typeof GDB): MachineInterface {
  const exited = Promise.withResolvers<never>();
  exited.promise.catch(() => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once('close', (status, signal) => {
      exited.reject(new UnidbgError('GDB_FAILED', `gdb ended (${signal ?? `status ${status ?? 0}`})`));
      resolve();
    });
  });
  const output = openSanitiser();
  output.on('error', () => child.kill('SIGKILL'));
  child.stdout.pipe(output);
  child.stderr.resume();
  child.stdin.on('error', () => undefined);
  const driver = new Driver({ stdin: { write: (text) => child.stdin.write(text) }, stdout: output, stderr: child.stderr });

  const execute = async (command: string, timeoutMs: number): Promise<Readonly<Record<string, unknown>>> => {
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timeout.reject(
        new UnidbgError('GDB_FAILED', `gdb did not finish ${command.slice(0, 60)} within ${timeoutMs} ms and was ended`),
      );
      child.kill('SIGKILL');
    }, timeoutMs);
    try {
      return await Promise.race([driver.execMI(command), exited.promise, timeout.promise]);
    } catch (error) {
      throw error instanceof UnidbgError ? error : new UnidbgError('GDB_FAILED', wordsOf(error), { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };
  const close = async (): Promise<void> => {
    child.stdin.end('-gdb-exit\n');
    const timer = setTimeout(() => child.kill('SIGKILL'), EXIT_MS);
    await ended;
    clearTimeout(timer);
  };
  return { execute, close };
}

/** gdb's message without gdb-js's preface. */
function wordsOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/^Error while executing ".*?"\. /s, '');
}
