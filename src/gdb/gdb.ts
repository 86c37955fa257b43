// Expressions evaluated by the real gdb (`:p EXPR`). gdb is kept with its symbols loaded and no guest; the guest is stopped
// only while an expression is evaluated, through a guardian, and runs again after, also when gdb or unidbg dies meanwhile.

import type { GuardOptions } from '../../gdbstub/index.ts';
import { openGuardian } from '../../gdbstub/index.ts';
import { UnidbgError } from '../model/error.ts';
import type { Machine } from '../model/machine.ts';
import type { MachineInterface } from './machine-interface.ts';
import { openMachineInterface } from './machine-interface.ts';
import type { GdbImage } from './symbols.ts';
import { gdbArchitecture, gdbPrograms, symbolCommands } from './symbols.ts';

/** How to reach the guest: asked anew for each evaluation, since whether it runs changes (and the stub may be opened only then). */
export type AskGuard = () => GuardOptions | Promise<GuardOptions>;

/** `loadTimeoutMs` (60 s) bounds the reading of symbols, `evaluateTimeoutMs` (5 s) all that happens while the guest is stopped. */
export interface GdbOptions {
  readonly images: readonly GdbImage[];
  readonly machine: Machine;
  readonly guard: AskGuard;
  readonly gdbPath?: string;
  readonly loadTimeoutMs?: number;
  readonly evaluateTimeoutMs?: number;
}

/** A gdb with the guest's symbols. */
export interface Gdb {
  /** The value as gdb prints it. `vcpu` (from 0) chooses whose frame it is seen from. Throws GDB_FAILED with gdb's words. */
  readonly evaluate: (expression: string, options?: { readonly vcpu?: number }) => Promise<string>;
  readonly close: () => Promise<void>;
}

/** Starts gdb and loads the symbols; the guest is not touched. Throws GDB_FAILED. */
export async function openGdb(options: GdbOptions): Promise<Gdb> {
  const { names, apt } = gdbPrograms(options.machine);
  const gdb = await openMachineInterface(options.gdbPath === undefined ? names : [options.gdbPath], apt);
  try {
    const commands = ['set mi-async on', 'set confirm off', 'set pagination off', 'set width 0', 'set backtrace limit 256'];
    commands.push(`set architecture ${gdbArchitecture(options.machine)}`, ...symbolCommands(options.images));
    for (const command of commands) await gdb.execute(consoleCommand(command), options.loadTimeoutMs ?? 60_000);
  } catch (error) {
    await gdb.close();
    throw error;
  }
  let turn: Promise<unknown> = Promise.resolve();
  return {
    evaluate: async (expression, { vcpu } = {}) => {
      const value = turn.then(async () => evaluateStopped(gdb, options, expression, vcpu ?? null));
      turn = value.catch(() => undefined);
      return value;
    },
    close: async () => gdb.close(),
  };
}

/** Connects, evaluates, lets go. */
async function evaluateStopped(
  gdb: MachineInterface,
  options: GdbOptions,
  expression: string,
  vcpu: number | null,
): Promise<string> {
  const timeoutMs = options.evaluateTimeoutMs ?? 5000;
  const guardian = await openGuardian(await options.guard()).catch((cause: unknown) => {
    throw new UnidbgError('GDB_FAILED', cause instanceof Error ? cause.message : String(cause), { cause });
  });
  try {
    await gdb.execute(`-target-select remote ${guardian.endpoint.path}`, timeoutMs);
    try {
      if (vcpu !== null) await gdb.execute(`-thread-select ${vcpu + 1}`, timeoutMs);
      const { value } = await gdb.execute(`-data-evaluate-expression ${quote(expression)}`, timeoutMs);
      return typeof value === 'string' ? value : '';
    } finally {
      // Whether or not gdb still can, the guardian lets the guest go.
      await gdb.execute('-target-detach', timeoutMs).catch(() => undefined);
    }
  } finally {
    await guardian.close();
  }
}

function consoleCommand(command: string): string {
  return `-interpreter-exec console ${quote(command)}`;
}

/** A C string of MI; line ends, which would end the command, become blanks. */
function quote(text: string): string {
  return `"${text.replace(/[\r\n\0]+/g, ' ').replace(/[\\"]/g, '\\$&')}"`;
}
