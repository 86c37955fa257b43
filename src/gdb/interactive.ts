// The real gdb at the user's terminal (`unidbg gdb <vm>`), symbols in place, on a guest that runs again when it ends.

import { spawn } from 'node:child_process';
import type { Endpoint, GuardOptions, ReleaseReport } from '../../gdbstub/index.ts';
import { formatEndpoint, openGuardian } from '../../gdbstub/index.ts';
import { UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import type { GdbImage } from './symbols.ts';
import { gdbArchitecture, gdbPrograms, symbolCommands } from './symbols.ts';

/** What the command line is made of. `arguments` come last: further `-ex`, `-batch`, a script. */
export interface GdbCommandLine {
  readonly endpoint: Endpoint;
  readonly images: readonly GdbImage[];
  readonly machine: Machine;
  readonly gdbPath?: string;
  readonly arguments?: readonly string[];
}

/** How an interactive gdb ended, and how it left the guest. */
export interface InteractiveResult {
  readonly status: number | null;
  readonly signal: string | null;
  readonly release: ReleaseReport;
}

/** Program and arguments: architecture, then symbols (the guest still runs), then the connection, which stops it. */
export function gdbCommandLine(options: GdbCommandLine): string[] {
  const program = options.gdbPath ?? gdbPrograms(options.machine).names[0] ?? 'gdb';
  const commands = [
    // add-symbol-file asks whether we are sure.
    'set confirm off',
    `set architecture ${gdbArchitecture(options.machine)}`,
    ...symbolCommands(options.images),
    'set confirm on',
    `target remote ${formatEndpoint(options.endpoint)}`,
  ];
  return [program, '-q', ...commands.flatMap((command) => ['-ex', command]), ...(options.arguments ?? [])];
}

/**
 * Runs gdb on our terminal under a guardian and waits for its end. Nothing it does writes to the guest unless
 * `guard.allowWrite`. Throws GDB_FAILED when gdb is not installed.
 */
export async function runInteractiveGdb(
  options: Omit<GdbCommandLine, 'endpoint'> & { readonly guard: GuardOptions },
): Promise<InteractiveResult> {
  const guardian = await openGuardian(options.guard);
  // Ctrl-C at the terminal is gdb's; it reaches us too, and must not end us first.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore).on('SIGQUIT', ignore);
  try {
    const ended = await runToEnd(gdbCommandLine({ ...options, endpoint: guardian.endpoint }), gdbPrograms(options.machine).apt);
    return { ...ended, release: await guardian.close() };
  } finally {
    await guardian.close();
    process.off('SIGINT', ignore).off('SIGQUIT', ignore);
  }
}

async function runToEnd(
  [program = 'gdb', ...rest]: string[],
  apt: string,
): Promise<{ status: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, { stdio: 'inherit' });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'ENOENT'
          ? `${program} is not installed. Install it: ${apt}`
          : `${program} cannot be started: ${cause.message}`;
      reject(new UnidbgError('GDB_FAILED', why, { cause }));
    });
    child.once('close', (status, signal) => {
      resolve({ status, signal });
    });
  });
}
