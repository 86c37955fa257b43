// Runs unidbg as a user does, and collects what it says.

import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import type { GuestEvent } from '../../src/model/event.ts';
import { decodeEvent } from '../../src/session/event-codec.ts';

/** The program's file. */
export const UNIDBG = resolve(import.meta.dirname, '../../src/cli/unidbg.js');

/** How a run ended. */
export interface CliResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run that is still going on. */
export interface CliRun {
  readonly process: ChildProcess;
  /** What stdout said so far. */
  readonly stdout: () => string;
  readonly ended: Promise<CliResult>;
}

/** Starts unidbg; `under` is put before it (`setpriv …`). Killed after `timeoutMs`. */
export function startUnidbg(
  args: readonly string[],
  options: { readonly under?: readonly string[]; readonly timeoutMs?: number } = {},
): CliRun {
  const [program, ...rest] = [...(options.under ?? []), process.execPath, UNIDBG, ...args];
  const child = spawn(program!, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<CliResult>((done, fail) => {
    child.once('error', fail);
    child.once('close', (status, signal) => {
      done({ status, signal, stdout, stderr });
    });
  });
  return { process: child, stdout: () => stdout, ended };
}

/** Runs unidbg to its end. */
export async function runUnidbg(args: readonly string[], options: Parameters<typeof startUnidbg>[1] = {}): Promise<CliResult> {
  return startUnidbg(args, options).ended;
}

/** The events of a `--json` run; every line must be one, but for an error's document, which comes last. */
export function eventsOf(result: Pick<CliResult, 'stdout'>): GuestEvent[] {
  return result.stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('{"schemaVersion"'))
    .map(decodeEvent);
}
